#include "compress/quantize/cast.h"

#include "compress/quantize/report.h"
#include "tensor/sparse.h"

namespace fettle {

QuantizeReport cast_parameters(Model& model, DType dtype) {
  QuantizeReport report;
  report.size_mb_before = parameters_mb(model);
  const std::vector<std::string> names = model.parameters.names();
  for (const std::string& name : names) {
    const EncodedTensor& stored = model.parameters.get(name);
    if (numbers_of(stored.encoding).kind != EncodingKind::kDense) continue;
    const Tensor original = stored.decode();
    EncodedTensor encoded = EncodedTensor::dense(original.to(dtype));
    if (stored.encoding.kind == EncodingKind::kSparse) encoded = to_smallest(encoded);
    if (encoded.shape.size() == 2) report.layers.push_back(compare_encoding(name, original, encoded));
    model.parameters.set(name, std::move(encoded));
  }
  finish_report(model, report);
  return report;
}

}  // namespace fettle
