#include "cli/quantize_checks.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "cli/quantize_methods.h"
#include "cli/results.h"
#include "compress/quantize/gate.h"
#include "compress/quantize/mixed.h"
#include "compress/quantize/report.h"
#include "compress/quantize/sensitivity.h"
#include "evaluate/benchmark.h"

namespace fettle::cli {

namespace {

// Medians of so few runs differ by this much by themselves.
constexpr double kTimingNoise = 1.03;
constexpr int64_t kTimedRuns = 40;

SensitivityOptions sensitivity_options(const QuantizeJob& job) {
  return {.n_samples = job.command.budget.n_samples, .n_threads = job.globals.threads, .isa = job.globals.isa};
}

Dataset texts_of(const QuantizeJob& job) {
  const QuantizeCommand& command = job.command;
  return command.load_texts(command.calibrate.empty() ? command.eval : command.calibrate);
}

std::vector<int32_t> labels_of(const Dataset& data) {
  std::vector<int32_t> labels;
  for (const Example& example : data.examples) labels.push_back(example.label);
  return labels;
}

bool has_accuracy(const Model& model) {
  return !model.config.labels.empty() && model.config.problem == ProblemType::kSingleLabel;
}

// What the gate changed, in the report too.
void report_again(const Model& model, const QuantizeJob& job, QuantizeOutcome& outcome) {
  for (LayerQuantization& layer : outcome.report.layers) {
    layer = compare_encoding(layer.name, job.original->parameters.get(layer.name).decode(),
                             model.parameters.get(layer.name));
  }
  finish_report(model, outcome.report);
}

Json gate(Model& model, const QuantizeJob& job, const Dataset& eval, QuantizeOutcome& outcome) {
  const Model* rounded = !outcome.can_fall_back ? nullptr
                         : outcome.rounded      ? outcome.rounded.get()
                                                : job.original.get();
  const GateOptions options{.max_drop = job.command.budget.max_drop,
                            .session = job.globals.session(),
                            .sensitivity = sensitivity_options(job),
                            .seed = job.globals.seed};
  const GateResult result = hold_gate(model, rounded, job.original, eval, options);
  Json fallbacks = Json::array();
  for (const Fallback& fallback : result.fallbacks) {
    fallbacks.push_back({{"name", fallback.name}, {"from", fallback.from}, {"to", fallback.to}, {"kl", fallback.kl}});
    outcome.text += fmt::format("{} falls back from {} to {}: alone it moves the answers by {:.2e}\n", fallback.name,
                                fallback.from, fallback.to, fallback.kl);
  }
  if (!result.fallbacks.empty()) report_again(model, job, outcome);
  return {{"max_drop", job.command.budget.max_drop},
          {"fallbacks", std::move(fallbacks)},
          {"accuracy_before", result.accuracy_before},
          {"accuracy", result.accuracy},
          {"against_original", to_json(result.test)}};
}

}  // namespace

void BudgetFlags::add_to(CLI::App& verb) {
  verb.add_option("--max-mb", max_mb, "mixed precision: bits by weight, so that the model has at most so many MiB")
      ->check(CLI::Range(1e-6, 1e9));
  verb.add_option("--max-kl", max_kl,
                  "mixed precision: bits by weight, as few as keep the answers' divergence below (nats a text)")
      ->check(CLI::Range(1e-12, 1e9));
  verb.add_option("--mixed-bits", mixed_bits,
                  "mixed precision: which bits (default 8,4,3,2), or the weight stays float")
      ->delimiter(',')
      ->check(CLI::IsMember({8, 6, 4, 3, 2}));
  verb.add_flag("--sensitivity", sensitivity, "measure what rounding each weight does to the answers");
  verb.add_option("--sensitivity-samples", n_samples, "texts of --calibrate for it (default 128)")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 40));
  verb.add_option("--max-drop", max_drop,
                  "points of accuracy on --eval that may be lost: weights that hurt fall back until it holds, or exit "
                  "code 5")
      ->check(CLI::Range(0.0, 100.0));
}

void BudgetFlags::check(const QuantizeCommand& command) const {
  if (has_gate() && command.eval.empty()) usage_error("--max-drop", "needs --eval");
  if (is_mixed() && command.calibrate.empty()) {
    usage_error(max_mb > 0 ? "--max-mb" : "--max-kl", "needs --calibrate",
                "texts that each weight's rounding is tried on");
  }
  if (sensitivity && command.calibrate.empty() && command.eval.empty()) {
    usage_error("--sensitivity", "needs --calibrate or --eval");
  }
  if (command.is_given("--mixed-bits") && !is_mixed()) usage_error("--mixed-bits", "needs --max-mb or --max-kl");
  if (command.is_given("--sensitivity-samples") && !reads_texts() && !has_gate()) {
    usage_error("--sensitivity-samples", "needs --sensitivity, --max-mb, --max-kl or --max-drop");
  }
}

