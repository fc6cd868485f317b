// fettle bench and fettle compare: size, latency and accuracy, alone or side by side.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <memory>
#include <sstream>

#include "base/cpu.h"
#include "base/error.h"
#include "base/file.h"
#include "cli/app.h"
#include "cli/results.h"
#include "train/heads.h"

namespace fettle::cli {

namespace {

struct BenchCommand {
  std::vector<std::string> models;
  std::string data;
  std::string report;
  int64_t sequence = 0;
  bool slow_path = false;
  BenchmarkOptions options;
  RegimeFlag regime;
  PackedCacheFlag packed_cache;
  DataFlags data_flags;
};

std::string last_name(const std::string& folder) {
  return std::filesystem::path(beside(folder, "")).filename().string();
}

// The folder's own name, or the whole path where two folders have the same one.
std::string name_of(const std::string& folder, const std::vector<std::string>& all) {
  const std::string name = last_name(folder);
  const auto n_alike =
      std::count_if(all.begin(), all.end(), [&](const auto& other) { return last_name(other) == name; });
  return n_alike > 1 || name.empty() ? folder : name;
}

// The query's words again and again until there are `length` tokens, the special ones included.
std::string query_of_length(const Model& model, const std::string& query, int64_t length) {
  if (length > model.config.max_positions) {
    usage_error("--sequence", fmt::format("is more than the model's {} positions", model.config.max_positions));
  }
  const auto n_tokens = [&](const std::string& text) {
    std::vector<int32_t> ids;
    model.tokenizer->encode(text, 0, ids);
    return static_cast<int64_t>(ids.size());
  };
  std::istringstream stream(query);
  const std::vector<std::string> words{std::istream_iterator<std::string>(stream), {}};
  const auto filler = std::find_if(words.begin(), words.end(),
                                   [&](const std::string& word) { return n_tokens(word) == n_tokens("") + 1; });
  if (filler == words.end()) usage_error("--sequence", "needs a query with a word that is one token", "--query");
  std::string text = words[0];
  for (size_t i = 1; n_tokens(text + " " + words[i % words.size()]) <= length; ++i)
    text += " " + words[i % words.size()];
  while (n_tokens(text) < length) text += " " + *filler;
  if (n_tokens(text) != length) usage_error("--sequence", "is too short for the query's first word");
  return text;
}

std::vector<Candidate> load_candidates(const BenchCommand& command, const Globals& globals) {
  std::vector<Candidate> candidates;
  for (const std::string& folder : command.models) {
    const auto model = load_shared(folder);
    if (model->config.labels.empty()) bad_input(folder, "has no classification head");
    if (!command.data.empty()) require_single_label(model->config, folder, "accuracy (--data)");
    if (model->config.labels != (candidates.empty() ? model : candidates[0].model)->config.labels) {
      bad_input(folder, "has other labels than " + command.models[0]);
    }
    SessionOptions session = globals.session();
    session.fast_path = !command.slow_path;
    session.packed_cache = command.packed_cache.is_on;
    const double size_mb = weights_mb(folder);
    candidates.push_back({name_of(folder, command.models), model, size_mb, session});
  }
  return candidates;
}

Json pair_json(const std::vector<BenchmarkResult>& results, size_t a, size_t b, const Dataset& data) {
  std::vector<int32_t> truth;
  for (const Example& example : data.examples) truth.push_back(example.label);
  Json json = to_json(compare_predictions(results[a].predictions.labels, results[b].predictions.labels, truth));
  json["a"] = results[a].name;
  json["b"] = results[b].name;
  const LogitCosine cosine = compare_logits(results[a].predictions, results[b].predictions);
  json["logit_cosine"] = cosine.all;
  json["logit_cosine_worst"] = cosine.worst;
  json["latency_ratio"] = results[a].latency.p50_ms / results[b].latency.p50_ms;
  return json;
}

Json all_json(const std::vector<BenchmarkResult>& results, const Dataset* data) {
  Json models = Json::array();
  for (const BenchmarkResult& result : results) models.push_back(to_json(result));
  Json pairs = Json::array();
  for (size_t a = 0; data != nullptr && a < results.size(); ++a) {
    for (size_t b = a + 1; b < results.size(); ++b) pairs.push_back(pair_json(results, a, b, *data));
  }
  return Json{{"models", std::move(models)}, {"pairs", std::move(pairs)}};
}

// How near each is to what the machine allows.
void print_limits(const std::vector<BenchmarkResult>& results) {
  for (const BenchmarkResult& result : results) {
    if (result.roofline_ratio < 0) continue;
    print(fmt::format("{}: the median is {:.2f} times the machine's limit for this query ({:.3f} ms)\n", result.name,
                      result.roofline_ratio, result.latency.p50_ms / result.roofline_ratio));
  }
}

// How far each model's logits are from the first one's.
void print_cosines(const std::vector<BenchmarkResult>& results) {
  for (size_t i = 1; i < results.size(); ++i) {
    const LogitCosine cosine = compare_logits(results[0].predictions, results[i].predictions);
    print(fmt::format("{}: logits have cosine {:.5f} with those of {} ({:.5f} for the query that differs most)\n",
                      results[i].name, cosine.all, results[0].name, cosine.worst));
  }
}

int run_bench(const BenchCommand& command, const Globals& globals, bool single) {
  if (!command.report.empty() && !globals.force && std::filesystem::exists(command.report)) {
    usage_error(command.report, "exists already", "--force overwrites");
  }
  const std::vector<Candidate> candidates = load_candidates(command, globals);
  BenchmarkOptions options = command.options;
  options.session = globals.session();
  options.limits = limits_of(globals).roofline;
  options.regime = command.regime.regime();
  if (command.sequence > 0) {
    options.query = query_of_length(*candidates[0].model, options.query, command.sequence);
  }
  Dataset data;
  if (!command.data.empty()) {
    DataOptions data_options = command.data_flags.resolve();
    data_options.labels = candidates[0].model->config.labels;
    data = load_dataset(command.data, data_options);
  }
  const Dataset* evaluation = command.data.empty() ? nullptr : &data;
  const std::vector<BenchmarkResult> results = benchmark(candidates, evaluation, options);
  const int n_threads = globals.threads > 0 ? globals.threads : cpu_features().n_cores;
  for (const BenchmarkResult& result : results) report_regime(result.regime, n_threads);
  const std::vector<ReportRow> rows = compared_rows(results, evaluation);
  if (!command.report.empty()) {
    Report report;
    report.title = "Benchmark";
    report.summary =
        fmt::format("{} warm-ups and {} runs of one query, interleaved; times end to end, tokenizer included.",
                    options.warmup, options.runs);
    report.facts = environment_facts(globals);
    if (evaluation != nullptr) report.facts.emplace_back("data", command.data);
    report.rows = rows;
    write_file(command.report, report_html(report));
  }
  if (globals.json) {
    print_json(single ? to_json(results[0]) : all_json(results, evaluation));
  } else {
    print_table(rows);
    print_limits(results);
    if (evaluation != nullptr) print_cosines(results);
  }
  return 0;
}

void add_benchmark_verb(Program& program, const std::string& name, const std::string& help, bool single) {
  auto command = std::make_shared<BenchCommand>();
  CLI::App* verb = program.add_verb(
      name, help, [command, &program, single] { return run_bench(*command, program.globals(), single); });
  verb->add_option("model", command->models, single ? "model folder" : "model folders; the first is the baseline")
      ->required()
      ->expected(single ? 1 : 2, single ? 1 : 1000);
  verb->add_option("--data", command->data, "labelled data for accuracy");
  verb->add_option("--query", command->options.query, "the text to time");
  verb->add_option("--warmup", command->options.warmup, "runs before measuring (default 10)")
      ->check(CLI::Range(int64_t{0}, INT64_MAX));
  verb->add_option("--runs", command->options.runs, "measured runs (default 100)")->check(CLI::Range(1, 1 << 30));
  verb->add_option("--batch", command->options.batch_size, "copies of the query a run")->check(CLI::Range(1, 1 << 16));
  verb->add_option("--sequence", command->sequence, "repeat the query's words up to so many tokens")
      ->check(CLI::Range(1, 1 << 24));
  verb->add_flag("--slow-path", command->slow_path, "run the graph op by op, without passes");
  verb->add_option("--report", command->report, "write report.html here");
  command->regime.add_to(*verb);
  command->packed_cache.add_to(*verb);
  command->data_flags.add_to(*verb);
}

}  // namespace

void add_bench(Program& program) {
  add_benchmark_verb(program, "bench", "measure size, latency and accuracy of one model", true);
}

void add_compare(Program& program) {
  add_benchmark_verb(program, "compare", "measure several models side by side, with paired tests", false);
}

}  // namespace fettle::cli
