// `quantize --method static`, `smoothquant`, `gptq`, `adaround`: the methods that look at data before they round.
#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/log.h"
#include "cli/quantize_methods.h"
#include "compress/quantize/bias_correction.h"
#include "compress/quantize/channel_scaling.h"
#include "compress/quantize/round_with_data.h"
#include "compress/quantize/static.h"

namespace fettle::cli {

namespace {

constexpr int64_t kMaxTokens = 128;  // of a text
constexpr int kResamples = 4;

struct CalibratedFlags {
  int64_t n_samples = 512;
  std::string observer = "minmax";
  double percentile = 99.99;
  double alpha = 0.5;
  double damping = 0.01;
  bool act_order = false;
  int64_t rounding_steps = 400;
  bool static_inputs = false;
  bool equalize = false;
  bool bias_correction = false;
};

void add_names(std::vector<std::string>& to, std::initializer_list<const char*> names) {
  to.insert(to.end(), names.begin(), names.end());
}

Json scaled_json(const std::vector<ScaledPair>& pairs) {
  Json json = Json::array();
  for (const ScaledPair& pair : pairs) {
    json.push_back(Json{{"producer", pair.pair.producer},
                        {"consumers", pair.pair.consumers},
                        {"unevenness_before", pair.before},
                        {"unevenness", pair.after}});
  }
  return json;
}

Json profile_json(const TextProfile& profile) {
  return {{"texts", profile.n_texts},
          {"tokens_per_text", profile.mean_tokens},
          {"pieces_per_word", profile.pieces},
          {"unknown_share", profile.unknown},
          {"cut_share", profile.cut}};
}

// One job of one of the methods.
class CalibratedJob {
 public:
  CalibratedJob(Model& model, const QuantizeJob& job, const CalibratedFlags& flags)
      : model_(model),
        job_(job),
        flags_(flags),
        texts_(job.command.load_texts(job.command.calibrate)),
        run_(model, texts_,
             {.n_samples = flags.n_samples,
              .max_length = kMaxTokens,
              .n_threads = job.globals.threads,
              .isa = job.globals.isa},
             kResamples) {}

  QuantizeOutcome run() {
    outcome_.options = {{"calibrate", job_.command.calibrate}, {"calibration_samples", flags_.n_samples}};
    look_at_texts();
    if (flags_.equalize) equalize_channels();
    if (job_.command.method == "smoothquant") smooth_channels();
    if (outcome_.rounded == nullptr) outcome_.rounded = job_.original;
    measure();
    round();
    if (flags_.bias_correction) correct();
    if (has_static_inputs()) fix_inputs();
    outcome_.more["calibration"] = std::move(calibration_);
    return std::move(outcome_);
  }

 private:
  bool has_static_inputs() const { return job_.command.method == "static" || flags_.static_inputs; }

  void look_at_texts() {
    const int64_t max_length = std::min(kMaxTokens, model_.config.max_positions);
    const TextProfile profile = profile_texts(run_.sample(), *model_.tokenizer, max_length);
    std::vector<std::string> warnings;
    if (job_.command.eval.empty()) {
      warnings = calibration_warnings(profile, nullptr);
    } else {
      const Dataset eval = job_.command.load_texts(job_.command.eval);
      const TextProfile reference = profile_texts(eval, *model_.tokenizer, max_length);
      warnings = calibration_warnings(profile, &reference);
    }
    for (const std::string& warning : warnings) log_warning(job_.command.calibrate + ": " + warning);
    calibration_ = profile_json(profile);
    calibration_["warnings"] = warnings;
  }

  void equalize_channels() {
    outcome_.options["equalize"] = true;
    outcome_.more["equalized"] = scaled_json(equalize(model_));
    outcome_.rounded = std::make_shared<const Model>(model_);
  }

  void smooth_channels() {
    const std::vector<ScaledPair> pairs = smooth(model_, run_, flags_.alpha);
    outcome_.options["alpha_smooth"] = flags_.alpha;
    outcome_.more["smoothed"] = scaled_json(pairs);
    const size_t n_inputs = linear_inputs(model_, int8_linears(job_.plan)).size();
    outcome_.text +=
        fmt::format("smoothed the inputs of {} of {} places; the others go into sums or non-linear functions too\n",
                    pairs.size(), n_inputs);
    outcome_.rounded = std::make_shared<const Model>(model_);
  }

