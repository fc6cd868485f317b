// Packed linears made of an image: the same bits as packed from the weights, in every table and encoding.
#include <gtest/gtest.h>

#include <cstring>
#include <functional>

#include "base/error.h"
#include "base/memory.h"
#include "kernels/packed_linear_test.h"
#include "kernels/packing.h"
#include "tensor/dtype.h"

namespace fettle {
namespace {

// One packing function with weights of its own; given an image, the weights are left out.
struct Packing {
  std::string name;
  std::function<std::unique_ptr<PackedLinear>(const KernelTable&, const PackedImage*)> pack;
};

class Images : public testing::TestWithParam<LinearShape> {
 protected:
  Images()
      : p_(GetParam()),
        f32_(random_floats(p_.shape.out * p_.shape.in, 6)),
        nibbles_(static_cast<size_t>(p_.shape.out * ((p_.shape.in + 1) / 2))) {
    for (const float value : f32_) bf16_.push_back(f32_to_bf16(value));
    Philox random(4);
    for (uint8_t& pair : nibbles_) pair = static_cast<uint8_t>(random.below(256));
  }

  LinearWeights plain(LinearWeights weights, const PackedImage* image) const {
    if (image == nullptr) return weights;
    return {.out_features = weights.out_features, .in_features = weights.in_features, .image = image};
  }
  Int4Weights int4(int64_t group_size, const PackedImage* image) {
    Int4Weights weights{
        .out_features = p_.shape.out, .in_features = p_.shape.in, .group_size = group_size, .image = image};
    if (image != nullptr) return weights;
    group_scales_ = random_floats(p_.shape.out * ((p_.shape.in + group_size - 1) / group_size), 8);
    for (float& scale : group_scales_) scale = std::fabs(scale);
    weights.values = nibbles_.data();
    weights.scales = group_scales_.data();
    weights.bias = p_.bias.data();
    return weights;
  }

  std::vector<Packing> packings() {
    std::vector<Packing> all = {
        {"f32", [this](const auto& table, auto* i) { return table.pack_f32(plain(p_.weights(f32_.data()), i)); }},
        {"bf16", [this](const auto& table, auto* i) { return table.pack_bf16(plain(p_.weights(bf16_.data()), i)); }},
        {"int8", [this](const auto& table, auto* i) { return table.pack_int8(plain(p_.int8_weights(), i)); }},
        {"int8 quads",
         [this](const auto& table, auto* i) { return table.pack_sparse_int8(plain(p_.int8_weights(), i)); }}};
    for (const int64_t group : {8, 32}) {
      const std::string name = "int4 groups of " + std::to_string(group);
      all.push_back({name, [=, this](const auto& table, auto* i) { return table.pack_int4(int4(group, i)); }});
      all.push_back(
          {name + ", bf16", [=, this](const auto& table, auto* i) { return table.pack_int4_bf16(int4(group, i)); }});
    }
    return all;
  }

  LinearProblem p_;
  std::vector<float> f32_;
  std::vector<uint16_t> bf16_;
  std::vector<uint8_t> nibbles_;
  std::vector<float> group_scales_;
};

PackedImage kept(std::span<const std::byte> bytes) {
  const auto block = allocate_block(std::ssize(bytes));
  if (!bytes.empty()) std::memcpy(block.get(), bytes.data(), bytes.size());
  return {{block.get(), bytes.size()}, block};
}

TEST_P(Images, GiveTheSameBits) {
  ThreadPool pool(2);
  for (const KernelTable* table : supported_tables()) {
    for (const Packing& packing : packings()) {
      const auto what = testing::Message() << table->name << ", " << packing.name;
      auto packed = packing.pack(*table, nullptr);
      const std::vector<uint32_t> expected = bits(p_.run(*packed, pool));
      const int64_t size_bytes = packed->size_bytes();
      PackedImage image = kept(packed->image());
      packed.reset();
      const auto again = packing.pack(*table, &image);
      EXPECT_EQ(again->image().data(), image.bytes.data()) << what << " is copied";
      image = {};  // the linear keeps the memory
      EXPECT_EQ(bits(p_.run(*again, pool)), expected) << what;
      EXPECT_EQ(again->size_bytes(), size_bytes) << what;
      EXPECT_EQ(std::ssize(again->image()), size_bytes) << what;
    }
  }
}

TEST_P(Images, OfAnotherSizeOrPlaceAreRefused) {
  for (const KernelTable* table : supported_tables()) {
    for (const Packing& packing : packings()) {
      const auto what = testing::Message() << table->name << ", " << packing.name;
      const PackedImage image = kept(packing.pack(*table, nullptr)->image());
      const PackedImage shorter{image.bytes.first(image.bytes.size() - 64), image.owner};
      EXPECT_THROW(packing.pack(*table, &shorter), Error) << what;
      const PackedImage empty;
      EXPECT_THROW(packing.pack(*table, &empty), Error) << what;
      const PackedImage longer = kept(std::vector<std::byte>(image.bytes.size() + 64));
      EXPECT_THROW(packing.pack(*table, &longer), Error) << what;
      const PackedImage moved{longer.bytes.subspan(32, image.bytes.size()), longer.owner};
      EXPECT_THROW(packing.pack(*table, &moved), Error) << what;
    }
  }
}

// Whoever can write the file cannot make a product read or write where it should not.
TEST_P(Images, OfAnyBytesAreHarmless) {
  ThreadPool pool(1);
  Philox random(12);
  for (const KernelTable* table : supported_tables()) {
    for (const Packing& packing : packings()) {
      std::vector<std::byte> bytes(packing.pack(*table, nullptr)->image().size());
      for (std::byte& byte : bytes) byte = static_cast<std::byte>(random.below(256));
      const PackedImage image = kept(bytes);
      // Quads say how many they are, and are refused.
      if (packing.name == "int8 quads" && table->sparse_below > 0) {
        EXPECT_THROW(packing.pack(*table, &image), Error);
        continue;
      }
      const std::vector<float> y = p_.run(*packing.pack(*table, &image), pool);
      for (int64_t r = 0; r < p_.shape.rows; ++r) {
        for (int64_t o = p_.shape.out; o < p_.ldy; ++o) ASSERT_EQ(y[static_cast<size_t>(r * p_.ldy + o)], kUntouched);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, Images,
                         testing::Values(LinearShape{3, 1, 1}, LinearShape{17, 198, 133}, LinearShape{1, 64, 96},
                                         LinearShape{40, 1000, 300}));

// avx2 and avx512 lay out alike.
TEST(Packing, IsTheSameEveryTimeAndTellsLayoutsApart) {
  const uint64_t reference = packing_fingerprint(table_named("reference"));
  for (const KernelTable* table : supported_tables()) {
    EXPECT_EQ(packing_fingerprint(*table), packing_fingerprint(*table)) << table->name;
    EXPECT_EQ(packing_fingerprint(*table) == reference, table->name == "reference") << table->name;
  }
}

// A table that packs one encoding as another does is another layout, whatever its name is.
TEST(Packing, SeesOneChangedFunction) {
  for (const KernelTable* table : supported_tables()) {
    KernelTable changed = *table;
    changed.pack_int4 = changed.pack_int4_bf16;
    EXPECT_NE(packing_fingerprint(changed), packing_fingerprint(*table)) << table->name;
  }
}

}  // namespace
}  // namespace fettle
