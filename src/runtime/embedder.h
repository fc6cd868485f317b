// Sentence embeddings: the hidden states of a text's own tokens, pooled.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "model/sentence_pipeline.h"
#include "runtime/session.h"

namespace fettle {

// Not thread safe.
class Embedder {
 public:
  // The pipeline is the model's own, or mean pooling when it has none. kBadInput when the model has no tokenizer.
  Embedder(std::shared_ptr<const Model> model, const SentencePipeline& pipeline, const SessionOptions& options = {});

  int64_t width() const { return width_; }
  // [n, width], f32, in the order of the texts; runs them in batches of texts of like length.
  Tensor embed(std::span<const std::string> texts);
  // Of the hidden states [tokens, hidden] of a batch: [n, width].
  Tensor pool(const Tensor& hidden, const RaggedBatch& batch) const;

  Session& session() { return session_; }

 private:
  void pool_sequence(const float* hidden, int64_t n_tokens, float* out) const;
  std::vector<float> run_steps(std::vector<float> values) const;

  std::shared_ptr<const Model> model_;
  SentencePipeline pipeline_;
  Session session_;
  int64_t width_ = 0;
};

}  // namespace fettle
