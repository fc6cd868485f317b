#include "compress/compress.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/cancel.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/sha256.h"
#include "compress/manifest.h"
#include "compress/quantize/dynamic.h"
#include "evaluate/remark.h"
#include "train/loop.h"

namespace fettle {

namespace {

constexpr double kMiB = 1024.0 * 1024.0;
constexpr double kSignificance = 0.05;

struct Made {
  std::string name;
  std::string recipe;
  std::shared_ptr<const Model> model;
  bool fast_path = true;
  size_t from = 0;  // what it was made of
};

// Without rules from the user: half the layers at full width, then ever narrower ones.
std::vector<std::string> default_students(const ModelConfig& teacher) {
  if (teacher.shares_layers() || teacher.has_factors()) return {};  // nothing can be cut out of it
  const auto n_layers = static_cast<int64_t>(teacher.layers.size());
  const auto every_other = [&](int64_t n) {
    std::string list;
    for (int64_t i = 0; i < n; ++i) {
      if (i > 0) list += ',';
      list += std::to_string(i * n_layers / n);
    }
    return list;
  };
  std::vector<std::string> rules;
  if (n_layers >= 2) rules.push_back("layers=" + every_other(n_layers / 2));
  for (const int64_t width : {teacher.hidden_size / 2, teacher.hidden_size / 4}) {
    if (width >= 64 && width % 32 == 0) {
      rules.push_back(fmt::format("layers={} hidden={}", every_other(std::max<int64_t>(1, n_layers / 2)), width));
    }
  }
  if (rules.empty()) rules.push_back("layers=0");
  return rules;
}

// Same teacher, rule, data and options: the same student, so a finished one can be taken from the work folder.
std::string student_key(const Model& teacher, const std::string& rule, const Dataset& train, const Dataset& eval,
                        const CompressOptions& options) {
  std::string text = rule + "\n" + options_to_json(options.train).dump() + "\n" +
                     options_to_json(options.distillation).dump() + "\n" + options.train.isa + "\n";
  for (const Dataset* data : {&train, &eval, &options.unlabelled}) {
    text += std::to_string(data->examples.size()) + "\n";
    for (const Example& example : data->examples) text += fmt::format("{}\t{}\n", example.label, example.text);
  }
  const auto add_weights = [&](const Model& model) {
    for (const std::string& name : model.parameters.names()) {
      const Tensor values = model.parameters.get(name).data;
      text += sha256_hex({static_cast<const std::byte*>(values.raw()), static_cast<size_t>(values.size_bytes())});
    }
  };
  add_weights(teacher);
  for (const auto& more : options.more_teachers) add_weights(*more);
  return sha256_hex(std::as_bytes(std::span(text))).substr(0, 16);
}

Dataset with_unlabelled(const Dataset& train, const Dataset& unlabelled) {
  Dataset all = train;
  for (Example example : unlabelled.examples) {
    example.label = kUnlabelled;
    all.examples.push_back(std::move(example));
  }
  return all;
}

Model distilled_student(const std::shared_ptr<const Model>& teacher, const std::string& rule, const Dataset& train,
                        const Dataset& eval, const CompressOptions& options) {
  const std::filesystem::path kept =
      options.work_folder.empty()
          ? std::filesystem::path()
          : options.work_folder / ("student-" + student_key(*teacher, rule, train, eval, options));
  if (!kept.empty() && std::filesystem::exists(kept / "config.json")) {
    log_info("taking the finished student " + rule + " from " + kept.string());
    Model student = load_model(kept);
    student.source.clear();  // as if it had been made now
    return student;
  }
  Model student = make_student(*teacher, rule, options.train.seed);
  TrainOptions train_options = options.train;
  if (!kept.empty()) {
    train_options.checkpoint_folder = kept.string() + ".checkpoints";
    train_options.resume = std::filesystem::exists(train_options.checkpoint_folder);
  }
  std::vector<std::shared_ptr<const Model>> teachers = {teacher};
  teachers.insert(teachers.end(), options.more_teachers.begin(), options.more_teachers.end());
  distill(student, teachers, with_unlabelled(train, options.unlabelled), &eval, train_options, options.distillation);
  amend_step(student, Json{{"student", rule}});
  for (const auto& each : teachers) record_parent(student, each->source);
  if (kept.empty()) return student;
  std::filesystem::create_directories(options.work_folder);
  save_model(student, kept, true);
  std::error_code ignored;
  std::filesystem::remove_all(train_options.checkpoint_folder, ignored);
  return student;
}

// The same out-of-scope fallback for everybody, fitted on validation data only.
std::shared_ptr<const Model> with_threshold(Model model, const Dataset& eval, const CompressOptions& options) {
  fit_oos_threshold(model, eval, options.benchmark.session, options.oos_share);
  return std::make_shared<const Model>(std::move(model));
}

std::vector<Made> make_candidates(const std::shared_ptr<const Model>& teacher, const Dataset& train,
                                  const Dataset& eval, const CompressOptions& options,
                                  std::vector<std::string>& skipped) {
  const Stopwatch watch;
  const auto baseline = with_threshold(*teacher, eval, options);
  std::vector<Made> made;
  made.push_back({"baseline, op by op", "the model as given, f32, no graph pass", baseline, false});
  made.push_back({"baseline, fast path", "optimize", baseline, true, 0});
  QuantizeOptions quantize;
  quantize.embeddings = options.quantize_embeddings;
  const std::string quantize_recipe =
      options.quantize_embeddings ? "quantize --method dynamic --embeddings" : "quantize --method dynamic";
  const Json quantize_record{{"method", "dynamic"}, {"embeddings", quantize.embeddings}};

  const auto add_int8 = [&](const Model& original, const std::string& name, const std::string& recipe, size_t from) {
    Model model = original;
    quantize_dynamic(model, quantize);
    record_step(model, "quantize", quantize_record, options.train.seed);
    made.push_back({name, recipe, with_threshold(std::move(model), eval, options), true, from});
  };
  add_int8(*teacher, "baseline, int8", quantize_recipe, 1);
  for (const std::string& rule : options.students.empty() ? default_students(teacher->config) : options.students) {
    throw_if_cancelled();
    if (options.budget_s > 0 && watch.seconds() > options.budget_s) {
      skipped.push_back(rule);
      continue;
    }
    const Model student = distilled_student(teacher, rule, train, eval, options);
    const std::string recipe = fmt::format(
        "distill --student \"{}\" --match {} --alpha {} --temperature {} --epochs {}", rule,
        match_list(options.distillation.match), options.train.alpha, options.train.temperature, options.train.epochs);
    made.push_back({rule, recipe, with_threshold(student, eval, options), true, 1});
    add_int8(student, rule + ", int8", recipe + "; " + quantize_recipe, made.size() - 1);
  }
  return made;
}

// How far over the limits, as the sum of relative excesses; 0 when all are met.
double excess(const CompressCandidate& candidate, const CompressOptions& options) {
  double sum = 0;
  const BenchmarkResult& m = candidate.measured;
  if (options.max_ms > 0) sum += std::max(0.0, m.latency.p50_ms / options.max_ms - 1);
  if (options.max_mb > 0) sum += std::max(0.0, m.size_mb / options.max_mb - 1);
  const double drop = -100 * candidate.against_baseline.accuracy_difference;
  sum += std::max(0.0, drop - options.max_drop) / std::max(options.max_drop, 1.0);
  return sum;
}

void mark_front(std::vector<CompressCandidate>& candidates) {
  const auto dominates = [](const BenchmarkResult& a, const BenchmarkResult& b) {
    const bool no_worse =
        a.size_mb <= b.size_mb && a.latency.p50_ms <= b.latency.p50_ms && a.quality.accuracy >= b.quality.accuracy;
    const bool better =
        a.size_mb < b.size_mb || a.latency.p50_ms < b.latency.p50_ms || a.quality.accuracy > b.quality.accuracy;
    return no_worse && better;
  };
  for (CompressCandidate& candidate : candidates) {
    candidate.on_front = std::none_of(candidates.begin(), candidates.end(), [&](const CompressCandidate& other) {
      return dominates(other.measured, candidate.measured);
    });
  }
}

void choose(CompressResult& result, const CompressOptions& options) {
  const auto significantly_worse = [](const CompressCandidate& candidate) {
    return candidate.against_baseline.accuracy_difference < 0 && candidate.against_baseline.mcnemar_p < kSignificance;
  };
  const auto ranks_before = [&](const CompressCandidate& a, const CompressCandidate& b) {
    if (significantly_worse(a) != significantly_worse(b)) return significantly_worse(b);
    return a.measured.latency.p50_ms < b.measured.latency.p50_ms;
  };
  double least = 0;
  for (size_t i = 0; i < result.candidates.size(); ++i) {
    CompressCandidate& candidate = result.candidates[i];
    const double over = excess(candidate, options);
    candidate.meets_limits = over == 0;
    const auto index = static_cast<int64_t>(i);
    if (candidate.meets_limits) {
      if (result.best < 0 || ranks_before(candidate, result.candidates[static_cast<size_t>(result.best)])) {
        result.best = index;
      }
    } else if (result.nearest < 0 || over < least) {
      result.nearest = index;
      least = over;
    }
  }
}

}  // namespace

CompressResult compress(std::shared_ptr<const Model> teacher, const Dataset& train, const Dataset& eval,
                        const Dataset& test, const CompressOptions& options) {
  require_labels(test);
  CompressResult result;
  const std::vector<Made> made = make_candidates(teacher, train, eval, options, result.skipped);
  std::vector<Candidate> candidates;
  for (const Made& item : made) {
    SessionOptions session = options.benchmark.session;
    session.fast_path = item.fast_path;
    const double size_mb = static_cast<double>(item.model->parameters.size_bytes()) / kMiB;
    candidates.push_back({item.name, item.model, size_mb, session});
  }
  std::vector<BenchmarkResult> measured = benchmark(candidates, &test, options.benchmark);

  std::vector<int32_t> truth;
  for (const Example& example : test.examples) truth.push_back(example.label);
  for (size_t i = 0; i < made.size(); ++i) {
    CompressCandidate candidate;
    candidate.name = made[i].name;
    candidate.recipe = made[i].recipe;
    candidate.model = made[i].model;
    candidate.against_baseline =
        compare_predictions(measured[0].predictions.labels, measured[i].predictions.labels, truth, options.train.seed);
    candidate.latency_ratio = measured[0].latency.p50_ms / measured[i].latency.p50_ms;
    candidate.size_ratio = measured[0].size_mb / measured[i].size_mb;
    candidate.measured = measured[i];
    if (i > 0) candidate.remark = shortfall(measured[i], measured[made[i].from], candidate.against_baseline);
    result.candidates.push_back(std::move(candidate));
  }
  mark_front(result.candidates);
  choose(result, options);
  return result;
}

}  // namespace fettle
