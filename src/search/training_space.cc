#include "search/training_space.h"

#include <algorithm>
#include <array>
#include <vector>

#include "base/error.h"

namespace fettle {
namespace {

constexpr double kMostSeeds = 1e6;

struct Setting {
  Tunable tunable;
  void (*set)(TrialSetup& setup, double value) = nullptr;  // of numbers
  void (*set_word)(TrialSetup& setup, const std::string& word) = nullptr;
};

constexpr std::array kSchedules = {"constant", "linear", "cosine"};  // as in Schedule

void set_schedule(TrialSetup& setup, const std::string& word) {
  const auto found = std::find(kSchedules.begin(), kSchedules.end(), word);
  setup.options.schedule = static_cast<Schedule>(found - kSchedules.begin());
}

const std::vector<Setting>& settings() {
  using S = TrialSetup;
  static const std::vector<Setting> all = {
      {{.name = "epochs", .low = 1e-3, .high = 1e6}, [](S& s, double v) { s.options.epochs = v; }},
      {{.name = "alpha", .low = 0, .high = 1}, [](S& s, double v) { s.options.alpha = v; }},
      {{.name = "temperature", .low = 0.01, .high = 1000}, [](S& s, double v) { s.options.temperature = v; }},
      {{.name = "learning_rate", .low = 0, .high = 10}, [](S& s, double v) { s.options.learning_rate = v; }},
      {{.name = "warmup_ratio", .low = 0, .high = 1}, [](S& s, double v) { s.options.warmup_ratio = v; }},
      {{.name = "weight_decay", .low = 0, .high = 1e6}, [](S& s, double v) { s.options.weight_decay = v; }},
      {{.name = "batch_size", .whole = true, .low = 1, .high = 1 << 20},
       [](S& s, double v) { s.options.batch_size = static_cast<int64_t>(v); }},
      {{.name = "dropout", .low = 0, .high = 0.999}, [](S& s, double v) { s.options.dropout = v; }},
      {{.name = "label_smoothing", .low = 0, .high = 0.999}, [](S& s, double v) { s.options.label_smoothing = v; }},
      {{.name = "max_grad_norm", .low = 0, .high = 1e6}, [](S& s, double v) { s.options.max_grad_norm = v; }},
      {{.name = "ema", .low = 0, .high = 0.999999}, [](S& s, double v) { s.options.ema_decay = v; }},
      {{.name = "layer_decay", .low = 0.001, .high = 1}, [](S& s, double v) { s.options.layer_decay = v; }},
      {{.name = "hidden_weight", .low = 0, .high = 1e6}, [](S& s, double v) { s.distillation.hidden_weight = v; }},
      {{.name = "embeddings_weight", .low = 0, .high = 1e6},
       [](S& s, double v) { s.distillation.embeddings_weight = v; }},
      {{.name = "attention_weight", .low = 0, .high = 1e6},
       [](S& s, double v) { s.distillation.attention_weight = v; }},
      {{.name = "values_weight", .low = 0, .high = 1e6}, [](S& s, double v) { s.distillation.values_weight = v; }},
      {{.name = "augment", .whole = true, .low = 0, .high = 1000},
       [](S& s, double v) { s.distillation.augment = static_cast<int64_t>(v); }},
      {{.name = kSeedParameter, .whole = true, .low = 0, .high = 9e18},
       [](S& s, double v) { s.options.seed = static_cast<uint64_t>(v); }},
      {{.name = "schedule", .is_number = false, .words = {kSchedules.begin(), kSchedules.end()}},
       nullptr,
       set_schedule},
      {{.name = "match", .is_number = false, .check = [](std::string_view word) { parse_match(word); }},
       nullptr,
       [](S& s, const std::string& word) { s.distillation.match = parse_match(word); }},
      {{.name = "layer_map", .is_number = false},
       nullptr,
       [](S& s, const std::string& word) { s.distillation.layer_map = word; }},
      {{.name = kStudentParameter, .is_number = false},
       nullptr,
       [](S& s, const std::string& word) { s.student = word; }},
  };
  return all;
}

Parameter range(const char* name, ParameterKind kind, double low, double high, bool logarithmic = false) {
  Parameter parameter;
  parameter.name = name;
  parameter.kind = kind;
  parameter.low = low;
  parameter.high = high;
  parameter.logarithmic = logarithmic;
  return parameter;
}

const Setting& setting_named(const std::string& name) {
  const auto is_named = [&](const Setting& setting) { return setting.tunable.name == name; };
  return *std::find_if(settings().begin(), settings().end(), is_named);
}

}  // namespace

std::span<const Tunable> distillation_tunables() {
  static const std::vector<Tunable> all = [] {
    std::vector<Tunable> tunables;
    for (const Setting& setting : settings()) {
      if (setting.tunable.name != kSeedParameter) tunables.push_back(setting.tunable);
    }
    return tunables;
  }();
  return all;
}

Space default_distillation_space(int64_t hidden_size) {
  const double usual = default_learning_rate(hidden_size);
  Space space;
  space.parameters = {
      range("epochs", ParameterKind::kInt, 5, 10), range("alpha", ParameterKind::kFloat, 0, 1),
      range("temperature", ParameterKind::kFloat, 2, 20),
      range("learning_rate", ParameterKind::kFloat, std::max(1e-5, usual / 5), std::max(1e-3, usual * 5), true)};
  return space;
}

Space seed_space(uint64_t first) {
  const auto low = static_cast<double>(first);
  Space space;
  space.parameters = {range(kSeedParameter, ParameterKind::kInt, low, low + kMostSeeds)};
  return space;
}

void apply_parameters(const Space& space, const ParameterValues& values, TrialSetup& setup) {
  for (size_t i = 0; i < space.size(); ++i) {
    const Parameter& parameter = space.parameters[i];
    const Setting& setting = setting_named(parameter.name);
    double value = values[i];
    if (parameter.kind == ParameterKind::kCategorical) {
      const Json& choice = parameter.choices[static_cast<size_t>(value)];
      if (choice.is_string()) {
        setting.set_word(setup, choice.get<std::string>());
        continue;
      }
      value = choice.get<double>();
    }
    setting.set(setup, value);
  }
}

}  // namespace fettle
