// fettle quantize: weights as integers, by one of the methods of quantize_methods.h.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>

#include "base/error.h"
#include "cli/quantize_methods.h"
#include "cli/trials.h"
#include "compress/manifest.h"

namespace fettle::cli {

namespace {

using GroupFactory = std::unique_ptr<QuantizeGroup> (*)();
constexpr GroupFactory kGroups[] = {make_scheme_group, make_calibrated_group, make_training_group};

struct QuantizeVerb {
  QuantizeCommand command;
  std::vector<std::unique_ptr<QuantizeGroup>> groups;

  QuantizeGroup& chosen() const {
    for (const auto& group : groups) {
      if (std::ranges::count(group->methods(), command.method) > 0) return *group;
    }
    usage_error("--method", "'" + shown_text(command.method) + "' is not known");
  }
};

// What would be ignored is a mistake.
void check_command(const QuantizeVerb& quantize) {
  const QuantizeCommand& command = quantize.command;
  const QuantizeGroup& group = quantize.chosen();
  const std::vector<std::string> allowed = group.flags_of(command.method);
  const auto check_flag = [&](const std::string& flag) {
    if (!command.is_given(flag) || std::ranges::count(allowed, flag) > 0) return;
    if (flag == "--calibrate" && command.budget.reads_texts()) return;
    usage_error(flag, "does not go with --method " + command.method);
  };
  check_flag("--data");
  check_flag("--calibrate");
  for (const auto& other : quantize.groups) {
    for (const std::string& method : other->methods()) std::ranges::for_each(other->flags_of(method), check_flag);
  }
  if (command.threshold.fit && command.eval.empty()) usage_error("--fit-threshold", "needs --eval");
  group.check(command);
  if (!group.scheme(command)) {
    for (const char* flag : {"--max-mb", "--max-kl", "--mixed-bits", "--sensitivity", "--sensitivity-samples"}) {
      if (command.is_given(flag)) usage_error(flag, "does not go with --method " + command.method);
    }
  }
  command.budget.check(command);
}

Json layers_json(const QuantizeReport& report, const std::map<std::string, double>& divergences) {
  Json layers = Json::array();
  for (const LayerQuantization& layer : report.layers) {
    layers.push_back(Json{{"name", layer.name},
                          {"encoding", layer.encoding},
                          {"shape", layer.shape},
                          {"input_bits", layer.input_bits},
                          {"bits_per_weight", layer.bits_per_weight},
                          {"outlier_ratio", layer.outlier_ratio},
                          {"rmse", layer.rmse},
                          {"cosine", layer.cosine}});
    if (const auto found = divergences.find(layer.name); found != divergences.end()) {
      layers.back()["kl"] = found->second;
    }
  }
  return layers;
}

// With the divergences, where they were measured, the most sensitive first.
std::string layers_text(QuantizeReport report, const std::map<std::string, double>& divergences) {
  if (!divergences.empty()) {
    std::ranges::stable_sort(report.layers, [&](const LayerQuantization& a, const LayerQuantization& b) {
      return divergences.at(a.name) > divergences.at(b.name);
    });
  }
  std::string text;
  for (const LayerQuantization& layer : report.layers) {
    text += fmt::format("{:<58} {:<14} {:<14} rmse {:.2e}  cosine {:.6f}", layer.name, shape_to_string(layer.shape),
                        layer.encoding, layer.rmse, layer.cosine);
    if (!divergences.empty()) text += fmt::format("  KL {:.2e}", divergences.at(layer.name));
    text += '\n';
  }
  return text;
}

void print_outcome(const QuantizeOutcome& outcome, const std::map<std::string, double>& divergences, const Json& json,
                   const QuantizeCommand& command) {
  std::string text = layers_text(outcome.report, divergences) + outcome.text;
  if (outcome.has_trained) text += training_summary(outcome.training);
  if (json.contains("accuracy_before")) {
    const Json& test = json["against_original"];
    text += fmt::format("accuracy {:.4f} -> {:.4f} (95 % interval {:+.2f} to {:+.2f} points, McNemar p = {:.3f})\n",
                        json["accuracy_before"].get<double>(), json["accuracy"].get<double>(),
                        100 * test["ci95"][0].get<double>(), 100 * test["ci95"][1].get<double>(),
                        test["mcnemar_p"].get<double>());
  }
  if (json.contains("slower")) {
    text += fmt::format("one query {:.3f} -> {:.3f} ms{}\n", json["latency_ms_before"].get<double>(),
                        json["latency_ms"].get<double>(),
                        json["slower"].get<bool>() ? ": SLOWER than the model it was made of, on this machine" : "");
  }
  print(text + fmt::format("{:.2f} -> {:.2f} MiB, {:.2f} bits a weight; wrote {}\n", outcome.report.size_mb_before,
                           outcome.report.size_mb, outcome.report.bits_per_weight, command.out));
}

int run_quantize(const QuantizeVerb& quantize, const Globals& globals) {
  const QuantizeCommand& command = quantize.command;
  check_command(quantize);
  const std::optional<QuantizeOptions> scheme = quantize.chosen().scheme(command);
  refuse_existing(command.out, globals);
  command.page.refuse_existing(globals);
  const auto original = load_shared(command.model);
  Model model = *original;
  QuantizeJob job{original, scheme.value_or(QuantizeOptions{}), {}, command, globals};
  if (scheme) job.plan = make_plan(model, *scheme);
  if (command.is_given("--group")) require_whole_groups(model, job.plan);
  Json chosen = Json::object();
  std::string text;
  if (command.budget.is_mixed()) chosen = choose_bits(job, text);
  QuantizeOutcome outcome = quantize.chosen().run(model, job);
  outcome.text.insert(0, text);

  Json options{{"method", command.method}};
  if (scheme) options.update(flags_to_json(*scheme));
  options.update(outcome.options);
  command.budget.record(options, command);
  if (outcome.has_trained) {
    amend_step(model, options);
    record_parent(model, original->source);
  } else {
    record_step(model, "quantize", options, globals.seed);
  }
  const Json measured = measure_change(model, job, outcome);
  if (!measured.empty()) record_measurements(model, measured);
  const std::map<std::string, double> divergences = measure_layers(model, job, outcome);
  const Json speed = measure_speed(model, job);
  save_model(model, command.out, globals.force);
  command.page.write(outcome.report, command.model, command.method, globals);
  quantize.chosen().clean_up(command);

  Json json = outcome.has_trained ? to_json(outcome.training) : Json::object();
  json["method"] = command.method;
  json["size_mb_before"] = outcome.report.size_mb_before;
  json["size_mb"] = outcome.report.size_mb;
  json["bits_per_weight"] = outcome.report.bits_per_weight;
  json["layers"] = layers_json(outcome.report, divergences);
  json["path"] = command.out;
  merge(json, outcome.more);
  merge(json, chosen);
  merge(json, measured);
  merge(json, speed);
  if (globals.json) {
    print_json(json);
  } else {
    print_outcome(outcome, divergences, json, command);
  }
  return 0;
}

}  // namespace

void add_quantize(Program& program) {
  auto quantize = std::make_shared<QuantizeVerb>();
  QuantizeCommand& command = quantize->command;
  CLI::App* verb = program.add_verb("quantize", "store and compute weights as integers",
                                    [quantize, &program] { return run_quantize(*quantize, program.globals()); });
  command.verb = verb;
  std::vector<std::string> methods;
  std::string list;
  for (const GroupFactory make : kGroups) {
    quantize->groups.push_back(make());
    for (const std::string& method : quantize->groups.back()->methods()) {
      methods.push_back(method);
      list += (list.empty() ? "" : ", ") + method;
    }
  }
  verb->add_option("model", command.model, "model folder")->required();
  verb->add_option("--method", command.method, list + " (default dynamic)")->check(CLI::IsMember(methods));
  command.scheme.add_to(*verb);
  command.page.add_to(*verb);
  command.budget.add_to(*verb);
  verb->add_option("--data", command.data, "training data, for methods that train");
  verb->add_option("--calibrate", command.calibrate, "texts to run the model over, for methods that measure");
  verb->add_option("--eval", command.eval, "data for evaluation, before and after");
  verb->add_option("--out", command.out, "folder to write")->required();
  command.threshold.add_to(*verb);
  command.data_flags.add_to(*verb);
  for (const auto& group : quantize->groups) group->add_to(*verb);
}

}  // namespace fettle::cli
