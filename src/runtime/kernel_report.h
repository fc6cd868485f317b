// Which kernel runs a node, why no other, and what it has to read: for --explain and for the roofline.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "kernels/kernel_table.h"

namespace fettle {

struct NodeBinding;

// What the multiplications of a node are done in: the peak that bounds it.
enum class Arithmetic : uint8_t { kF32, kBF16, kInt8 };
std::string_view arithmetic_name(Arithmetic arithmetic);  // "f32", "bf16", "int8"

struct KernelReport {
  std::string op;
  std::string node;    // where it stands in the model
  std::string kernel;  // encoding and instruction set: "int8-channel amx", "f32 avx512", "reference"
  std::string reason;  // why not a faster one, in a short phrase; empty when there is none
  Arithmetic arithmetic = Arithmetic::kF32;
  std::string besides;  // what it does for the nodes that read its output, in a short phrase; empty for nothing
};

// Of a node with a kernel of its own, or of one that runs by its op's reference.
KernelReport report_kernel(const NodeBinding& binding, bool has_kernel);

// Bytes of constants that a node reads in a run of r output rows: fixed + r · per_row. Integer weights count as stored
// with their scales, dense ones at the width of the products (f32 4, bf16 2); of tables only the rows looked up.
struct WeightTraffic {
  double fixed = 0;
  double per_row = 0;
  // The same as the op's cost counts it: everything as f32.
  double counted_fixed = 0;
  double counted_per_row = 0;
};
WeightTraffic weight_traffic(const NodeBinding& binding);

}  // namespace fettle
