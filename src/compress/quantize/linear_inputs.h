// What a model's linears read while it runs over texts: the part that all methods of quantization with data share.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "compress/factorize/input_moments.h"
#include "data/dataset.h"
#include "data/tokenized.h"
#include "kernels/kernel_table.h"
#include "model/model.h"

namespace fettle {

// Values that are read by one or more linears. Linears that share a value have one, and so do the places where layers
// share a weight.
struct LinearInput {
  std::vector<std::string> weights;  // names of the linears' weights, in the order of the graph
  std::vector<std::string> modules;  // of the first place of each: "bert.encoder.layer.0.attention.self.query"
  int64_t width = 0;                 // [rows, width]
  int64_t layer = -1;                // the encoder layer of the first place; n_layers behind the encoder
};

// In the order of the graph. Of the linears with these weights; a weight that is no linear's is left out.
std::vector<LinearInput> linear_inputs(const Model& model, const std::set<std::string>& weights);

// Texts for calibration and a machine to run on.
class CalibrationRun {
 public:
  // Takes n_samples texts of the data, evenly spaced. Fold f is every n_folds-th of them. kBadInput for a model without
  // a tokenizer and for data without texts.
  CalibrationRun(const Model& model, const Dataset& data, const CalibrationOptions& options, int n_folds = 1);
  ~CalibrationRun();

  // What input `input` of `inputs` reads for a batch of texts of a fold, f32 [rows, width]; rows of one value of
  // possibly several. Called in the same order with the same bits at any number of threads.
  using Visitor = std::function<void(size_t input, int fold, const Tensor& x)>;
  // `model` is any with the tokenizer and the linears of the first. kBadInput naming the linear that reads a NaN or an
  // infinity.
  void run(const Model& model, const std::vector<LinearInput>& inputs, const Visitor& visit) const;

  int64_t n_texts() const { return texts_.size(); }
  int n_folds() const { return n_folds_; }
  const TokenizedTexts& texts() const { return texts_; }
  const Dataset& sample() const { return sample_; }
  ThreadPool& pool() const;
  const KernelTable& table() const;

 private:
  struct Machine;
  Dataset sample_;
  TokenizedTexts texts_;
  int n_folds_;
  std::unique_ptr<Machine> machine_;
};

}  // namespace fettle