void BudgetFlags::record(Json& options, const QuantizeCommand& command) const {
  if (max_mb > 0) options["max_mb"] = max_mb;
  if (max_kl > 0) options["max_kl"] = max_kl;
  if (is_mixed()) {
    options["mixed_bits"] = mixed_bits;
    options["sensitivity_samples"] = n_samples;
    options["calibrate"] = command.calibrate;
  }
  if (!has_gate()) return;
  options["max_drop"] = max_drop;
  options["eval"] = command.eval;
}

Json choose_bits(QuantizeJob& job, std::string& text) {
  const BudgetFlags& budget = job.command.budget;
  std::vector<QuantizePlan> plans;
  for (const int bits : budget.mixed_bits) {
    QuantizeOptions options = job.options;
    options.bits = options.head_bits = options.embedding_bits = bits;
    plans.push_back(make_plan(*job.original, options));
  }
  LogitProbe probe(*job.original, texts_of(job), sensitivity_options(job));
  const std::vector<WeightChoice> choices = measure_sensitivity(probe, *job.original, plans);
  const MixedResult mixed =
      choose_mixed(probe, *job.original, choices, {.max_mb = budget.max_mb, .max_kl = budget.max_kl});
  job.plan = mixed.plan;
  Json tried = Json::array();
  for (const WeightChoice& choice : choices) {
    tried.push_back({{"name", choice.name},
                     {"encoding", encoding_name(choice.encoded.encoding)},
                     {"kl", choice.kl},
                     {"bytes", choice.encoded.size_bytes()}});
  }
  Json chosen = Json::array();
  for (const MixedLayer& layer : mixed.layers) {
    Json item{{"name", layer.name}, {"encoding", layer.encoding}, {"kl", layer.kl}, {"bytes", layer.size_bytes}};
    if (!layer.remark.empty()) item["remark"] = layer.remark;
    chosen.push_back(std::move(item));
    text += fmt::format("{:<58} {:<14} KL {:.2e}{}\n", layer.name, layer.encoding, layer.kl,
                        layer.remark.empty() ? "" : "  " + layer.remark);
  }
  text +=
      fmt::format("divergence of the whole, rounded to nearest: {:.2e} nats a text (the sum of its parts is {:.2e})\n",
                  mixed.kl, mixed.kl_sum);
  return {{"sensitivity", std::move(tried)}, {"mixed", std::move(chosen)}, {"kl", mixed.kl}};
}

std::map<std::string, double> measure_layers(const Model& model, const QuantizeJob& job,
                                             const QuantizeOutcome& outcome) {
  std::map<std::string, double> divergences;
  if (!job.command.budget.sensitivity) return divergences;
  const Model& in_float = outcome.rounded ? *outcome.rounded : *job.original;
  LogitProbe probe(in_float, texts_of(job), sensitivity_options(job));
  for (const LayerQuantization& layer : outcome.report.layers) {
    divergences[layer.name] = probe.kl(layer.name, model.parameters.get(layer.name));
  }
  return divergences;
}

Json measure_change(Model& model, const QuantizeJob& job, QuantizeOutcome& outcome) {
  const QuantizeCommand& command = job.command;
  if (command.eval.empty()) return Json::object();
  if (!has_accuracy(model)) {
    if (command.budget.has_gate()) bad_input(command.model, "does not give one label: --max-drop has no accuracy");
    return Json::object();
  }
  const Dataset eval = command.load(command.eval, *job.original);
  require_labels(eval);
  Json gated = Json::object();
  if (command.budget.has_gate()) gated = gate(model, job, eval, outcome);
  if (!gated.empty() && !command.threshold.fit) return gated;
  command.threshold.apply(model, eval, job.globals);
  const auto predicted = [&](const std::shared_ptr<const Model>& of) {
    Session session(of, job.globals.session());
    return predict(session, eval);
  };
  const Predictions before = predicted(job.original);
  const Predictions after = predicted(std::make_shared<const Model>(model));
  gated["accuracy_before"] = measure_quality(before, eval).accuracy;
  gated["accuracy"] = measure_quality(after, eval).accuracy;
  gated["against_original"] =
      to_json(compare_predictions(before.labels, after.labels, labels_of(eval), job.globals.seed));
  return gated;
}

Json measure_speed(const Model& model, const QuantizeJob& job) {
  if (model.tokenizer == nullptr || model.config.labels.empty()) return Json::object();
  const auto made = std::make_shared<const Model>(model);
  BenchmarkOptions options;
  options.runs = kTimedRuns;
  options.session = job.globals.session();
  const std::vector<BenchmarkResult> times = benchmark(
      {{"parent", job.original, 0, options.session}, {"quantized", made, 0, options.session}}, nullptr, options);
  const double before = times[0].latency.p50_ms;
  const double after = times[1].latency.p50_ms;
  return {{"latency_ms_before", before}, {"latency_ms", after}, {"slower", after > kTimingNoise * before}};
}

}  // namespace fettle::cli
