// Sparse models: the answers are those of the same weights stored dense, bit for bit, on every instruction set, whether
// a layer runs by its quads or with its zeros.
#include <gtest/gtest.h>

#include "kernels/dispatch.h"
#include "runtime/session.h"
#include "runtime/test_graphs.h"
#include "tensor/sparse.h"

namespace fettle {
namespace {

// Of every linear of the layers one quad of `one_of` is left.
Model thinned(int64_t one_of, const Encoding& numbers) {
  ModelConfig config = test::small_config(Architecture::kBert, 5);
  config.layers.assign(2, {.n_heads = 3, .head_dim = 16, .intermediate_size = 80});
  Model model = make_model(config, nullptr, 3);
  for (const std::string& name : model.parameters.names()) {
    const EncodedTensor& stored = model.parameters.get(name);
    if (stored.shape.size() != 2 || name.find(".layer.") == std::string::npos) continue;
    Tensor values = stored.decode().clone();
    for (int64_t i = 0; i < values.size(); ++i) {
      if (i / 4 % one_of != 0) values.mutable_data<float>()[i] = 0;
    }
    model.parameters.set(name, encode(values, numbers));
  }
  return model;
}

Model sparse(const Model& dense) {
  Model model = dense;
  int n_sparse = 0;
  for (const std::string& name : dense.parameters.names()) {
    const EncodedTensor& stored = dense.parameters.get(name);
    if (stored.shape.size() != 2 || name.find(".layer.") == std::string::npos) continue;
    model.parameters.set(name, to_sparse(stored, SparsePattern::kBlock4x1));
    ++n_sparse;
  }
  EXPECT_EQ(n_sparse, 12);
  return model;
}

std::vector<float> logits(const Model& model, const SessionOptions& options) {
  Session session(std::make_shared<const Model>(model), options);
  const Tensor result = session.classify(test::random_batch({5, 1, 17, 36}, 97, 3));
  return {result.floats().begin(), result.floats().end()};
}

TEST(SparseSession, AnswersAsTheDenseModel) {
  for (const Encoding& numbers :
       {Encoding::int8_channel(), Encoding::dense(DType::kF32), Encoding::dense(DType::kBF16)}) {
    for (const int64_t one_of : {2, 5, 20}) {
      const Model dense = thinned(one_of, numbers);
      const Model thin = sparse(dense);
      for (const KernelTable* table : supported_tables()) {
        SCOPED_TRACE(testing::Message() << encoding_name(numbers) << ", 1 of " << one_of << ", " << table->name);
        for (const bool fast_path : {true, false}) {
          const SessionOptions options{.n_threads = 2, .fast_path = fast_path, .isa = std::string(table->name)};
          EXPECT_EQ(logits(thin, options), logits(dense, options));
        }
      }
    }
  }
}

}  // namespace
}  // namespace fettle
