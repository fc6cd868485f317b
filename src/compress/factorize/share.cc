// Layers with one set of parameters for each group.
#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "compress/factorize/common.h"
#include "model/factors.h"
#include "model/layer_names.h"

namespace fettle {
namespace {

constexpr const char* kSuffixes[] = {".weight", ".bias"};

std::string shared_remark(const EncoderLayerNames& names) {
  return "computes with the parameters of " + names.query.substr(0, names.query.find(".attention"));
}

void check(const Model& model, const ShareOptions& options, int64_t group) {
  const ModelConfig& config = model.config;
  if (config.shares_layers()) usage_error("share", "ALBERT's layers share their parameters already");
  if (group < 2) usage_error("share", "needs groups of two layers at least");
  for (size_t i = 0; i < config.layers.size(); ++i) {
    const size_t first = i - i % static_cast<size_t>(group);
    if (config.layers[i] == config.layers[first]) continue;
    usage_error("share", fmt::format("layers {} and {} differ in width", first, i), "share first, prune then");
  }
  if (!options.average) return;
  for (const std::string& name : encoder_linears(config, true, true)) {
    if (rank_of(config, name) == 0 && !config.stacked.contains(name)) continue;
    usage_error("share", "cannot average '" + name + "', which has factors",
                "--shared first, or share before factoring");
  }
}

class Sharing {
 public:
  Sharing(Model& model, int64_t group) : model_(model), group_(group), sources_(model.config.layers.size()) {
    for (size_t i = 0; i < sources_.size(); ++i) sources_[i] = static_cast<int64_t>(i) / group * group;
  }

  // Every parameter of the first of a group becomes the mean of the group's.
  void average() {
    for (int64_t first = 0; first < n_layers(); first += group_) {
      for (const std::string& module : modules_of(names(first))) {
        for (const char* suffix : kSuffixes) average_parameter(first, module + suffix);
      }
    }
  }

  void drop_others() {
    for (int64_t i = 0; i < n_layers(); ++i) {
      if (sources_[static_cast<size_t>(i)] == i) continue;
      for (const std::string& module : modules_of(names(i))) {
        make_whole(model_, module);
        for (const char* suffix : kSuffixes) model_.parameters.erase(module + suffix);
      }
    }
    model_.config.layer_sources = sources_;
  }

  int64_t source(int64_t layer) const { return sources_[static_cast<size_t>(layer)]; }
  int64_t n_layers() const { return std::ssize(sources_); }
  EncoderLayerNames names(int64_t layer) const { return encoder_layer_names(model_.config, layer); }

 private:
  void average_parameter(int64_t first, const std::string& name) {
    if (!model_.parameters.has(name)) return;
    const std::string prefix = names(first).prefix;
    const EncodedTensor& stored = model_.parameters.get(name);
    const DType dtype = stored.encoding.kind == EncodingKind::kDense ? stored.data.dtype() : DType::kF32;
    Tensor mean = stored.decode().clone();
    const int64_t end = std::min(first + group_, n_layers());
    for (int64_t i = first + 1; i < end; ++i) {
      const Tensor other = model_.parameters.get(names(i).prefix + name.substr(prefix.size())).decode();
      for (int64_t e = 0; e < mean.size(); ++e) mean.mutable_data<float>()[e] += other.data<float>()[e];
    }
    for (int64_t e = 0; e < mean.size(); ++e) mean.mutable_data<float>()[e] /= static_cast<float>(end - first);
    model_.parameters.set(name, EncodedTensor::dense(mean.to(dtype)));
  }

  Model& model_;
  int64_t group_;
  std::vector<int64_t> sources_;
};

// Of all matrices of two layers, the first's the original's.
double distance(const Model& original, const EncoderLayerNames& before, const Model& model,
                const EncoderLayerNames& after) {
  double error = 0;
  double all = 0;
  const std::vector<std::string> from = modules_of(before);
  const std::vector<std::string> to = modules_of(after);
  for (size_t m = 0; m < from.size(); ++m) {
    if (original.parameters.has(from[m] + ".weight") && original.parameters.get(from[m] + ".weight").shape.size() < 2) {
      continue;
    }
    const MatrixF a = whole(original, from[m]);
    const MatrixF b = whole(model, to[m]);
    error += (a - b).cast<double>().squaredNorm();
    all += a.cast<double>().squaredNorm();
  }
  return all > 0 ? std::sqrt(error / all) : 0;
}

}  // namespace

FactorizeReport share_layers(Model& model, const ShareOptions& options) {
  const auto n_layers = static_cast<int64_t>(model.config.layers.size());
  const int64_t group = options.group == 0 ? n_layers : std::min(options.group, n_layers);
  check(model, options, group);
  FactorizeReport report{.size_mb_before = size_mb_of(model), .size_mb = 0, .layers = {}};
  // What was shared in another way before gets parameters of its own first.
  unshare_layers(model);
  const Model original = model;
  Sharing sharing(model, group);
  if (options.average) sharing.average();
  sharing.drop_others();
  for (int64_t i = 0; i < n_layers; ++i) {
    const EncoderLayerNames before = encoder_layer_names(original.config, i);
    const EncoderLayerNames after = encoder_layer_names(model.config, i);
    report.layers.push_back({.name = before.prefix.substr(0, before.prefix.size() - 1),
                             .relative_error = distance(original, before, model, after),
                             .remark = sharing.source(i) == i ? "" : shared_remark(after)});
  }
  report.size_mb = size_mb_of(model);
  return report;
}

}  // namespace fettle
