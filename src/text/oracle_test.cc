#include "text/oracle_test.h"

#include <fmt/format.h>

#include <cstdlib>
#include <fstream>

#include "base/file.h"
#include "base/philox.h"
#include "text/unicode.h"

namespace fettle::testing {
namespace fs = std::filesystem;
namespace {

const fs::path kRoot = FETTLE_SOURCE_DIR;

std::string random_piece(Philox& random) {
  static const std::vector<std::string> kPieces = {" ",
                                                   " ",
                                                   " ",
                                                   "the",
                                                   "Hello",
                                                   "WORLD",
                                                   "unaffable",
                                                   "don't",
                                                   "café",
                                                   "cafe\u0301",
                                                   "Ångström",
                                                   "ÀÉÎÕÜ",
                                                   "İstanbul",
                                                   "ΑΣ",
                                                   "ß",
                                                   "ﬁ",
                                                   "\u1e69\u0307",
                                                   "한국어",
                                                   "안녕하세요",
                                                   "\u1112\u1161\u11ab",
                                                   "漢字",
                                                   "日本語テキスト",
                                                   "ｶﾞ",
                                                   "が",
                                                   "か\u3099",
                                                   "中",
                                                   "\U00020000",
                                                   "\U0002b820",
                                                   "\uf900",
                                                   "\U0002f801",
                                                   "👍",
                                                   "👨\u200d👩\u200d👧\u200d👦",
                                                   "🏳\ufe0f\u200d🌈",
                                                   "\u200b",
                                                   "\u200f",
                                                   "שלום",
                                                   "مرحبا",
                                                   "हिन्दी",
                                                   "ไทย",
                                                   "\u0e33",
                                                   "\t",
                                                   "\n",
                                                   "\r\n",
                                                   "\u00a0",
                                                   "\u3000",
                                                   "\u2028",
                                                   "\u0085",
                                                   "\u0001",
                                                   "\u007f",
                                                   "\u00ad",
                                                   "\ufeff",
                                                   "\ufffd",
                                                   "\ue000",
                                                   "\u0300\u0316\u0334",
                                                   "\u302e\u0300\u302f",
                                                   ".",
                                                   ",",
                                                   "!?",
                                                   "$100",
                                                   "a_b",
                                                   "¿",
                                                   "“x”",
                                                   "—",
                                                   "§",
                                                   "\u061d",
                                                   "\u2e52",
                                                   "[SEP]",
                                                   "[CLS]",
                                                   "[MASK]",
                                                   "[UNK]",
                                                   "[sep]",
                                                   "##ing",
                                                   "1,234.5",
                                                   "https://x.y/z?q=1&r=%20",
                                                   "C++",
                                                   "\u037e",
                                                   "\u1fef",
                                                   "≠",
                                                   "Ω",
                                                   "K",
                                                   "\ua7cb",
                                                   "\U00010d50",
                                                   "\U0001e944"};
  switch (random.below(40)) {
    case 0:
      return std::string(95 + random.below(10), 'a');
    case 1:
      return std::string(1 + random.below(30), static_cast<char>(33 + random.below(90)));
    case 2: {
      std::string out;
      unicode::append_utf8(static_cast<char32_t>(0x80 + random.below(0xd780)), out);
      return out;
    }
    default:
      return kPieces[random.below(kPieces.size())];
  }
}

}  // namespace

std::vector<Json> ask_oracle(const std::string& engine, const fs::path& tokenizer_json, const Json& options,
                             const std::vector<Json>& requests) {
  TemporaryFolder folder;
  std::ofstream out(folder.path() / "requests");
  for (const Json& request : requests) out << request.dump() << '\n';
  out.close();
  const std::string command =
      fmt::format("node '{}' {} '{}' '{}' < '{}' > '{}'", (kRoot / "tests/oracle/tokenize.mjs").string(), engine,
                  tokenizer_json.string(), options.dump(), (folder.path() / "requests").string(),
                  (folder.path() / "answers").string());
  const int status = std::system(command.c_str());
  EXPECT_EQ(status, 0) << command;
  std::ifstream in(folder.path() / "answers");
  std::vector<Json> answers;
  for (std::string line; std::getline(in, line);) {
    if (!line.empty()) answers.push_back(parse_json(line, "answer"));
  }
  EXPECT_EQ(answers.size(), requests.size());
  answers.resize(requests.size());
  return answers;
}

bool has_oracle() {
  return fs::exists(kRoot / "node_modules/tokenizers") &&
         fs::exists(kRoot / "node_modules/@huggingface/transformers") &&
         std::system("node --version > /dev/null 2>&1") == 0;
}

fs::path shared_data() {
  return kRoot / "../shared/data";
}
bool has_shared_data() {
  return fs::exists(shared_data() / "tokenizers");
}

TemporaryFolder::TemporaryFolder() {
  std::string name = (fs::temp_directory_path() / "fettle-test-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("cannot make a temporary folder");
  path_ = name;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

std::vector<std::string> tricky_texts(int n, uint64_t seed) {
  Philox random(seed);
  std::vector<std::string> out;
  for (int i = 0; i < n; ++i) {
    std::string text;
    for (uint64_t k = random.below(24); k > 0; --k) {
      text += random_piece(random);
      if (random.below(3) == 0) text += ' ';
    }
    out.push_back(std::move(text));
  }
  return out;
}

// Every `step`-th line of a text file.
std::vector<std::string> lines_of(const fs::path& path, size_t step) {
  std::ifstream in(path);
  std::vector<std::string> out;
  size_t n = 0;
  for (std::string line; std::getline(in, line); ++n) {
    if (n % step == 0) out.push_back(line);
  }
  return out;
}

std::vector<std::string> clinc_texts() {
  const Json data = read_json(shared_data() / "datasets/clinc150/data_oos_plus.json");
  std::vector<std::string> out;
  for (const Json& item : data.at("test")) out.push_back(item.at(0).get<std::string>());
  for (const Json& item : data.at("oos_test")) out.push_back(item.at(0).get<std::string>());
  return out;
}

std::vector<std::string> korean_texts() {
  std::vector<std::string> out = lines_of(shared_data() / "datasets/ko_3i4k/fci_test.txt", 15);
  for (std::string& line : lines_of(shared_data() / "datasets/ko_chatbot/ChatbotData.csv", 30)) out.push_back(line);
  return out;
}

std::vector<Json> to_requests(const std::vector<std::string>& texts) {
  return {texts.begin(), texts.end()};
}

// Compares ids, type ids, pieces and offsets with the Rust library, and the fast path with both.
void expect_same_as_rust(const Tokenizer& tokenizer, const fs::path& folder, const std::vector<std::string>& texts,
                         int max_length, bool compare_tokens) {
  Json options = Json::object();
  if (max_length > 0) options["max_length"] = max_length;
  const auto answers = ask_oracle("tokenizers", folder / "tokenizer.json", options, to_requests(texts));
  const EncodeOptions exact{.max_length = max_length, .split_special_tokens = false};
  for (size_t i = 0; i < texts.size(); ++i) {
    const TokenEncoding encoding = tokenizer.encode_with_offsets(texts[i], exact);
    std::vector<int32_t> ids;
    tokenizer.encode(texts[i], exact, ids);
    ASSERT_EQ(ids, encoding.ids) << Json(texts[i]);
    ASSERT_EQ(Json(ids), answers[i].at("ids")) << Json(texts[i]);
    ASSERT_EQ(Json(encoding.type_ids), answers[i].at("type_ids")) << Json(texts[i]);
    ASSERT_EQ(Json(encoding.offsets), answers[i].at("offsets")) << Json(texts[i]);
    if (compare_tokens) {
      ASSERT_EQ(Json(encoding.tokens), answers[i].at("tokens")) << Json(texts[i]);
    }
  }
}

}  // namespace fettle::testing
