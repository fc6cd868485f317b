// fettle profile: where the time of an answer goes, on the slow and the fast path, and why.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "base/error.h"
#include "base/terminal.h"
#include "cli/app.h"
#include "evaluate/benchmark.h"
#include "evaluate/profile_report.h"

namespace fettle::cli {

namespace {

constexpr int kWideColumns = 120;

struct ProfileCommand {
  std::string model;
  std::vector<std::string> texts;
  std::string data;
  int64_t sequence = 0;
  int64_t batch = 0;
  std::string path = "on";
  std::string by = "op";
  std::string precision = "f32";
  bool explain = false;
  ProfileOptions options;
  PackedCacheFlag packed_cache;
  DataFlags data_flags;
};

std::vector<std::string> texts_of(const ProfileCommand& command) {
  constexpr int64_t kDataBatch = 64;
  if (!command.data.empty()) {
    Dataset data = load_dataset(command.data, command.data_flags.unlabelled());
    thin_out(data, command.batch > 0 ? command.batch : kDataBatch);
    std::vector<std::string> texts;
    for (const Example& example : data.examples) texts.push_back(example.text);
    return texts;
  }
  std::vector<std::string> texts;
  for (int64_t i = 0; i < std::max<int64_t>(1, command.batch); ++i) {
    texts.insert(texts.end(), command.texts.begin(), command.texts.end());
  }
  return texts;
}

ProfileInput input_of(const ProfileCommand& command, const Model& model, const Globals& globals) {
  const int n_sources =
      (command.texts.empty() ? 0 : 1) + (command.data.empty() ? 0 : 1) + (command.sequence > 0 ? 1 : 0);
  if (n_sources > 1) usage_error("profile", "takes one of --text, --data and --sequence");
  if (command.sequence > 0) {
    return profile_random(model, std::max<int64_t>(1, command.batch), command.sequence, globals.seed);
  }
  ProfileCommand filled = command;
  if (n_sources == 0) filled.texts = {BenchmarkOptions().query};
  return profile_texts(model, texts_of(filled));
}

// Fusions and kernels are those of the fast path where both were run.
Json to_json(const std::vector<PathProfile>& paths) {
  const PathProfile& last = paths.back();
  const Json shown = profile_json(last);
  Json json{{"total_ms", shown["total_ms"]}, {"ops", shown["ops"]}};
  json["fast_path"] = fusions_json(last);
  json["kernels"] = kernels_json(last);
  json["paths"] = Json::array();
  for (const PathProfile& path : paths) json["paths"].push_back(profile_json(path));
  return json;
}

void print_profile(const ProfileCommand& command, const std::vector<PathProfile>& paths) {
  const int columns = isatty(STDOUT_FILENO) == 1 ? std::max(80, terminal_columns()) : kWideColumns;
  const ProfileGroup group = command.by == "node" ? ProfileGroup::kNode : ProfileGroup::kOp;
  for (const PathProfile& path : paths) {
    print(format_profile(path, group, command.options.limits, columns) + "\n");
  }
  if (paths.size() == 2) print(format_comparison(paths[0], paths[1], columns) + "\n");
  if (command.explain) print(explain(paths.back(), columns));
}

int run_profile(ProfileCommand command, const Globals& globals) {
  const auto model = load_shared(command.model);
  const ProfileInput input = input_of(command, *model, globals);
  ProfileOptions& options = command.options;
  if (options.padded && command.path == "on") {
    usage_error("--padded", "is the slow path on padded sequences", "with --fast-path off or both");
  }
  options.session = globals.session();
  options.session.precision = command.precision == "bf16" ? Precision::kBF16 : Precision::kF32;
  options.session.packed_cache = command.packed_cache.is_on;
  options.slow_path = command.path != "on";
  options.fast_path = command.path != "off";
  options.limits = limits_of(globals).roofline;
  const std::vector<PathProfile> paths = profile_model(model, input, options);
  if (globals.json) {
    print_json(to_json(paths));
  } else {
    print_profile(command, paths);
  }
  return 0;
}

}  // namespace

void add_profile(Program& program) {
  auto command = std::make_shared<ProfileCommand>();
  CLI::App* verb = program.add_verb("profile", "time of every op, on the slow and the fast path, and why",
                                    [command, &program] { return run_profile(*command, program.globals()); });
  verb->add_option("model", command->model, "model folder")->required();
  verb->add_option("--text", command->texts, "a text to answer; several make one batch");
  verb->add_option("--data", command->data, "texts of a data set, --batch of them (default 64), evenly spaced");
  verb->add_option("--sequence", command->sequence, "made-up tokens, so many in each sequence")
      ->check(CLI::Range(1, 1 << 24));
  verb->add_option("--batch", command->batch, "sequences a run: copies of the texts, or of --data that many")
      ->check(CLI::Range(1, 1 << 16));
  verb->add_option("--fast-path", command->path, "on, off, or both side by side (default on)")
      ->check(CLI::IsMember({"on", "off", "both"}));
  verb->add_flag("--padded", command->options.padded, "the slow path on padded sequences, for comparison");
  verb->add_option("--by", command->by, "rows of the table: op, node (default op)")
      ->check(CLI::IsMember({"op", "node"}));
  verb->add_flag("--explain", command->explain, "every fusion and kernel: used, or refused and why");
  verb->add_option("--precision", command->precision, "of products with f32 weights: f32, bf16 (default f32)")
      ->check(CLI::IsMember({"f32", "bf16"}));
  verb->add_option("--warmup", command->options.warmup, "runs before measuring (default 3)")
      ->check(CLI::Range(int64_t{0}, INT64_MAX));
  verb->add_option("--runs", command->options.runs, "profiled runs (default 30)")->check(CLI::Range(1, 1 << 30));
  command->packed_cache.add_to(*verb);
  command->data_flags.add_to(*verb);
}

}  // namespace fettle::cli
