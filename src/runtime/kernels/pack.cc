#include "runtime/kernels/pack.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>

#include "base/checksum.h"
#include "base/error.h"
#include "runtime/packed_store.h"
#include "tensor/int_grid.h"
#include "tensor/int_group.h"
#include "tensor/sparse.h"

namespace fettle {
namespace {

float input_scale_of(const EncodedTensor& weight) {
  return weight.encoding.static_input ? weight.input_scale : 0;
}

constexpr int kInt4Bits = 4;
// What a group as wide as a row is rounded up to: a multiple that every table's kernel for four bits has groups of.
constexpr int64_t kWidthMultiple = 128;

int64_t int4_group_size(const Encoding& encoding, int64_t in_features) {
  if (encoding.group_size > 0) return encoding.group_size;
  return std::max<int64_t>(1, (in_features + kWidthMultiple - 1) / kWidthMultiple) * kWidthMultiple;
}

bool is_int4(const Encoding& encoding) {
  return encoding.kind == EncodingKind::kIntGroup && !encoding.asymmetric && encoding.bits <= kInt4Bits;
}

std::unique_ptr<PackedLinear> pack_int4(const EncodedTensor& weight, const float* bias, const KernelTable& table) {
  const Tensor values = int4_halves(weight);
  const Tensor scales = weight.scales.to(DType::kF32);
  const Int4Weights weights{.out_features = weight.shape[0],
                            .in_features = weight.shape[1],
                            .group_size = int4_group_size(weight.encoding, weight.shape[1]),
                            .values = values.data<uint8_t>(),
                            .scales = scales.data<float>(),
                            .bias = bias,
                            .input_scale = input_scale_of(weight)};
  return weight.encoding.input_bits == 8 ? table.pack_int4(weights) : table.pack_int4_bf16(weights);
}

// What inputs and weights are multiplied in.
enum class Product : uint8_t { kF32, kBF16, kInt8 };
std::string_view product_name(Product product) {
  return product == Product::kInt8 ? "int8" : product == Product::kBF16 ? "bf16" : "f32";
}

Product product_of(const EncodedTensor& weight, const ExecutorOptions& options) {
  if (numbers_of(weight.encoding).kind != EncodingKind::kDense) {
    const IntegerForm form = integer_form(numbers_of(weight.encoding));
    return form != IntegerForm::kBF16 && weight.encoding.input_bits == 8 ? Product::kInt8 : Product::kBF16;
  }
  const bool as_bf16 = options.precision == Precision::kBF16 || weight.data.dtype() == DType::kBF16;
  return as_bf16 ? Product::kBF16 : Product::kF32;
}

std::unique_ptr<PackedLinear> pack_plain(const LinearWeights& weights, Product product, const KernelTable& table,
                                         bool by_quads) {
  switch (product) {
    case Product::kInt8:
      return by_quads ? table.pack_sparse_int8(weights) : table.pack_int8(weights);
    case Product::kBF16:
      return table.pack_bf16(weights);
    case Product::kF32:
      break;
  }
  return table.pack_f32(weights);
}

std::unique_ptr<PackedLinear> take_image(const EncodedTensor& weight, const Shape& shape, const PackedImage& image,
                                         const ExecutorOptions& options, bool by_quads) {
  const Product product = product_of(weight, options);
  if (!is_int4(weight.encoding)) {
    const LinearWeights weights{
        .out_features = shape[0], .in_features = shape[1], .image = &image, .input_scale = input_scale_of(weight)};
    return pack_plain(weights, product, *options.table, by_quads);
  }
  const Int4Weights weights{.out_features = shape[0],
                            .in_features = shape[1],
                            .group_size = int4_group_size(weight.encoding, shape[1]),
                            .image = &image,
                            .input_scale = input_scale_of(weight)};
  return product == Product::kInt8 ? options.table->pack_int4(weights) : options.table->pack_int4_bf16(weights);
}

// "f32 [768, 3072] 0123456789abcdef": type, shape and checksum of the elements.
std::string fingerprint(const Tensor& tensor, ThreadPool& pool) {
  const std::span bytes(static_cast<const std::byte*>(tensor.raw()), static_cast<size_t>(tensor.size_bytes()));
  return fmt::format("{} {} {:016x}\n", dtype_name(tensor.dtype()), shape_to_string(tensor.shape()),
                     checksum64(bytes, pool));
}

// Pairs of a weight and its bias that are packed as one run by quads when all of them do.
bool run_by_quads(const NodeBinding& binding, size_t begin, size_t end) {
  for (size_t i = begin; i < end; i += 2) {
    if (!runs_by_quads(binding.parameters.stored(binding.node.inputs[i]), binding.options)) return false;
  }
  return true;
}

// Of the inputs [begin, end), pairs of a weight and its bias.
PackedSource source_of(const NodeBinding& binding, size_t begin, size_t end, const std::string& name) {
  PackedSource source{.name = name, .shape = {}, .encoding = {}};
  std::string all;
  for (size_t i = begin; i < end; ++i) {
    if (!binding.has(i)) continue;
    const EncodedTensor& stored = binding.parameters.stored(binding.node.inputs[i]);
    all += fmt::format("{} {}\n", i - begin, encoding_name(stored.encoding));
    all += fingerprint(stored.data, *binding.options.pool);
    if (stored.scales.defined()) all += fingerprint(stored.scales, *binding.options.pool);
    if (stored.index.defined()) all += fingerprint(stored.index, *binding.options.pool);
    if (stored.zeros.defined()) all += fingerprint(stored.zeros, *binding.options.pool);
    if (i == begin) {
      source.shape = stored.shape;
      source.encoding = fmt::format("{}, {} products{}", encoding_name(stored.encoding),
                                    product_name(product_of(stored, binding.options)),
                                    run_by_quads(binding, begin, end) ? " of quads" : "");
    } else if ((i - begin) % 2 == 0) {
      source.shape[0] += stored.shape[0];
    }
  }
  source.checksum = checksum64(all);
  return source;
}

std::unique_ptr<PackedLinear> from_cache(const NodeBinding& binding, size_t begin, size_t end,
                                         const PackedSource& source, PackedCache& cache) {
  const std::optional<PackedImage> image = cache.find(source, *binding.options.pool);
  if (!image.has_value()) return nullptr;
  try {
    return take_image(binding.parameters.stored(binding.node.inputs[begin]), source.shape, *image, binding.options,
                      run_by_quads(binding, begin, end));
  } catch (const Error& error) {
    cache.reject(error.what());
    return nullptr;
  }
}

}  // namespace

IntegerForm integer_form(const Encoding& encoding) {
  const bool grouped = encoding.kind == EncodingKind::kIntGroup;
  if (is_int4(encoding) || (!grouped && encoding.input_bits == 8)) return IntegerForm::kAsStored;
  return encoding.input_bits == 8 && encoding.bits < 8 ? IntegerForm::kInt8Rows : IntegerForm::kBF16;
}

bool runs_by_quads(const EncodedTensor& weight, const ExecutorOptions& options) {
  const bool is_candidate =
      weight.encoding.kind == EncodingKind::kSparse && product_of(weight, options) == Product::kInt8;
  return is_candidate && kept_quads(weight) <= options.table->sparse_below;
}

bool multiplies_in_bf16(const EncodedTensor& weight, const ExecutorOptions& options) {
  return product_of(weight, options) == Product::kBF16;
}

std::unique_ptr<PackedLinear> pack_weights(const EncodedTensor& weight, const Tensor& bias,
                                           const ExecutorOptions& options, bool by_quads) {
  const Product product = product_of(weight, options);
  LinearWeights weights;
  weights.out_features = weight.shape[0];
  weights.in_features = weight.shape[1];
  weights.bias = bias.defined() ? bias.data<float>() : nullptr;
  if (is_int4(weight.encoding)) return pack_int4(weight, weights.bias, *options.table);
  if (product == Product::kInt8) {
    const bool is_grouped = weight.encoding.kind == EncodingKind::kIntGroup;
    const EncodedTensor rows = is_grouped ? encode(weight.decode(), Encoding::int8_channel()) : weight;
    weights.weight = rows.data.raw();
    weights.scales = rows.scales.data<float>();
    weights.input_scale = input_scale_of(weight);
    return pack_plain(weights, product, *options.table, by_quads);
  }
  // Integers whose inputs stay floats are widened to bf16, as those of 4 bits are.
  const bool is_dense = weight.encoding.kind == EncodingKind::kDense;
  const Tensor values =
      (is_dense ? weight.data : weight.decode()).to(product == Product::kBF16 ? DType::kBF16 : DType::kF32);
  weights.weight = values.raw();
  return pack_plain(weights, product, *options.table, false);
}

std::shared_ptr<const PackedLinear> shared_weights(const NodeBinding& binding, size_t begin, size_t end,
                                                   FunctionRef<std::unique_ptr<PackedLinear>()> pack) {
  PackedStore* store = binding.options.packed;
  std::string key;
  for (size_t i = begin; i < end; ++i) {
    if (!binding.has(i)) continue;
    const Value& value = binding.graph.value(binding.node.inputs[i]);
    // Constants of a graph have no names to tell them apart by.
    if (value.kind != ValueKind::kParameter) store = nullptr;
    key += value.name + '\n';
  }
  if (store == nullptr) return pack();
  return store->get(key, [&] {
    PackedCache* const cache = store->cache();
    if (cache == nullptr) return pack();
    PackedSource source = source_of(binding, begin, end, key);
    std::unique_ptr<PackedLinear> packed = from_cache(binding, begin, end, source, *cache);
    if (packed == nullptr) packed = pack();
    cache->add(std::move(source), *packed);
    return packed;
  });
}

bool has_coarse_weights(const NodeBinding& binding, ValueId value) {
  const NodeId producer = binding.graph.value(value).producer;
  if (producer < 0) return false;
  const Node& linear = binding.graph.nodes()[static_cast<size_t>(producer)];
  if (!linear.op->name().starts_with("linear") || !binding.parameters.is_constant(linear.inputs[1])) return false;
  const EncodedTensor& weight = binding.parameters.stored(linear.inputs[1]);
  return numbers_of(weight.encoding).kind != EncodingKind::kDense || multiplies_in_bf16(weight, binding.options);
}

}  // namespace fettle
