// Time of tokenization: a ten-word query, longer texts, Korean, hostile texts, and loading a tokenizer.
#include <benchmark/benchmark.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/philox.h"
#include "text/tokenizer.h"

namespace fettle {
namespace {

namespace fs = std::filesystem;

const char kQuery[] = "What is the pin number for my new savings account?";
const char kKorean[] = "내일 서울 날씨가 어떤지 알려 주시면 감사하겠습니다";

fs::path bert_folder() {
  return fs::path(__FILE__).parent_path() / "../../shared/data/tokenizers/bert-base-uncased";
}

// As many pieces as BERT has, of random letters: hash tables and caches see the same, though words are cut more often.
std::shared_ptr<const Tokenizer> stand_in() {
  std::vector<std::string> pieces = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
  for (char c = 'a'; c <= 'z'; ++c) pieces.insert(pieces.end(), {std::string(1, c), std::string("##") + c});
  Philox random(1);
  while (pieces.size() < 30522) {
    std::string piece = random.below(4) ? "" : "##";
    for (uint64_t n = 2 + random.below(8); n > 0; --n) piece += static_cast<char>('a' + random.below(26));
    pieces.push_back(std::move(piece));
  }
  return Tokenizer::from_vocab(std::move(pieces));
}

const Tokenizer& tokenizer() {
  static const auto kTokenizer = fs::exists(bert_folder()) ? Tokenizer::load(bert_folder()) : stand_in();
  return *kTokenizer;
}

std::string repeated(const std::string& text, size_t size_bytes) {
  std::string out;
  while (out.size() < size_bytes) out += text + " ";
  return out;
}

void encode(benchmark::State& state, const std::string& text, const EncodeOptions& options) {
  std::vector<int32_t> ids;
  for (auto _ : state) {
    ids.clear();
    tokenizer().encode(text, options, ids);
    benchmark::DoNotOptimize(ids.data());
  }
  state.counters["tokens"] = static_cast<double>(ids.size());
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(text.size()));
}

void TenWordQuery(benchmark::State& state) {
  encode(state, kQuery, {.max_length = 128});
}
void TenWordQueryWithSpecialText(benchmark::State& state) {
  encode(state, kQuery, {.max_length = 128, .split_special_tokens = false});
}
void KoreanQuery(benchmark::State& state) {
  encode(state, kKorean, {.max_length = 128});
}
void EnglishMegabyte(benchmark::State& state) {
  encode(state, repeated(kQuery, 1 << 20), {});
}
void MegabyteCutAt128(benchmark::State& state) {
  encode(state, repeated(kQuery, 1 << 20), {.max_length = 128});
}
void OneWordOfAMegabyte(benchmark::State& state) {
  encode(state, std::string(1 << 20, 'x'), {});
}
void CombiningMarks(benchmark::State& state) {
  encode(state, "e" + repeated("\u0301", 1 << 20), {});
}

void TenWordQueryWithOffsets(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(tokenizer().encode_with_offsets(kQuery, 128));
}

void LoadTokenizerJson(benchmark::State& state) {
  if (!fs::exists(bert_folder())) return state.SkipWithError("needs the shared test data beside the repository");
  for (auto _ : state) benchmark::DoNotOptimize(Tokenizer::load(bert_folder()));
}

BENCHMARK(TenWordQuery)->Unit(benchmark::kMicrosecond);
BENCHMARK(TenWordQueryWithSpecialText)->Unit(benchmark::kMicrosecond);
BENCHMARK(TenWordQueryWithOffsets)->Unit(benchmark::kMicrosecond);
BENCHMARK(KoreanQuery)->Unit(benchmark::kMicrosecond);
BENCHMARK(EnglishMegabyte)->Unit(benchmark::kMillisecond);
BENCHMARK(MegabyteCutAt128)->Unit(benchmark::kMicrosecond);
BENCHMARK(OneWordOfAMegabyte)->Unit(benchmark::kMillisecond);
BENCHMARK(CombiningMarks)->Unit(benchmark::kMillisecond);
BENCHMARK(LoadTokenizerJson)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace fettle