  // Of the model as it is to be rounded.
  void measure() {
    if (!has_static_inputs() && !flags_.bias_correction) return;
    std::set<std::string> weights;
    for (const auto& [name, encoding] : job_.plan) weights.insert(name);
    statistics_ = measure_inputs(model_, linear_inputs(model_, weights), run_);
  }

  void round() {
    const bool is_gptq = job_.command.method == "gptq";
    if (!is_gptq && job_.command.method != "adaround") {
      outcome_.report = apply_plan(model_, job_.plan);
      return;
    }
    DataRounding options{.method = is_gptq ? DataRounding::Method::kGptq : DataRounding::Method::kLearned,
                         .gptq = {.damping = flags_.damping, .act_order = flags_.act_order},
                         .learned = {.iterations = flags_.rounding_steps}};
    if (is_gptq) {
      outcome_.options["damping"] = flags_.damping;
      outcome_.options["act_order"] = flags_.act_order;
    } else {
      outcome_.options["rounding_steps"] = flags_.rounding_steps;
    }
    DataRoundingReport rounded = round_with_data(model_, job_.plan, run_, options);
    outcome_.report = std::move(rounded.report);
    report_rounding(rounded.layers, is_gptq);
  }

  void report_rounding(const std::vector<LayerRounding>& layers, bool is_gptq) {
    Json json = Json::array();
    for (const LayerRounding& layer : layers) {
      Json item{{"name", layer.name}};
      if (layer.remark.empty()) {
        item["nearest_output_error"] = layer.nearest_error;
        item["output_error"] = layer.error;
        if (is_gptq) item["damping"] = layer.damping;
        outcome_.text += fmt::format(
            "{:<58} error of its outputs {:.4f}, to nearest {:.4f}{}\n", layer.name, layer.error, layer.nearest_error,
            layer.damping > flags_.damping ? fmt::format(", damping {:.2g}", layer.damping) : "");
      } else {
        item["remark"] = layer.remark;
        outcome_.text += fmt::format("{:<58} {}\n", layer.name, layer.remark);
      }
      json.push_back(std::move(item));
    }
    outcome_.more["rounding"] = std::move(json);
  }

  void correct() {
    outcome_.options["bias_correction"] = true;
    Json json = Json::array();
    for (const CorrectedBias& bias : correct_biases(model_, *outcome_.rounded, statistics_)) {
      json.push_back(Json{{"name", bias.name}, {"largest_change", bias.largest}});
    }
    outcome_.more["corrected_biases"] = std::move(json);
  }

  void fix_inputs() {
    const Observer observer = observer_named(flags_.observer);
    outcome_.options["observer"] = flags_.observer;
    if (observer == Observer::kPercentile) outcome_.options["percentile"] = flags_.percentile;
    if (job_.command.method != "static") outcome_.options["static_inputs"] = true;
    const std::vector<InputScale> scales = choose_scales(statistics_, observer, flags_.percentile);
    set_input_scales(model_, job_.plan, scales);
    const std::set<std::string> with_scales = int8_linears(job_.plan);
    Json json = Json::array();
    std::vector<double> spreads;
    for (const InputScale& scale : scales) {
      if (!with_scales.contains(scale.input.weights.front())) continue;
      spreads.push_back(scale.spread);
      json.push_back(Json{{"modules", scale.input.modules},
                          {"input_scale", scale.scale},
                          {"cut_share", scale.cut},
                          {"resampling_spread", scale.spread}});
    }
    calibration_["inputs"] = std::move(json);
    calibration_["resamples"] = run_.n_folds();
    if (spreads.empty() || run_.n_folds() < 2) return;
    std::ranges::sort(spreads);
    calibration_["resampling_spread_median"] = spreads[spreads.size() / 2];
    calibration_["resampling_spread_largest"] = spreads.back();
    outcome_.text += fmt::format(
        "calibrated on {} texts; on {} resamples of them the scales differ by {:.1f} % (median), {:.1f} % (most)\n",
        run_.n_texts(), run_.n_folds(), 100 * spreads[spreads.size() / 2], 100 * spreads.back());
  }

