#include "compress/sparse/store.h"

#include <algorithm>

#include "model/quantization_config.h"
#include "tensor/sparse.h"

namespace fettle {

std::vector<StoredLayer> store_smallest(Model& model) {
  std::vector<StoredLayer> layers;
  for (const std::string& name : model.parameters.names()) {
    const EncodedTensor& stored = model.parameters.get(name);
    const bool may_be_sparse = numbers_of(stored.encoding).kind != EncodingKind::kIntGroup;
    if (stored.shape.size() != 2 || is_embedding(name) || !may_be_sparse) continue;
    EncodedTensor smallest = to_smallest(stored);
    const auto n = static_cast<double>(std::max<int64_t>(1, element_count(smallest.shape)));
    layers.push_back({.name = name,
                      .encoding = encoding_name(smallest.encoding),
                      .zeros = 1 - static_cast<double>(count_nonzeros(smallest)) / n,
                      .dense_bytes = stored_bytes(smallest, SparsePattern::kNone),
                      .bytes = smallest.size_bytes()});
    model.parameters.set(name, std::move(smallest));
  }
  return layers;
}

}  // namespace fettle
