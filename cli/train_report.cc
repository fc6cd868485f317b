#include "cli/train_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/progress.h"
#include "cli/results.h"

namespace fettle::cli {
namespace {

constexpr double kAbsent = -1;

void add_point(Curve& curve, double epoch, double loss, double accuracy) {
  curve.epochs.push_back(epoch);
  curve.loss.push_back(loss);
  curve.accuracy.push_back(accuracy);
}

std::string describe(const TrainResult& result) {
  std::string text = fmt::format("{} steps on {} samples in {}, {:.0f} samples/s", result.steps, result.samples,
                                 format_duration(result.seconds), result.samples_per_s);
  if (result.accuracy >= 0) text += fmt::format("; {} {:.4f}", result.metric, result.accuracy);
  if (result.stopped_early) text += "; stopped early";
  return text + ".";
}

std::string options_of(const Model& model) {
  const Json& steps = model.manifest.at("steps");
  std::string text;
  for (const auto& [name, value] : steps.back().at("options").items()) {
    text += (text.empty() ? "" : ", ") + name + " " + (value.is_string() ? value.get<std::string>() : value.dump());
  }
  return text;
}

}  // namespace

Curve curve_of(const TrainResult& result, const std::string& name) {
  Curve curve;
  curve.name = name;
  const double epochs = result.epochs.empty() ? 1 : result.epochs.back().epoch;
  const double by_step = epochs / static_cast<double>(std::max<int64_t>(1, result.steps));
  size_t next = 0;
  const bool by_epoch = result.curve.empty() || result.curve.front().accuracy < 0;
  for (const CurvePoint& point : result.curve) {
    const double epoch = static_cast<double>(point.step) * by_step;
    for (; by_epoch && next < result.epochs.size() && result.epochs[next].epoch <= epoch; ++next) {
      add_point(curve, result.epochs[next].epoch, kAbsent, result.epochs[next].accuracy);
    }
    add_point(curve, epoch, point.loss, point.accuracy);
  }
  for (; by_epoch && next < result.epochs.size(); ++next) {
    add_point(curve, result.epochs[next].epoch, kAbsent, result.epochs[next].accuracy);
  }
  return curve;
}

void TrainReport::refuse_existing(const Globals& globals) const {
  if (path.empty() || globals.force || !std::filesystem::exists(path)) return;
  usage_error(path, "exists already", "--force overwrites");
}

void TrainReport::write(const TrainResult& result, const Model& model, const Globals& globals) const {
  if (path.empty()) return;
  Report report;
  report.title = "Training of " + std::filesystem::path(beside(out, "")).filename().string();
  report.summary = describe(result);
  report.facts = environment_facts(globals);
  report.facts.emplace_back("data", data);
  if (!eval.empty()) report.facts.emplace_back("evaluation data", eval);
  report.facts.emplace_back("options", options_of(model));
  report.curves.push_back(curve_of(result, "training"));
  if (result.metric != "accuracy") report.accuracy_title = result.metric + " on validation data";
  if (eval.empty()) report.accuracy_title = "Accuracy on training batches";
  write_file(path, report_html(report));
}

}  // namespace fettle::cli
