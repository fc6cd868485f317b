// fettle demo: the main job, end to end, on what the program brings itself.
#include <fmt/format.h>

#include <filesystem>
#include <memory>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/progress.h"
#include "cli/app.h"
#include "cli/compress_output.h"
#include "compress/manifest.h"
#include "data/demo_grammar.h"

namespace fettle::cli {

namespace {

struct DemoCommand {
  std::string out = "fettle-demo";
};

void write_jsonl(const Dataset& data, const std::filesystem::path& path) {
  std::string text;
  for (const Example& example : data.examples) {
    const Json row{{"text", example.text}, {"label", data.labels[static_cast<size_t>(example.label)]}};
    text += row.dump() + "\n";
  }
  write_file(path, text);
}

TrainOptions teacher_options(const Globals& globals) {
  TrainOptions options;
  options.epochs = 8;
  options.batch_size = 32;
  options.learning_rate = 3e-4;
  options.warmup_ratio = 0.1;
  options.seed = globals.seed;
  options.n_threads = globals.threads;
  options.isa = globals.isa;
  return options;
}

Model train_teacher(const DemoData& data, const Globals& globals, Curve& curve) {
  LoadOptions load;
  load.allow_new_head = true;
  load.labels = data.train.labels;
  load.seed = globals.seed;
  Model teacher = load_model(resolve_model("builtin:encoder"), load);
  const TrainOptions options = teacher_options(globals);
  const TrainResult result = train_classifier(teacher, data.train, &data.validation, options);
  amend_step(teacher, Json{{"data", "demo"}});
  record_parent(teacher, teacher.source);
  record_measurements(teacher, Json{{"accuracy", result.accuracy}});
  curve.name = "teacher";
  for (const EpochRecord& record : result.epochs) {
    curve.epochs.push_back(record.epoch);
    curve.loss.push_back(record.loss);
    curve.accuracy.push_back(record.accuracy);
  }
  return teacher;
}

CompressOptions compress_options(const Model& teacher, const Globals& globals) {
  CompressOptions options;
  options.train = teacher_options(globals);
  options.train.epochs = 20;
  options.train.learning_rate = 1e-3;
  options.train.alpha = 0.3;
  options.train.temperature = 4;
  options.max_drop = 2;
  const int64_t n_layers = static_cast<int64_t>(teacher.config.layers.size());
  options.students = {fmt::format("layers=0,{}", n_layers / 2),
                      fmt::format("layers=0,{} hidden={}", n_layers / 2, teacher.config.hidden_size / 2)};
  options.benchmark.query = "could you set an alarm for six in the morning please";
  options.benchmark.session = globals.session();
  options.benchmark.limits = limits_of(globals).roofline;
  return options;
}

int run_demo(const DemoCommand& command, const Globals& globals) {
  refuse_existing(command.out, globals);
  Stopwatch watch;
  const DemoData data = make_demo_data(DemoOptions{.seed = globals.seed});
  log_info(fmt::format("made {} training, {} validation and {} test queries with {} intents",
                       data.train.examples.size(), data.validation.examples.size(), data.test.examples.size(),
                       data.train.labels.size()));
  AtomicFolder folder(command.out, globals.force);
  const std::filesystem::path& out = folder.path();
  write_jsonl(data.train, out / "train.jsonl");
  write_jsonl(data.validation, out / "validation.jsonl");
  write_jsonl(data.test, out / "test.jsonl");
  Curve curve;
  Model trained = train_teacher(data, globals, curve);
  save_model(trained, out / "teacher", false);
  trained.source = out / "teacher";
  const auto teacher = std::make_shared<const Model>(std::move(trained));
  const CompressResult result =
      compress(teacher, data.train, data.validation, data.test, compress_options(*teacher, globals));
  CompressOutput output;
  output.title = "fettle demo";
  output.out = (std::filesystem::path(command.out) / "model").string();
  output.data = fmt::format("made by the program's own grammar: {} training, {} validation, {} test queries",
                            data.train.examples.size(), data.validation.examples.size(), data.test.examples.size());
  output.curves.push_back(std::move(curve));
  write_compress(result, output, globals, out / "model");
  folder.commit();
  print_compress(result, output, globals);
  if (!globals.json) {
    print(
        fmt::format("took {}\n\ntry it:    fettle predict {}/model \"wake me at seven\"\n"
                    "your data: fettle train builtin:encoder --data train.jsonl --eval valid.jsonl --out teacher\n"
                    "           fettle compress teacher --data train.jsonl --eval valid.jsonl --out small\n",
                    format_duration(watch.seconds()), command.out));
  }
  return 0;
}

}  // namespace

void add_demo(Program& program) {
  auto command = std::make_shared<DemoCommand>();
  CLI::App* verb =
      program.add_verb("demo", "the main job on a data set that the program makes itself, in under three minutes",
                       [command, &program] { return run_demo(*command, program.globals()); });
  verb->add_option("--out", command->out, "folder to write (default fettle-demo)");
}

}  // namespace fettle::cli
