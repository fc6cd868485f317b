#include "runtime/kernel_report.h"

#include <fmt/format.h>

#include <algorithm>

#include "graph/infer.h"
#include "kernels/dispatch.h"
#include "runtime/kernels/pack.h"
#include "runtime/node_kernel.h"
#include "tensor/sparse.h"

namespace fettle {
namespace {

// The lowest supported table that has the same function: whose code it really is.
template <typename Function>
std::string_view origin_of(const KernelTable& table, Function KernelTable::*function) {
  for (const KernelTable* lower : supported_tables()) {
    if (lower->*function == table.*function) return lower->name;
  }
  return table.name;
}

bool is_linear(const Node& node) {
  return node.op->name().starts_with("linear");
}
bool is_matmul(const Node& node) {
  return node.op->name() == "matmul";
}

bool has_constant_weights(const NodeBinding& binding) {
  for (size_t i = 1; i < binding.node.inputs.size(); ++i) {
    if (binding.has(i) && !binding.is_constant(i)) return false;
  }
  return true;
}

// The common encoding of all weights of a linear, or that of the first and a reason.
struct WeightEncoding {
  Encoding encoding;
  bool alike = true;
};

WeightEncoding weight_encoding(const NodeBinding& binding) {
  WeightEncoding found{binding.parameters.stored(binding.node.inputs[1]).encoding, true};
  for (size_t i = 3; i < binding.node.inputs.size(); i += 2) {
    const Encoding& other = binding.parameters.stored(binding.node.inputs[i]).encoding;
    found.alike = found.alike && numbers_of(other) == numbers_of(found.encoding);
  }
  return found;
}

bool has_tiles(std::string_view table) {
  return table == "amx";
}

std::string no_tiles(const KernelTable& active) {
  if (has_tiles(active.name)) return "the tile unit is not used for this encoding";
  return fmt::format("no tile unit: the kernel table is {}", active.name);
}

IntegerForm form_of(const Encoding& stored) {
  const Encoding numbers = numbers_of(stored);
  return numbers.kind == EncodingKind::kDense ? IntegerForm::kAsStored : integer_form(numbers);
}
bool is_widened(const Encoding& stored) {
  return form_of(stored) == IntegerForm::kBF16;
}

// Integers that no kernel multiplies as they are stored.
void report_other_form(const WeightEncoding& weights, IntegerForm form, KernelReport& report) {
  const std::string stored = encoding_name(weights.encoding);
  if (form == IntegerForm::kInt8Rows) {
    report.reason = fmt::format("stored as {}, runs as int8: rounded to a scale for each row when packed", stored);
  } else if (weights.encoding.input_bits == 8) {
    report.reason = fmt::format("stored as {}, runs as bf16: the int8 products have one scale for each row", stored);
  } else if (weights.encoding.kind == EncodingKind::kIntGroup) {
    report.reason = fmt::format("stored as {}, runs as bf16: widened when packed", stored);
  } else {
    report.reason = "the inputs stay floats: the integers are widened to bf16";
  }
}

void report_integers(const NodeBinding& binding, const WeightEncoding& weights, KernelReport& report) {
  const KernelTable& table = *binding.options.table;
  const IntegerForm form = form_of(weights.encoding);
  const bool int8_inputs = weights.encoding.input_bits == 8 && form != IntegerForm::kBF16;
  report.arithmetic = int8_inputs ? Arithmetic::kInt8 : Arithmetic::kBF16;
  std::string_view origin;
  if (weights.encoding.kind == EncodingKind::kIntGroup && form == IntegerForm::kAsStored) {
    origin = origin_of(table, int8_inputs ? &KernelTable::pack_int4 : &KernelTable::pack_int4_bf16);
  } else {
    origin = int8_inputs ? origin_of(table, &KernelTable::pack_int8) : origin_of(table, &KernelTable::pack_bf16);
  }
  report.kernel = fmt::format("{} {}", encoding_name(weights.encoding), origin);
  if (!has_tiles(origin)) report.reason = no_tiles(table);
  if (form != IntegerForm::kAsStored) report_other_form(weights, form, report);
}

// Sparse weights: by their quads, or why not.
void report_sparse(const NodeBinding& binding, const WeightEncoding& weights, KernelReport& report) {
  double most_kept = 0;
  bool by_quads = true;
  for (size_t i = 1; i < binding.node.inputs.size(); i += 2) {
    const EncodedTensor& stored = binding.parameters.stored(binding.node.inputs[i]);
    most_kept = std::max(most_kept, kept_quads(stored));
    by_quads = by_quads && runs_by_quads(stored, binding.options);
  }
  const std::string stored = encoding_name(weights.encoding);
  const KernelTable& table = *binding.options.table;
  if (by_quads) {
    report.kernel = fmt::format("{} quads {}", stored, origin_of(table, &KernelTable::pack_sparse_int8));
    report.reason = "";
  } else if (report.arithmetic == Arithmetic::kInt8) {
    report.reason = fmt::format("stored as {}, runs dense: {:.0f} % of the quads are kept, quads pay up to {:.0f} %",
                                stored, 100 * most_kept, 100 * table.sparse_below);
  } else {
    report.reason = fmt::format("stored as {}, runs dense: only int8 products leave zeros out", stored);
  }
}

void report_dense(const NodeBinding& binding, const WeightEncoding& weights, KernelReport& report) {
  const KernelTable& table = *binding.options.table;
  const std::string stored = encoding_name(numbers_of(weights.encoding));
  const bool as_bf16 = multiplies_in_bf16(binding.parameters.stored(binding.node.inputs[1]), binding.options);
  const std::string_view origin =
      as_bf16 ? origin_of(table, &KernelTable::pack_bf16) : origin_of(table, &KernelTable::pack_f32);
  report.arithmetic = as_bf16 ? Arithmetic::kBF16 : Arithmetic::kF32;
  report.kernel = fmt::format("{} {}", as_bf16 ? "bf16" : "f32", origin);
  if (as_bf16) {
    if (!has_tiles(origin)) report.reason = no_tiles(table);
  } else if (stored == "f32") {
    report.reason = "weights are f32: no int8 or bf16 products";
  } else {
    report.reason = fmt::format("weights are stored as {} and widened to f32", stored);
  }
}

void report_packed_linear(const NodeBinding& binding, KernelReport& report) {
  const WeightEncoding weights = weight_encoding(binding);
  const WeightEncoding numbers{numbers_of(weights.encoding), weights.alike};
  if (numbers.encoding.kind == EncodingKind::kDense) {
    report_dense(binding, numbers, report);
  } else {
    report_integers(binding, numbers, report);
  }
  if (weights.encoding.kind == EncodingKind::kSparse) report_sparse(binding, weights, report);
  if (!weights.alike) report.reason = "encodings differ: a product for each";
}

// Weights that change between runs, as in training.
void report_product(const NodeBinding& binding, KernelReport& report) {
  const KernelTable& table = *binding.options.table;
  const bool as_bf16 = binding.options.precision == Precision::kBF16;
  report.arithmetic = as_bf16 ? Arithmetic::kBF16 : Arithmetic::kF32;
  report.kernel = as_bf16 ? fmt::format("bf16 {}", origin_of(table, &KernelTable::matmul_bf16))
                          : fmt::format("f32 {}", origin_of(table, &KernelTable::matmul_f32));
  if (is_linear(binding.node)) report.reason = "weights may change between runs: not packed";
}

std::string_view origin_of_op(const KernelTable& table, std::string_view op) {
  if (op == "attention") return origin_of(table, &KernelTable::attention);
  if (op == "attention_grad") return origin_of(table, &KernelTable::attention_grad);
  if (op == "layer_norm_grad") return origin_of(table, &KernelTable::layer_norm_grad);
  if (op == "gather_rows") return origin_of(table, &KernelTable::gather);
  if (op == "activate") return origin_of(table, &KernelTable::activate);
  return origin_of(table, &KernelTable::layer_norm);
}

template <typename Function>
void report_attention(const NodeBinding& binding, ValueId keys, Function KernelTable::*in_f32,
                      Function KernelTable::*in_bf16, KernelReport& report) {
  const KernelTable& table = *binding.options.table;
  const bool has_bf16 = table.*in_bf16 != table.*in_f32;
  if (has_bf16 && has_coarse_weights(binding, keys)) {
    report.arithmetic = Arithmetic::kBF16;
    report.kernel = fmt::format("bf16 {}", origin_of(table, in_bf16));
    return;
  }
  report.kernel = fmt::format("f32 {}", origin_of(table, in_f32));
  if (has_bf16) report.reason = "the products before are in f32: no rounding to bf16";
}

bool reads_tables(const NodeBinding& binding, size_t first_table) {
  return binding.is_constant(first_table) && binding.graph.type(binding.node.inputs[first_table]).shape.size() == 2;
}

// The first table of an op that looks rows up, or -1.
int first_table(const Node& node) {
  if (node.op->name() == "gather_rows") return 0;
  return node.op->name() == "embed_layer_norm" ? 2 : -1;
}

// Of integers.
int64_t bytes_with_zeros(const EncodedTensor& stored) {
  if (stored.encoding.kind != EncodingKind::kSparse) return stored.size_bytes();
  return element_count(stored.shape) + stored.scales.size_bytes();
}

double stored_bytes(const NodeBinding& binding, size_t input) {
  const EncodedTensor& stored = binding.parameters.stored(binding.node.inputs[input]);
  const bool is_product = is_linear(binding.node) && stored.shape.size() == 2;
  const bool widened = is_product && is_widened(stored.encoding);
  if (is_product && form_of(stored.encoding) == IntegerForm::kInt8Rows) {
    return static_cast<double>(element_count(stored.shape) + stored.shape[0] * dtype_size(DType::kF32));
  }
  const bool is_integer = numbers_of(stored.encoding).kind != EncodingKind::kDense;
  if (is_integer && !widened) {
    const bool with_zeros = is_product && !runs_by_quads(stored, binding.options);
    return static_cast<double>(with_zeros ? bytes_with_zeros(stored) : stored.size_bytes());
  }
  const bool as_bf16 = is_product && multiplies_in_bf16(stored, binding.options);
  return static_cast<double>(element_count(stored.shape)) * (as_bf16 ? 2 : 4);
}

void add_table(const NodeBinding& binding, size_t input, WeightTraffic& traffic) {
  const EncodedTensor& stored = binding.parameters.stored(binding.node.inputs[input]);
  const auto rows = static_cast<double>(std::max<int64_t>(1, stored.shape[0]));
  traffic.per_row += static_cast<double>(stored.size_bytes()) / rows;
  traffic.counted_per_row += static_cast<double>(stored.shape[1]) * sizeof(float);
}

}  // namespace

std::string_view arithmetic_name(Arithmetic arithmetic) {
  switch (arithmetic) {
    case Arithmetic::kBF16:
      return "bf16";
    case Arithmetic::kInt8:
      return "int8";
    case Arithmetic::kF32:
      break;
  }
  return "f32";
}

KernelReport report_kernel(const NodeBinding& binding, bool has_kernel) {
  const Node& node = binding.node;
  KernelReport report{.op = std::string(node.op->name()), .node = node.name, .kernel = {}, .reason = {}, .besides = {}};
  if (!has_kernel) {
    report.kernel = "reference";
    report.reason =
        binding.options.reference ? "references were asked for" : "the op has no kernel: its reference runs";
    return report;
  }
  if (is_linear(node) && has_constant_weights(binding)) {
    report_packed_linear(binding, report);
  } else if (is_linear(node) || is_matmul(node)) {
    report_product(binding, report);
  } else if (node.op->name() == "attention_packed") {
    report_attention(binding, node.inputs[0], &KernelTable::attention, &KernelTable::attention_bf16, report);
  } else if (node.op->name() == "attention_rows") {
    report_attention(binding, node.inputs[1], &KernelTable::attention_rows, &KernelTable::attention_rows_bf16, report);
  } else {
    report.kernel = fmt::format("f32 {}", origin_of_op(*binding.options.table, node.op->name()));
    const int table = first_table(node);
    if (table >= 0 && reads_tables(binding, static_cast<size_t>(table))) {
      const Encoding& stored = binding.parameters.stored(node.inputs[static_cast<size_t>(table)]).encoding;
      report.kernel =
          fmt::format("{} {}", encoding_name(stored), origin_of_op(*binding.options.table, node.op->name()));
    }
  }
  return report;
}

WeightTraffic weight_traffic(const NodeBinding& binding) {
  WeightTraffic traffic;
  const Node& node = binding.node;
  const int table = first_table(node);
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    if (!binding.is_constant(i)) continue;
    const bool is_table = table >= 0 && i >= static_cast<size_t>(table);
    if (is_table) {
      add_table(binding, i, traffic);
      continue;
    }
    traffic.fixed += stored_bytes(binding, i);
    traffic.counted_fixed += static_cast<double>(element_count(binding.parameters.stored(node.inputs[i]).shape)) * 4;
  }
  return traffic;
}

}  // namespace fettle
