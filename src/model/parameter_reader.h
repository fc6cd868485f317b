// Finds a model's parameters in weights files, under the names that checkpoints use for them.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "format/tensor_store.h"
#include "model/quantization_config.h"
#include "tensor/encoding.h"

namespace fettle {

class ParameterReader {
 public:
  // `prefix` is the encoder's ("bert."), which checkpoints of bare encoders leave out.
  ParameterReader(const TensorStore& store, std::string prefix, std::vector<IntegerScheme> schemes, std::string where);

  // Stays mapped. nullopt when the file has no such parameter. kBadInput naming file and tensor for another shape or an
  // element type that no parameter has, for integers without their scales, and for those that no scheme is for.
  std::optional<EncodedTensor> read(const std::string& name, const Shape& shape);
  // Tensors of the file that read() gave nothing of, copies of tied weights and buffers left out.
  std::vector<std::string> unused() const;

 private:
  // The name in the file, empty when it has none.
  std::string find(const std::string& name) const;
  EncodedTensor encoded(const std::string& name, const Shape& shape);
  Tensor scales(const std::string& name, const Encoding& encoding, int64_t n_rows);
  void read_input_scale(const std::string& name, EncodedTensor& value);
  EncodedTensor packed(const std::string& name, const Shape& shape);
  std::optional<EncodedTensor> sparse(const std::string& name, const Shape& shape);
  Encoding channel_encoding(const std::string& name) const;
  Tensor zero_points(const std::string& name, const Encoding& encoding, const Shape& groups);
  void require(const std::string& name, const Tensor& tensor, bool is_right, const std::string& wanted) const;
  Encoding packed_encoding(const std::string& name) const;
  // The tensor of that name, which must be there.
  const Tensor& part(const std::string& name, const std::string& suffix);

  const TensorStore& store_;
  std::string prefix_;
  std::vector<IntegerScheme> schemes_;
  std::string where_;
  std::set<std::string> used_;
};

}  // namespace fettle
