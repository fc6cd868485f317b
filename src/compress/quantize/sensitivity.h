// How much what a classifier answers changes when a weight is rounded: the Kullback-Leibler divergence of its labels'
// probabilities from those of the model in float, over texts.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "compress/quantize/plan.h"
#include "data/dataset.h"
#include "model/model.h"

namespace fettle {

struct SensitivityOptions {
  int64_t n_samples = 128;  // texts of the data, evenly spaced
  int64_t max_length = 64;  // tokens of each
  int n_threads = 0;
  std::string isa;
};

// What a weight could become.
struct WeightChoice {
  std::string name;
  EncodedTensor encoded;  // dense: as it is
  double kl = 0;          // nats a text, with this weight alone as `encoded` and all others in float
};

// Measures choices on one model and texts. Products are in f32, so that nothing but the weights is rounded; inputs of
// linears are not, whatever the encoding says of them. The same numbers at any number of threads.
class LogitProbe {
 public:
  // Copies the model's parameters as f32. Errors: kBadInput for a model without a classification head, tokenizer or
  // texts, and for one that gives numbers instead of labels.
  LogitProbe(const Model& model, const Dataset& texts, const SensitivityOptions& options);
  ~LogitProbe();

  // Mean over the texts of KL(float ‖ with these weights in the place of the model's). kFailed where logits are not
  // finite.
  double kl(const std::map<std::string, const EncodedTensor*>& weights);
  double kl(const std::string& name, const EncodedTensor& weight) { return kl({{name, &weight}}); }

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Every weight as every plan has it, rounded to nearest and measured alone: in the order of the model, and of the plans
// for one weight. What two plans have alike is measured once. Shows progress.
std::vector<WeightChoice> measure_sensitivity(LogitProbe& probe, const Model& model,
                                              const std::vector<QuantizePlan>& plans);

}  // namespace fettle
