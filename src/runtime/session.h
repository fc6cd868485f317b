// A model ready to answer: graph built, optimized, planned and packed.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "graph/passes.h"
#include "model/model.h"
#include "runtime/executor.h"
#include "tensor/ragged.h"

namespace fettle {

struct SessionOptions {
  int n_threads = 0;       // 0: all cores
  bool fast_path = true;   // graph passes on; off runs the same graph op by op
  std::string isa;         // kernel table; "" is the best
  bool reference = false;  // plain loops for everything
  Precision precision = Precision::kF32;
  // Keep packed weights in a file of the model's folder and take them from there (runtime/packed_cache.h). Only on the
  // fast path, and of a model that was read from a folder.
  bool packed_cache = false;
};

// Not thread safe. Packs from the model's parameters and then lets their mapped pages go; keeps the model alive.
class Session {
 public:
  explicit Session(std::shared_ptr<const Model> model, const SessionOptions& options = {});
  ~Session();
  // Another session, for another thread, that shares this one's packed weights. Not while this one is in use.
  std::unique_ptr<Session> share(int n_threads) const;

  const Model& model() const;
  // Logits [n_sequences, n_labels]; valid until the next call.
  Tensor classify(const RaggedBatch& batch);
  // Tokenizes (truncating to max_positions) and classifies; n texts at once.
  Tensor classify_texts(std::span<const std::string> texts);
  // Final hidden states [tokens, hidden].
  Tensor hidden(const RaggedBatch& batch);

  Executor& executor();
  // What each pass did, for --explain: {name, rewrites}.
  struct PassReport {
    std::string name;
    int64_t rewrites = 0;
  };
  const std::vector<PassReport>& passes() const;
  // Every place where a pass found its pattern: fused, or why not. Empty on the slow path.
  const std::vector<FusionReport>& fusions() const;
  // What computes the answers: logits, or hidden states of a model without a head. Valid until the next call.
  Tensor run(const RaggedBatch& batch);

 private:
  struct Impl;
  explicit Session(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace fettle
