// Packs stored weights for the kernel table, by their encoding.
#pragma once

#include <cstdint>
#include <memory>

#include "runtime/node_kernel.h"

namespace fettle {

// How a linear's integers are multiplied.
enum class IntegerForm : uint8_t {
  kAsStored,  // one scale a row, or up to 4 bits without zero points (which may be rounded to a row's scale, too)
  kInt8Rows,  // rounded once more, to 8 bits with one scale a row: with 8-bit inputs, for other encodings below 8 bits
  kBF16,      // widened: with 16-bit inputs, and where 8 bits in groups or with zero points would lose by more rounding
};
// Of kIntChannel and kIntGroup.
IntegerForm integer_form(const Encoding& encoding);

// weight [out, in] (not sparse; with a scale for each row) and bias [out] (undefined when there is none). by_quads:
// int8 only.
std::unique_ptr<PackedLinear> pack_weights(const EncodedTensor& weight, const Tensor& bias,
                                           const ExecutorOptions& options, bool by_quads = false);

// The packed weights of a node's inputs [begin, end), each a weight and its bias, which must be constant: taken from
// the executor's store when another one has packed them already, else what `pack` makes.
std::shared_ptr<const PackedLinear> shared_weights(const NodeBinding& binding, size_t begin, size_t end,
                                                   FunctionRef<std::unique_ptr<PackedLinear>()> pack);

// How a sparse weight runs: by its quads that have a number, where so few do that it is faster on this table; else with
// all its zeros. Never by quads: dense ones, floats, integers whose inputs stay floats.
bool runs_by_quads(const EncodedTensor& weight, const ExecutorOptions& options);

// Whether products with these weights take bf16: dense ones that are stored so, or all dense ones by the options, and
// integers whose inputs stay floats.
bool multiplies_in_bf16(const EncodedTensor& weight, const ExecutorOptions& options);

// Whether the linear that makes `value` computes with less than f32: what works on its result may round as much.
bool has_coarse_weights(const NodeBinding& binding, ValueId value);

}  // namespace fettle
