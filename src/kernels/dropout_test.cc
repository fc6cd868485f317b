// Every table's dropout against the definition in base/philox.h, bit for bit.
#include "kernels/training_test.h"

namespace fettle {
namespace {

using Dropout = Training;

constexpr uint64_t kSeed = 0x123456789abcdefull;
constexpr uint64_t kStream = (uint64_t{7} << 40) + 5;

Floats expected_dropout(const Floats& x, float p, uint64_t first) {
  Floats y(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    y[i] = dropout_keep(kSeed, kStream, first + i, p) ? x[i] * (1.0f / (1.0f - p)) : 0.0f;
  }
  return y;
}

TEST_P(Dropout, HasTheBitsOfItsDefinition) {
  const float almost_one = 1.0f - 0x1p-24f;  // rounds to dropping all
  for (const int64_t n : {1, 3, 7, 8, 9, 57, 63, 64, 65, 127, 128, 131, 1000}) {
    const Floats x = normal_values(n, 4);
    for (const uint64_t first :
         {0ull, 1ull, 2ull, 6ull, 7ull, 8ull, 63ull, 255ull, (1ull << 35) - 9, (1ull << 36) - 71, 1ull << 63}) {
      for (const float p : {0.0f, 1e-6f, 0.1f, 0.5f, 0.99f, 0.99998f, almost_one}) {
        Floats got(x.size());
        table().dropout(x.data(), got.data(), n, p, kSeed, kStream, first);
        ASSERT_EQ(got, expected_dropout(x, p, first)) << n << " " << first << " " << p;
      }
    }
  }
}

TEST_P(Dropout, IsTheSameInPiecesAndInPlace) {
  const int64_t n = 700;
  const Floats x = normal_values(n, 5);
  const Floats whole = expected_dropout(x, 0.3f, 21);
  for (const int64_t piece : {1, 5, 8, 64, 67, 200}) {
    Floats y = x;
    for (int64_t i = 0; i < n; i += piece) {
      table().dropout(&y[i], &y[i], std::min(piece, n - i), 0.3f, kSeed, kStream, 21 + static_cast<uint64_t>(i));
    }
    EXPECT_EQ(y, whole) << piece;
  }
  Floats untouched = x;
  table().dropout(x.data(), untouched.data(), 0, 0.3f, kSeed, kStream, 3);
  EXPECT_EQ(untouched, x);
}

TEST_P(Dropout, OfZeroKeepsAllAndOfAlmostOneNothing) {
  const Floats x = normal_values(300, 6);
  Floats y(x.size());
  table().dropout(x.data(), y.data(), 300, 0.0f, kSeed, kStream, 0);
  EXPECT_EQ(y, x);
  table().dropout(x.data(), y.data(), 300, 1.0f - 0x1p-18f, kSeed, kStream, 0);
  EXPECT_EQ(y, Floats(x.size(), 0.0f));
}

// Each of a block's eight halves drops the right share, and no two halves beside each other know of each other.
TEST_P(Dropout, DropsTheRightShareInEveryPlace) {
  const int64_t n = 1 << 19;
  const Floats x(n, 1.0f);
  Floats y(x.size());
  const float p = 0.1f;
  table().dropout(x.data(), y.data(), n, p, kSeed, kStream, 0);
  const double share = 6554.0 / 65536.0;
  const double per_place = n / 8;
  for (int64_t place = 0; place < 8; ++place) {
    double dropped = 0;
    double with_next = 0;
    for (int64_t i = place; i + 1 < n; i += 8) {
      dropped += y[i] == 0 ? 1 : 0;
      with_next += y[i] == 0 && y[i + 1] == 0 ? 1 : 0;
    }
    EXPECT_NEAR(dropped, per_place * share, 5 * std::sqrt(per_place * share * (1 - share))) << place;
    EXPECT_NEAR(with_next, per_place * share * share, 5 * std::sqrt(per_place * share * share)) << place;
  }
}

INSTANTIATE_TEST_SUITE_P(Tables, Dropout, every_table(), name_of_table);

}  // namespace
}  // namespace fettle
