// Any bytes as a SentencePiece model (the first says of which family, the second how long a text begins behind it):
// refused with an Error, or a model whose plain and step-by-step encoders agree.
#include <fettle/error.h>

#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer_reader.h"
#include "text/unigram_model.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace fettle;
  if (size < 2) return 0;
  const char* families[] = {"", "XLMRobertaTokenizer", "AlbertTokenizer", "T5Tokenizer"};
  const SentencePieceOptions options{.file_name = data[0] & 4 ? "sentencepiece.bpe.model" : "spiece.model",
                                     .tokenizer_class = families[data[0] % 4],
                                     .lowercase = (data[0] & 8) != 0,
                                     .keep_accents = (data[0] & 16) != 0};
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
  const size_t n_text = std::min<size_t>(data[1], bytes.size());
  const std::string_view text = bytes.substr(0, n_text), file = bytes.substr(n_text);
  try {
    TokenizerSpec spec = read_sentencepiece(file, options, "input");
    finish_sentencepiece(spec);
    const UnigramModel model(spec);
    std::vector<int32_t> ids;
    model.append(text, true, SIZE_MAX, ids);
    // Offsets are of well-formed text; the tokenizer mends it first.
    const std::string mended = unicode::replace_invalid_utf8(text);
    std::vector<PlacedToken> placed;
    model.place(model.normalize(mended, 0), true, SIZE_MAX, placed);
    if (placed.size() != ids.size()) std::abort();
    for (size_t i = 0; i < ids.size(); ++i) {
      if (placed[i].id != ids[i] || placed[i].begin > placed[i].end) std::abort();
    }
  } catch (const Error&) {
  }
  return 0;
}
