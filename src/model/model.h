// A model: configuration, parameters, tokenizer and the record of how it was made.
#pragma once

#include <filesystem>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "format/tensor_store.h"
#include "graph/graph.h"
#include "model/config.h"
#include "model/sentence_pipeline.h"
#include "tensor/encoding.h"
#include "text/tokenizer.h"

namespace fettle {

// Parameters by their Hugging Face names, in insertion order.
class ParameterStore {
 public:
  void set(std::string name, EncodedTensor value);
  bool has(std::string_view name) const;
  const EncodedTensor& get(std::string_view name) const;  // kBadInput naming it when it is absent
  EncodedTensor& get_mutable(std::string_view name);
  void erase(std::string_view name);
  const std::vector<std::string>& names() const { return order_; }
  int64_t parameter_count() const;
  int64_t size_bytes() const;  // as encoded

 private:
  std::vector<std::string> order_;
  std::map<std::string, EncodedTensor, std::less<>> values_;
};

struct Model {
  ModelConfig config;
  ParameterStore parameters;
  std::shared_ptr<const Tokenizer> tokenizer;  // may be null (a model given by its config only)
  Json manifest = Json::object();  // fettle.json: parents by SHA-256, steps, measurements; empty for foreign models
  // Score below which a query counts as out of scope, fitted on validation data; absent (NaN) when never fitted.
  double oos_threshold = std::numeric_limits<double>::quiet_NaN();
  std::optional<SentencePipeline> sentence;  // of a sentence-transformers folder
  std::filesystem::path source;              // where it was read from; empty when made here
  // What the parameters of a loaded model are views of: drop_pages() gives memory back once they are packed. Null when
  // made here.
  std::shared_ptr<const TensorStore> mapped_weights;
};

// A Hugging Face folder, or that of a sentence-transformers model. Parameters stay mapped from the file until they are
// packed or changed. Every tensor that the graph needs must be there with the shape that the config says; others are
// ignored with a log line. Quantized models are those that save_model writes. Also accepts checkpoints without the head
// ("bert." prefix absent or the classifier missing): then the head is initialized from `seed` when `allow_new_head`,
// else kBadInput.
struct LoadOptions {
  bool allow_new_head = false;
  std::vector<std::string> labels;     // for a new head
  std::optional<ProblemType> problem;  // of a new head; absent: that of the model's own
  uint64_t seed = 0;
};
Model load_model(const std::filesystem::path& folder, const LoadOptions& options = {});

// Writes config.json, model.safetensors, tokenizer files and fettle.json; atomically, refusing an existing target
// unless `replace`. int8 parameters are written as I8 `X.weight` with F32 `X.weight_scale` [out, 1] or [1], those in
// groups as I32 `X.weight_packed` with `X.weight_scale` [out, groups], I64 `X.weight_shape` and, when they have zero
// points, I32 `X.weight_zero_point`, all with a compressed-tensors `quantization_config`; the scale of static inputs as
// F32 `X.input_scale` [1]; sparse ones as model/sparse_tensors.h tells. `more_files` (texts by name) appear in the
// folder at the same moment. Returns the size of the folder's model.safetensors in bytes. Error kInterrupted, with
// nothing written, when Ctrl-C came before the end.
int64_t save_model(const Model& model, const std::filesystem::path& folder, bool replace,
                   const std::map<std::string, std::string>& more_files = {});

// Random weights: normal(0, initializer_range) truncated at two deviations, zero biases, unit norms (seeded by
// parameter name).
Model make_model(const ModelConfig& config, std::shared_ptr<const Tokenizer> tokenizer, uint64_t seed);

// What a graph is for.
struct GraphOptions {
  enum class Head { kClassifier, kMaskedLm, kHidden };
  Head head = Head::kClassifier;
  bool training = false;  // with dropout nodes, and attention probabilities kept
};

// Outputs: "logits" [batch, n_labels] (kClassifier), "logits" [masked, vocab] (kMaskedLm), "hidden" [tokens, hidden].
// Parameters are named as in the store; ops and inputs are listed in docs/ops.md.
Graph build_graph(const ModelConfig& config, const GraphOptions& options);

// Names and shapes of all parameters that the graph of `options` needs.
std::vector<std::pair<std::string, Shape>> parameter_shapes(const ModelConfig& config, const GraphOptions& options);

}  // namespace fettle
