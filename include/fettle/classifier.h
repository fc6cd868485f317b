// Text classification with a model folder in Hugging Face layout.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace fettle {

struct Classification {
  std::string label;
  float score = 0;       // softmax probability of the most likely label
  bool in_scope = true;  // false: the out-of-scope class won, or the score is below the model's fitted threshold
};

struct ClassifierOptions {
  int n_threads = 0;  // 0: all cores
  std::string isa;    // kernel table, "" for the best
  // Keep the weights as they are packed for the processor in a file of the model's folder, and take them from there.
  bool packed_cache = false;
};

// Not thread safe: one classifier for each thread that calls it.
class Classifier {
 public:
  // Errors (fettle::Error): kIo and kBadInput for a model that cannot be read or has no classification head.
  explicit Classifier(const std::string& model_folder, const ClassifierOptions& options = {});
  ~Classifier();
  Classifier(Classifier&&) noexcept;
  Classifier& operator=(Classifier&&) noexcept;

  Classification classify(std::string_view text);
  // Several texts at once, faster than one by one.
  std::vector<Classification> classify(const std::vector<std::string>& texts);
  // By label id.
  const std::vector<std::string>& labels() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fettle
