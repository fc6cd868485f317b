#include "data/tokenized.h"

#include <algorithm>

#include "base/cancel.h"

namespace fettle {

std::vector<int32_t> TokenizedTexts::lengths() const {
  std::vector<int32_t> result(static_cast<size_t>(size()));
  for (int64_t i = 0; i < size(); ++i) result[i] = static_cast<int32_t>(length(i));
  return result;
}

void TokenizedTexts::append_to(RaggedBatch& batch, int64_t i) const {
  const int64_t begin = offsets[i];
  const int64_t n = length(i);
  batch.append(ids.data() + begin, n);
  if (type_ids.empty()) return;
  std::copy_n(type_ids.begin() + begin, n, batch.type_ids.end() - n);
}

TokenizedTexts tokenize(const Dataset& data, const Tokenizer& tokenizer, int64_t max_length) {
  TokenizedTexts result;
  const EncodeOptions options{.max_length = static_cast<int>(max_length)};
  bool any_pair = false;
  for (const Example& example : data.examples) any_pair = any_pair || !example.text_pair.empty();
  result.offsets.reserve(data.examples.size() + 1);
  for (size_t i = 0; i < data.examples.size(); ++i) {
    if (i % 4096 == 0) throw_if_cancelled();
    const Example& example = data.examples[i];
    if (!example.text_pair.empty()) {
      tokenizer.encode_pair(example.text, example.text_pair, options, result.ids, result.type_ids);
    } else {
      tokenizer.encode(example.text, options, result.ids);
      if (any_pair) result.type_ids.resize(result.ids.size(), 0);
    }
    result.offsets.push_back(static_cast<int64_t>(result.ids.size()));
  }
  return result;
}

std::vector<int32_t> first_tokens(const RaggedBatch& batch) {
  return {batch.offsets.begin(), batch.offsets.end() - 1};
}

}  // namespace fettle
