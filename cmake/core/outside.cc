// Stands in for the layers text and format where they are not built: sessions take token ids only, and no file is
// mapped.
#include "base/error.h"
#include "format/tensor_store.h"
#include "text/tokenizer.h"

namespace fettle {

void Tokenizer::encode(std::string_view, int, std::vector<int32_t>&) const {
  usage_error("tokenizer", "texts cannot be read by a build of the core alone");
}

void TensorStore::drop_pages() const {}

}  // namespace fettle
