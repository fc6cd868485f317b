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
  void (*set)(TrainOptions& options, double value) = nullptr;  // of numbers
};

constexpr std::array kSchedules = {"constant", "linear", "cosine"};  // as in Schedule

const std::vector<Setting>& settings() {
  using O = TrainOptions;
  static const std::vector<Setting> all = {
      {{.name = "epochs", .low = 1e-3, .high = 1e6}, [](O& o, double v) { o.epochs = v; }},
      {{.name = "alpha", .low = 0, .high = 1}, [](O& o, double v) { o.alpha = v; }},
      {{.name = "temperature", .low = 0.01, .high = 1000}, [](O& o, double v) { o.temperature = v; }},
      {{.name = "learning_rate", .low = 0, .high = 10}, [](O& o, double v) { o.learning_rate = v; }},
      {{.name = "warmup_ratio", .low = 0, .high = 1}, [](O& o, double v) { o.warmup_ratio = v; }},
      {{.name = "weight_decay", .low = 0, .high = 1e6}, [](O& o, double v) { o.weight_decay = v; }},
      {{.name = "batch_size", .whole = true, .low = 1, .high = 1 << 20},
       [](O& o, double v) { o.batch_size = static_cast<int64_t>(v); }},
      {{.name = "dropout", .low = 0, .high = 0.999}, [](O& o, double v) { o.dropout = v; }},
      {{.name = "label_smoothing", .low = 0, .high = 0.999}, [](O& o, double v) { o.label_smoothing = v; }},
      {{.name = "max_grad_norm", .low = 0, .high = 1e6}, [](O& o, double v) { o.max_grad_norm = v; }},
      {{.name = kSeedParameter, .whole = true, .low = 0, .high = 9e18},
       [](O& o, double v) { o.seed = static_cast<uint64_t>(v); }},
      {{.name = "schedule", .is_number = false, .words = {kSchedules.begin(), kSchedules.end()}}, nullptr},
      {{.name = kStudentParameter, .is_number = false}, nullptr},
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

void apply_word(const std::string& name, const std::string& word, TrialSetup& setup) {
  if (name == kStudentParameter) {
    setup.student = word;
    return;
  }
  const auto found = std::find(kSchedules.begin(), kSchedules.end(), word);
  setup.options.schedule = static_cast<Schedule>(found - kSchedules.begin());
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
    double value = values[i];
    if (parameter.kind == ParameterKind::kCategorical) {
      const Json& choice = parameter.choices[static_cast<size_t>(value)];
      if (choice.is_string()) {
        apply_word(parameter.name, choice.get<std::string>(), setup);
        continue;
      }
      value = choice.get<double>();
    }
    for (const Setting& setting : settings()) {
      if (setting.tunable.name == parameter.name) setting.set(setup.options, value);
    }
  }
}

}  // namespace fettle
