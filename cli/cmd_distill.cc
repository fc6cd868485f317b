// fettle distill: knowledge distillation from one teacher or several.
#include <filesystem>
#include <memory>

#include "base/error.h"
#include "cli/app.h"
#include "compress/manifest.h"
#include "evaluate/metrics.h"
#include "train/trainer.h"

namespace fettle::cli {

namespace {

struct DistillCommand {
  std::vector<std::string> teachers;
  std::string student;
  std::string data;
  std::string eval;
  std::vector<std::string> unlabelled;
  std::string out;
  double alpha = 0.5;
  double temperature = 2;
  bool fit_threshold = false;
  DataFlags data_flags;
  TrainFlags train_flags;
};

// A folder, a config file, or a rule on the teacher.
Model starting_student(const DistillCommand& command, const Model& teacher, uint64_t seed) {
  const std::filesystem::path path = command.student;
  if (std::filesystem::is_directory(path)) {
    LoadOptions options;
    options.allow_new_head = true;
    options.labels = teacher.config.labels;
    options.seed = seed;
    return load_model(path, options);
  }
  if (path.extension() == ".json") {
    ModelConfig config = parse_config(read_json(path), command.student);
    config.labels = teacher.config.labels;
    if (teacher.tokenizer && config.vocab_size < teacher.tokenizer->vocab_size()) {
      bad_input(command.student, "vocab_size is smaller than the teacher's tokenizer needs");
    }
    return make_model(config, teacher.tokenizer, seed);
  }
  return make_student(teacher, command.student, seed);
}

int run_distill(const DistillCommand& command, const Globals& globals) {
  refuse_existing(command.out, globals);
  std::vector<std::shared_ptr<const Model>> teachers;
  for (const std::string& folder : command.teachers) teachers.push_back(load_shared(folder));
  const Model& teacher = *teachers[0];

  DataOptions data_options = command.data_flags.resolve();
  data_options.labels = teacher.config.labels;
  Dataset train = load_dataset(command.data, data_options);
  Dataset eval;
  if (!command.eval.empty()) eval = load_dataset(command.eval, data_options);
  for (const std::string& file : command.unlabelled) {
    for (Example example : load_dataset(file, command.data_flags.unlabelled()).examples) {
      example.label = kUnlabelled;
      train.examples.push_back(std::move(example));
    }
  }
  TrainOptions options = command.train_flags.resolve(globals);
  options.alpha = command.alpha;
  options.temperature = command.temperature;
  if (options.checkpoint_folder.empty()) options.checkpoint_folder = command.out + ".checkpoints";

  Model student = starting_student(command, teacher, globals.seed);
  const TrainResult result = distill(student, teachers, train, command.eval.empty() ? nullptr : &eval, options);
  const Json record{{"student", command.student},         {"alpha", command.alpha},
                    {"temperature", command.temperature}, {"epochs", options.epochs},
                    {"batch_size", options.batch_size},   {"learning_rate", options.learning_rate}};
  record_step(student, "distill", record, globals.seed, &teacher);
  if (command.fit_threshold && !command.eval.empty()) fit_threshold(student, eval, globals);
  const int64_t size = save_model(student, command.out, globals.force);
  std::error_code ignored;
  std::filesystem::remove_all(options.checkpoint_folder, ignored);

  Json json = to_json(result);
  json["path"] = command.out;
  json["size_mb"] = static_cast<double>(size) / (1024.0 * 1024.0);
  json["trials"] = Json::array();
  json["teacher_accuracy"] = nullptr;
  if (!command.eval.empty()) {
    Session session(teachers[0], globals.session());
    json["teacher_accuracy"] = measure_quality(predict(session, eval), eval).accuracy;
  }
  if (globals.json) {
    print_json(json);
  } else {
    std::string text = training_summary(result);
    if (!json["teacher_accuracy"].is_null()) text += "teacher's accuracy " + json["teacher_accuracy"].dump() + "\n";
    print(text + "wrote " + command.out + "\n");
  }
  return 0;
}

}  // namespace

void add_distill(Program& program) {
  auto command = std::make_shared<DistillCommand>();
  CLI::App* verb = program.add_verb("distill", "train a smaller student from a teacher",
                                    [command, &program] { return run_distill(*command, program.globals()); });
  verb->add_option("teacher", command->teachers, "model folders; the logits of several are averaged")->required();
  verb->add_option("--student", command->student, "a folder, a config.json, or a rule (layers=0,2,4 hidden=128)")
      ->required();
  verb->add_option("--data", command->data, "training data")->required();
  verb->add_option("--eval", command->eval, "data for evaluation after each epoch");
  verb->add_option("--unlabelled", command->unlabelled, "more texts, which only the teacher labels");
  verb->add_option("--out", command->out, "folder to write")->required();
  verb->add_option("--alpha", command->alpha, "weight of the true labels (default 0.5)")->check(CLI::Range(0.0, 1.0));
  verb->add_option("--temperature", command->temperature, "softening of both sides (default 2)")
      ->check(CLI::Range(0.01, 1000.0));
  verb->add_flag("--fit-threshold", command->fit_threshold, "fit an out-of-scope score threshold on --eval");
  command->data_flags.add_to(*verb);
  command->train_flags.add_to(*verb);
}

}  // namespace fettle::cli
