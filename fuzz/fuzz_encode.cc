// Any bytes as text: the one-pass encoder agrees with the step-by-step one, under every option.
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/tokenizer.h"

namespace {

using namespace fettle;

std::vector<std::string> pieces() {
  std::vector<std::string> out = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "é", "##é", "中", "\u1112", "##\u1161"};
  for (char c = '!'; c <= '~'; ++c) out.insert(out.end(), {std::string(1, c), std::string("##") + c});
  out.insert(out.end(), {"ab", "abc", "##bc", "##cde"});
  return out;
}

std::shared_ptr<const Tokenizer> make(int bits) {
  WordPieceOptions options{
      .lowercase = (bits & 1) != 0, .clean_text = (bits & 2) != 0, .split_chinese = (bits & 4) != 0};
  options.strip_accents = (bits & 8) != 0;
  if (bits & 16) options.max_input_chars_per_word = 4;
  return Tokenizer::from_vocab(pieces(), options);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static std::vector<std::shared_ptr<const Tokenizer>> tokenizers(32);
  if (size < 2) return 0;
  auto& tokenizer = tokenizers[data[0] % 32];
  if (!tokenizer) tokenizer = make(data[0] % 32);
  const std::string_view text(reinterpret_cast<const char*>(data) + 2, size - 2);
  const EncodeOptions options{.max_length = data[1] % 64 < 3 ? 0 : data[1] % 64, .split_special_tokens = data[1] < 128};

  std::vector<int32_t> ids, type_ids;
  tokenizer->encode(text, options, ids);
  const TokenEncoding plain = tokenizer->encode_with_offsets(text, options);
  if (ids != plain.ids) std::abort();
  for (const auto& [begin, end] : plain.offsets) {
    if (begin < 0 || begin > end || std::cmp_greater(end, text.size())) std::abort();
  }
  tokenizer->decode(ids, true);

  const std::string_view first = text.substr(0, text.size() / 2), second = text.substr(text.size() / 2);
  ids.clear();
  tokenizer->encode_pair(first, second, options, ids, type_ids);
  if (ids != tokenizer->encode_pair_with_offsets(first, second, options).ids) std::abort();
  if (options.max_length > 0 && ids.size() > static_cast<size_t>(options.max_length)) std::abort();
  return 0;
}
