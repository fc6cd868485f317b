// fettle distill: knowledge distillation from one teacher or several.
#include <fmt/format.h>

#include <filesystem>
#include <memory>

#include "base/error.h"
#include "cli/app.h"
#include "cli/distill_flags.h"
#include "cli/ranks.h"
#include "cli/train_report.h"
#include "cli/trials.h"
#include "compress/manifest.h"
#include "evaluate/metrics.h"
#include "train/trainer.h"

namespace fettle::cli {

namespace {

struct DistillCommand {
  std::vector<std::string> teachers;
  std::string student;
  std::string objective = "classify";
  std::vector<std::string> data;
  std::string eval;
  UnlabelledFlags unlabelled;
  std::string out;
  double alpha = 0.5;
  double temperature = 2;
  DistillFlags distill;
  MaskedDistillFlags masked;
  ThresholdFlags threshold;
  DataFlags data_flags;
  TrainFlags train_flags;
  SearchFlags search;
  SeedsFlag seeds;
};

// A folder, a config file, or a rule on the teacher.
Model starting_student(const std::string& student, const Model& teacher, uint64_t seed) {
  const std::filesystem::path path = resolve_model(student);
  if (std::filesystem::is_directory(path)) {
    LoadOptions options;
    options.allow_new_head = true;
    options.labels = teacher.config.labels;
    options.seed = seed;
    return load_model(path, options);
  }
  if (path.extension() == ".json") {
    ModelConfig config = parse_config(read_json(path), student);
    config.labels = teacher.config.labels;
    if (teacher.tokenizer && config.vocab_size < teacher.tokenizer->vocab_size()) {
      bad_input(student, "vocab_size is smaller than the teacher's tokenizer needs");
    }
    return make_model(config, teacher.tokenizer, seed);
  }
  return make_student(teacher, student, seed);
}

Json study_key(const std::vector<std::shared_ptr<const Model>>& teachers, const Dataset& train, const Dataset& eval) {
  Json key{{"data", digest_dataset(train)}, {"eval", digest_dataset(eval)}, {"teachers", Json::array()}};
  for (const auto& teacher : teachers) key["teachers"].push_back(digest_model(*teacher));
  return key;
}

// What would be ignored is a mistake.
void check_command(const DistillCommand& command) {
  if (command.objective == "mlm") {
    if (!command.eval.empty()) usage_error("--eval", "is for classifiers; --objective mlm reports its own accuracy");
    if (command.threshold.fit) usage_error("--fit-threshold", "is for classifiers");
    if (!command.unlabelled.files.empty()) usage_error("--unlabelled", "is for classifiers; give texts with --data");
    if (command.distill.match != "logits") usage_error("--match", "is for classifiers");
    if (command.distill.options.augment > 0) usage_error("--augment", "is for classifiers");
    if (command.teachers.size() != 1) usage_error("distill", "takes one teacher for --objective mlm");
    if (command.search.is_on()) usage_error("--search", "is for classifiers");
    if (command.seeds.is_on()) usage_error("--seeds", "is for classifiers");
    return;
  }
  if (command.data.size() != 1) usage_error("--data", "takes one file for this objective");
  if (command.threshold.fit && command.eval.empty()) usage_error("--fit-threshold", "needs --eval");
  command.search.check(command.train_flags, !command.eval.empty());
  command.seeds.check(command.train_flags, !command.eval.empty());
}

std::vector<std::string> read_texts(const DistillCommand& command) {
  std::vector<std::string> texts;
  for (const std::string& file : command.data) {
    for (Example& example : load_dataset(file, command.data_flags.unlabelled()).examples) {
      texts.push_back(std::move(example.text));
    }
  }
  return texts;
}

// Ranks share out every batch, but whole trials.
TrainOptions train_options(const DistillCommand& command, const Globals& globals, Communicator* ranks) {
  TrainOptions options = command.train_flags.resolve(globals);
  options.ranks = command.search.is_on() || command.seeds.is_on() ? nullptr : ranks;
  options.alpha = command.alpha;
  options.temperature = command.temperature;
  options.mask_probability = command.masked.mask_probability;
  if (options.checkpoint_folder.empty()) options.checkpoint_folder = beside(command.out, kCheckpointSuffix);
  return options;
}

void record(Model& student, const std::string& rule, const std::vector<std::shared_ptr<const Model>>& teachers) {
  amend_step(student, Json{{"student", rule}});
  for (const auto& parent : teachers) record_parent(student, parent->source);
  record_parent(student, student.source);
}

// With --search the search writes its own.
TrainReport report_of(const DistillCommand& command) {
  std::string data;
  for (const std::string& file : command.data) data += (data.empty() ? "" : ", ") + file;
  const std::string path = command.search.is_on() ? "" : command.search.report;
  return {.path = path, .out = command.out, .data = data, .eval = command.eval};
}

int run_masked(const DistillCommand& command, const Globals& globals, Communicator* ranks) {
  const std::vector<std::shared_ptr<const Model>> teachers = {load_shared(command.teachers[0])};
  Model student = starting_student(command.student, *teachers[0], globals.seed);
  const TrainResult result = distill_masked_lm(student, *teachers[0], read_texts(command),
                                               train_options(command, globals, ranks), command.masked.options);
  if (leaves_to_first(ranks)) return 0;
  record(student, command.student, teachers);
  const int64_t size = save_model(student, command.out, globals.force);
  report_of(command).write(result, student, globals);
  remove_checkpoints(command.train_flags, command.out);
  if (globals.json) {
    Json json = to_json(result);
    json["path"] = command.out;
    json["size_mb"] = static_cast<double>(size) / (1024.0 * 1024.0);
    print_json(json);
  } else {
    print(training_summary(result) + "wrote " + command.out + "\n");
  }
  return 0;
}

int run_distill(const DistillCommand& command, const Globals& globals, Communicator* ranks) {
  check_command(command);
  refuse_existing(command.out, globals);
  report_of(command).refuse_existing(globals);
  if (command.objective == "mlm") return run_masked(command, globals, ranks);
  std::vector<std::shared_ptr<const Model>> teachers;
  for (const std::string& folder : command.teachers) teachers.push_back(load_shared(folder));
  const Model& teacher = *teachers[0];

  DataOptions data_options = command.data_flags.resolve();
  data_options.labels = teacher.config.labels;
  Dataset train = load_dataset(command.data[0], data_options);
  Dataset eval;
  if (!command.eval.empty()) eval = load_dataset(command.eval, data_options);
  for (Example& example : command.unlabelled.load(command.data_flags).examples) {
    train.examples.push_back(std::move(example));
  }
  const TrainOptions options = train_options(command, globals, ranks);
  const TrialTraining training{
      .start = [&](const std::string& rule, uint64_t seed) { return starting_student(rule, teacher, seed); },
      .train =
          [&](Model& model, const TrialSetup& setup) {
            TrainResult trained = distill(model, teachers, train, command.eval.empty() ? nullptr : &eval, setup.options,
                                          setup.distillation);
            record(model, setup.student, teachers);
            return trained;
          }};
  const TrialSetup setup{options, command.student, command.distill.resolve()};
  Model student;
  TrainResult result;
  TrialsOutcome trials;
  if (command.search.is_on() || command.seeds.is_on()) {
    trials = run_trials(command.search, command.seeds,
                        {.out = command.out,
                         .setup = setup,
                         .training = training,
                         .key = study_key(teachers, train, eval),
                         .title = "Search for a student of " +
                                  std::filesystem::path(beside(command.teachers[0], "")).filename().string()},
                        globals);
    student = std::move(trials.model);
    result = std::move(trials.training);
  } else {
    student = training.start(command.student, globals.seed);
    result = training.train(student, setup);
  }
  if (leaves_to_first(ranks)) return 0;
  command.threshold.apply(student, eval, globals);
  double teacher_accuracy = -1;
  if (!command.eval.empty()) {
    Session session(teachers[0], globals.session());
    teacher_accuracy = measure_quality(predict(session, eval), eval).accuracy;
    record_measurements(student, Json{{"accuracy", result.accuracy}, {"teacher_accuracy", teacher_accuracy}});
  }
  const int64_t size = save_model(student, command.out, globals.force);
  report_of(command).write(result, student, globals);
  remove_checkpoints(command.train_flags, command.out);
  trials.remove_work();

  Json json = to_json(result);
  json["path"] = command.out;
  json["size_mb"] = static_cast<double>(size) / (1024.0 * 1024.0);
  json["trials"] = Json::array();
  json["teacher_accuracy"] = command.eval.empty() ? Json(nullptr) : Json(teacher_accuracy);
  merge(json, trials.json);
  if (globals.json) {
    print_json(json);
  } else {
    std::string text = trials.text + training_summary(result);
    if (!command.eval.empty()) text += fmt::format("teacher's accuracy {:.4f}\n", teacher_accuracy);
    print(text + "wrote " + command.out + "\n");
  }
  return 0;
}

}  // namespace

void add_distill(Program& program) {
  auto command = std::make_shared<DistillCommand>();
  CLI::App* verb = program.add_verb("distill", "train a smaller student from a teacher", [command, &program] {
    return run_with_ranks(program.globals(),
                          [&](Communicator* ranks) { return run_distill(*command, program.globals(), ranks); });
  });
  verb->add_option("teacher", command->teachers, "model folders; the logits of several are averaged")->required();
  verb->add_option("--student", command->student, "a folder, a config.json, or a rule (layers=0,2,4 hidden=128)")
      ->required();
  verb->add_option("--objective", command->objective, "classify, mlm (distillation in pre-training)")
      ->check(CLI::IsMember({"classify", "mlm"}));
  verb->add_option("--data", command->data, "training data (several text files for --objective mlm)")->required();
  verb->add_option("--eval", command->eval, "data for evaluation after each epoch");
  command->unlabelled.add_to(*verb);
  verb->add_option("--out", command->out, "folder to write")->required();
  verb->add_option("--alpha", command->alpha, "weight of the true labels (default 0.5)")->check(CLI::Range(0.0, 1.0));
  verb->add_option("--temperature", command->temperature, "softening of both sides (default 2)")
      ->check(CLI::Range(0.01, 1000.0));
  command->distill.add_to(*verb);
  command->masked.add_to(*verb);
  command->threshold.add_to(*verb);
  command->data_flags.add_to(*verb);
  command->train_flags.add_to(*verb);
  command->search.add_to(*verb);
  command->seeds.add_to(*verb);
}

}  // namespace fettle::cli
