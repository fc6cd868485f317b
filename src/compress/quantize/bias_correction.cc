#include "compress/quantize/bias_correction.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <set>

#include "graph/op.h"

namespace fettle {
namespace {

// For each weight of a linear its bias, where it has one of its own.
std::map<std::string, std::string> own_biases(const Model& model) {
  const auto head = model.config.labels.empty() ? GraphOptions::Head::kHidden : GraphOptions::Head::kClassifier;
  const Graph graph = build_graph(model.config, {.head = head});
  std::map<std::string, std::set<std::string>> weights_of;
  std::map<std::string, std::set<std::string>> biases_of;
  for (const Node& node : graph.nodes()) {
    if (node.op->name() != "linear" || node.inputs.size() < 3 || node.inputs[2] == kNoValue) continue;
    const std::string& weight = graph.value(node.inputs[1]).name;
    const std::string& bias = graph.value(node.inputs[2]).name;
    weights_of[bias].insert(weight);
    biases_of[weight].insert(bias);
  }
  std::map<std::string, std::string> own;
  for (const auto& [weight, biases] : biases_of) {
    if (biases.size() == 1 && weights_of[*biases.begin()].size() == 1) own[weight] = *biases.begin();
  }
  return own;
}

// (W' - W) E[x]
std::vector<double> mean_change(const Tensor& before, const Tensor& after, const std::vector<double>& mean) {
  std::vector<double> change(static_cast<size_t>(before.dim(0)));
  const int64_t n_cols = before.dim(1);
  for (int64_t r = 0; r < before.dim(0); ++r) {
    double sum = 0;
    for (int64_t c = 0; c < n_cols; ++c) {
      const int64_t at = r * n_cols + c;
      const double error = double{after.data<float>()[at]} - double{before.data<float>()[at]};
      sum += error * mean[static_cast<size_t>(c)];
    }
    change[static_cast<size_t>(r)] = sum;
  }
  return change;
}

}  // namespace

std::vector<CorrectedBias> correct_biases(Model& model, const Model& original,
                                          const std::vector<InputStatistics>& statistics) {
  const std::map<std::string, std::string> biases = own_biases(model);
  std::vector<CorrectedBias> corrected;
  for (const InputStatistics& one : statistics) {
    for (const std::string& weight : one.input.weights) {
      const auto bias = biases.find(weight);
      if (bias == biases.end()) continue;
      const Tensor before = original.parameters.get(weight).decode();
      const Tensor after = model.parameters.get(weight).decode();
      if (before.raw() == after.raw()) continue;
      const std::vector<double> change = mean_change(before, after, one.channel_mean);
      const EncodedTensor& stored = model.parameters.get(bias->second);
      Tensor values = stored.decode().clone();
      CorrectedBias report{.name = bias->second};
      for (size_t r = 0; r < change.size(); ++r) {
        values.mutable_data<float>()[r] -= static_cast<float>(change[r]);
        report.largest = std::max(report.largest, std::fabs(change[r]));
      }
      model.parameters.set(bias->second, EncodedTensor::dense(values.to(stored.encoding.dense_dtype)));
      corrected.push_back(std::move(report));
    }
  }
  return corrected;
}

}  // namespace fettle
