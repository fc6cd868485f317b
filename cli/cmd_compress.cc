// fettle compress: the main job.
#include <fmt/format.h>

#include <filesystem>
#include <memory>

#include "base/error.h"
#include "cli/app.h"
#include "cli/compress_output.h"
#include "cli/distill_flags.h"
#include "train/heads.h"

namespace fettle::cli {

namespace {

struct CompressCommand {
  std::string model;
  std::string data;
  std::string eval;
  std::string test;
  std::vector<std::string> teachers;
  UnlabelledFlags unlabelled;
  DistillFlags distill;
  ThresholdFlags threshold;
  std::string out;
  CompressOptions options;
  double budget_minutes = 0;
  bool float_embeddings = false;
  DataFlags data_flags;
  TrainFlags train_flags;
};

int run_compress(const CompressCommand& command, const Globals& globals) {
  refuse_existing(command.out, globals);
  const auto teacher = load_shared(command.model);
  if (teacher->config.labels.empty()) bad_input(command.model, "has no classification head", "fettle train makes one");
  require_single_label(teacher->config, command.model, "compress");
  DataOptions data_options = command.data_flags.resolve();
  data_options.labels = teacher->config.labels;
  const Dataset train = load_dataset(command.data, data_options);
  const Dataset eval = load_dataset(command.eval, data_options);
  const Dataset test = command.test.empty() ? eval : load_dataset(command.test, data_options);

  CompressOptions options = command.options;
  const double alpha = options.train.alpha;
  const double temperature = options.train.temperature;
  options.train = command.train_flags.resolve(globals);
  options.train.alpha = alpha;
  options.train.temperature = temperature;
  options.distillation = command.distill.resolve();
  for (const std::string& folder : command.teachers) options.more_teachers.push_back(load_shared(folder));
  options.unlabelled = command.unlabelled.load(command.data_flags);
  options.oos_share = command.threshold.oos_share;
  options.quantize_embeddings = !command.float_embeddings;
  options.benchmark.session = globals.session();
  options.benchmark.limits = limits_of(globals).roofline;
  options.work_folder = beside(command.out, ".work");
  options.budget_s = 60 * command.budget_minutes;
  const CompressResult result = compress(teacher, train, eval, test, options);

  CompressOutput output;
  output.title = "Compression of " + std::filesystem::path(beside(command.model, "")).filename().string();
  output.out = command.out;
  output.data = fmt::format("{} ({} examples), measured on {} ({})", command.data, train.examples.size(),
                            command.test.empty() ? command.eval : command.test, test.examples.size());
  write_compress(result, output, globals, command.out);
  print_compress(result, output, globals);
  std::error_code ignored;
  std::filesystem::remove_all(options.work_folder, ignored);
  return 0;
}

}  // namespace

void add_compress(Program& program) {
  auto command = std::make_shared<CompressCommand>();
  CLI::App* verb = program.add_verb("compress", "the main job: distil, quantize, measure, choose",
                                    [command, &program] { return run_compress(*command, program.globals()); });
  verb->add_option("model", command->model, "fine-tuned model folder")->required();
  verb->add_option("--data", command->data, "training data for distillation")->required();
  verb->add_option("--eval", command->eval, "validation data: thresholds, early stopping")->required();
  verb->add_option("--test", command->test, "data for the final measurements (default: --eval)");
  verb->add_option("--teacher", command->teachers, "more teachers, averaged with the model; may repeat");
  command->unlabelled.add_to(*verb);
  command->threshold.add_share_to(*verb);
  verb->add_option("--max-ms", command->options.max_ms, "limit of the median latency")->check(CLI::Range(0.0, 1e9));
  verb->add_option("--max-mb", command->options.max_mb, "limit of the size on disk, MiB")->check(CLI::Range(0.0, 1e9));
  verb->add_option("--max-drop", command->options.max_drop, "accuracy points that may be lost (default 1)")
      ->check(CLI::Range(0.0, 100.0));
  verb->add_option("--budget", command->budget_minutes, "minutes after which no new student is begun (0: no limit)")
      ->check(CLI::Range(0.0, 1e6));
  verb->add_option("--student", command->options.students, "student rules (layers=0,2 hidden=128); may repeat");
  verb->add_option("--alpha", command->options.train.alpha, "weight of the true labels")->check(CLI::Range(0.0, 1.0));
  verb->add_option("--temperature", command->options.train.temperature, "of distillation")
      ->check(CLI::Range(0.01, 1000.0));
  command->distill.add_to(*verb);
  verb->add_flag("--float-embeddings", command->float_embeddings, "keep embedding tables in float");
  verb->add_option("--query", command->options.benchmark.query, "the text to time");
  verb->add_option("--warmup", command->options.benchmark.warmup, "runs before measuring (default 10)")
      ->check(CLI::Range(int64_t{0}, INT64_MAX));
  verb->add_option("--runs", command->options.benchmark.runs, "measured runs (default 100)")
      ->check(CLI::Range(1, 1 << 30));
  verb->add_option("--out", command->out, "folder to write")->required();
  command->data_flags.add_to(*verb);
  command->train_flags.add_to(*verb);
}

}  // namespace fettle::cli