  Model& model_;
  const QuantizeJob& job_;
  const CalibratedFlags& flags_;
  Dataset texts_;
  CalibrationRun run_;
  std::vector<InputStatistics> statistics_;
  QuantizeOutcome outcome_;
  Json calibration_ = Json::object();
};

class CalibratedGroup final : public QuantizeGroup {
 public:
  std::vector<std::string> methods() const override { return {"static", "smoothquant", "gptq", "adaround"}; }

  void add_to(CLI::App& verb) override {
    verb.add_option("--calibration-samples", flags_.n_samples,
                    "static, smoothquant, gptq, adaround: texts of --calibrate, evenly spaced (default 512)")
        ->check(CLI::Range(int64_t{1}, int64_t{1} << 40));
    verb.add_option("--observer", flags_.observer,
                    "static, --static-inputs: minmax (default), percentile, entropy, mse: what the largest integer "
                    "stands for")
        ->check(CLI::IsMember({"minmax", "percentile", "entropy", "mse"}));
    verb.add_option("--percentile", flags_.percentile, "with --observer percentile: not cut (default 99.99)")
        ->check(CLI::Range(50.0, 100.0));
    verb.add_option("--alpha-smooth", flags_.alpha,
                    "smoothquant: how much of the range goes from inputs to weights (default 0.5)")
        ->check(CLI::Range(0.0, 1.0));
    verb.add_option("--damping", flags_.damping, "gptq: share of the inputs' mean square (default 0.01)")
        ->check(CLI::Range(0.0, 1.0));
    verb.add_flag("--act-order", flags_.act_order, "gptq: columns with large inputs first");
    verb.add_option("--rounding-steps", flags_.rounding_steps, "adaround: of the optimizer (default 400)")
        ->check(CLI::Range(int64_t{0}, int64_t{1} << 24));
    verb.add_flag("--static-inputs", flags_.static_inputs,
                  "smoothquant, gptq, adaround: 8-bit inputs get one scale, as with static");
    verb.add_flag(
        "--equalize", flags_.equalize,
        "static, smoothquant, gptq, adaround: channels of one range between two linears, where that is exact");
    verb.add_flag("--bias-correction", flags_.bias_correction,
                  "static, smoothquant, gptq, adaround: what rounding does to outputs on average goes into the bias");
  }

  std::vector<std::string> flags_of(const std::string& method) const override {
    std::vector<std::string> flags = SchemeFlags::flags();
    add_names(flags, {"--calibrate", "--calibration-samples", "--observer", "--percentile", "--equalize",
                      "--bias-correction"});
    if (method != "static") add_names(flags, {"--static-inputs"});
    if (method == "smoothquant") add_names(flags, {"--alpha-smooth"});
    if (method == "gptq") add_names(flags, {"--damping", "--act-order"});
    if (method == "adaround") add_names(flags, {"--rounding-steps"});
    return flags;
  }

  std::optional<QuantizeOptions> scheme(const QuantizeCommand& command) const override {
    QuantizeOptions defaults;
    if (command.method == "gptq" || command.method == "adaround") {
      defaults.bits = 4;
      defaults.input_bits = flags_.static_inputs ? 8 : 16;
    }
    return command.scheme.resolve(defaults);
  }

  void check(const QuantizeCommand& command) const override {
    command.require("--calibrate", "for --method " + command.method + ": texts like those that the model will see");
    const bool has_static_inputs = command.method == "static" || flags_.static_inputs;
    if (command.is_given("--observer") && !has_static_inputs) usage_error("--observer", "goes with --static-inputs");
    if (command.is_given("--percentile") && flags_.observer != "percentile") {
      usage_error("--percentile", "goes with --observer percentile");
    }
    if (has_static_inputs && scheme(command)->input_bits != 8) {
      usage_error("--static-inputs", "needs inputs of 8 bits");
    }
  }

  QuantizeOutcome run(Model& model, const QuantizeJob& job) override { return CalibratedJob(model, job, flags_).run(); }

 private:
  CalibratedFlags flags_;
};

}  // namespace

std::unique_ptr<QuantizeGroup> make_calibrated_group() {
  return std::make_unique<CalibratedGroup>();
}

}  // namespace fettle::cli
