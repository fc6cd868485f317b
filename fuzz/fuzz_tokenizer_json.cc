// Any bytes as a tokenizer.json: refused with an Error, or a tokenizer that encodes, and that saves to an equal one.
#include <fettle/error.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"
#include "text/tokenizer_spec.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace fettle;
  const std::string text(reinterpret_cast<const char*>(data), size);
  try {
    const auto loaded = Tokenizer::from_json(text, "input");
    const EncodeOptions options{.split_special_tokens = false};
    std::vector<int32_t> ids, again;
    loaded->encode(text, options, ids);
    if (ids != loaded->encode_with_offsets(text, options).ids) std::abort();
    const TokenizerSpec spec = parse_tokenizer_json(text, "input");
    if (spec.kind == PieceModelKind::kUnigram) return 0;  // written back as it was read
    const std::string written = make_tokenizer_json(spec);
    const auto reloaded = Tokenizer::from_json(written, "written");
    reloaded->encode(text, options, again);
    if (ids != again || loaded->decode(ids, true) != reloaded->decode(ids, true)) std::abort();
  } catch (const Error&) {
  }
  return 0;
}
