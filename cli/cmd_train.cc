// fettle train: fine-tuning, training from scratch, masked-language-model pre-training.
#include <filesystem>
#include <memory>

#include "base/error.h"
#include "cli/app.h"
#include "cli/ranks.h"
#include "cli/train_report.h"
#include "cli/trials.h"
#include "compress/manifest.h"
#include "data/dataset.h"
#include "train/heads.h"
#include "train/trainer.h"

namespace fettle::cli {

namespace {

struct TrainCommand {
  std::string model;
  std::string init;
  std::string tokenizer;
  std::vector<std::string> data;
  std::string eval;
  std::string objective = "classify";
  std::string problem;
  std::string out;
  std::string report;
  double mask_probability = 0.15;
  ThresholdFlags threshold;
  DataFlags data_flags;
  TrainFlags train_flags;
  SeedsFlag seeds;
};

// The labels that the model will have.
struct Head {
  ProblemType problem = ProblemType::kSingleLabel;
  std::vector<std::string> labels;
};

// What the command asks for, else what the model has, else single labels; with the names that a model of numbers has.
Head head_of(const TrainCommand& command) {
  Head head;
  const std::filesystem::path config_file = command.init.empty()
                                                ? encoder_folder(resolve_model(command.model)) / "config.json"
                                                : std::filesystem::path(command.init);
  const ModelConfig config = parse_config(read_json(config_file), config_file.string());
  const bool has_head = !config.labels.empty();
  if (has_head && (command.init.empty() || config.other.contains("problem_type"))) head.problem = config.problem;
  if (command.problem == "single-label") head.problem = ProblemType::kSingleLabel;
  if (command.problem == "multi-label") head.problem = ProblemType::kMultiLabel;
  if (command.problem == "regression") head.problem = ProblemType::kRegression;
  if (has_head && head.problem == ProblemType::kRegression && config.problem == head.problem)
    head.labels = config.labels;
  return head;
}

Model starting_model(const TrainCommand& command, const Head& head, uint64_t seed) {
  if (!command.init.empty()) {
    ModelConfig config = parse_config(read_json(command.init), command.init);
    config.labels = head.labels;
    config.problem = head.problem;
    config.other.erase("problem_type");
    const std::string folder = command.tokenizer.empty() ? command.model : command.tokenizer;
    if (folder.empty()) usage_error("train", "--init needs a tokenizer", "--tokenizer FOLDER");
    auto tokenizer = Tokenizer::load(resolve_model(folder));
    if (tokenizer->vocab_size() > config.vocab_size) {
      bad_input(command.init, "vocab_size is smaller than the tokenizer's " + std::to_string(tokenizer->vocab_size()));
    }
    return make_model(config, std::move(tokenizer), seed);
  }
  LoadOptions options;
  options.allow_new_head = true;
  options.labels = head.labels;
  options.problem = head.problem;
  options.seed = seed;
  return load_model(resolve_model(command.model), options);
}

std::vector<std::string> read_texts(const std::vector<std::string>& files, const DataOptions& options) {
  std::vector<std::string> texts;
  for (const std::string& file : files) {
    for (Example& example : load_dataset(file, options).examples) texts.push_back(std::move(example.text));
  }
  return texts;
}

// What would be ignored is a mistake.
void check_command(const TrainCommand& command) {
  if (command.init.empty() && command.model.empty()) usage_error("train", "needs a MODEL, or --init CONFIG.json");
  if (command.init.empty() && !command.tokenizer.empty()) usage_error("--tokenizer", "goes with --init only");
  if (command.objective == "mlm") {
    if (!command.eval.empty()) usage_error("--eval", "is for classifiers; --objective mlm reports its own accuracy");
    if (command.threshold.fit) usage_error("--fit-threshold", "is for classifiers");
    if (!command.problem.empty()) usage_error("--problem-type", "is for classifiers");
    if (command.seeds.is_on()) usage_error("--seeds", "is for classifiers");
    return;
  }
  if (command.data.size() != 1) usage_error("--data", "takes one file for this objective");
  if (command.threshold.fit && command.eval.empty()) usage_error("--fit-threshold", "needs --eval");
  command.seeds.check(command.train_flags, !command.eval.empty());
}

TrainReport report_of(const TrainCommand& command) {
  std::string data;
  for (const std::string& file : command.data) data += (data.empty() ? "" : ", ") + file;
  return {.path = command.report, .out = command.out, .data = data, .eval = command.eval};
}

void finish(Model& model, const TrainCommand& command, const Globals& globals, const TrainResult& result,
            const TrialsOutcome& trials = {}) {
  record_parent(model, model.source);
  if (!command.eval.empty()) record_measurements(model, Json{{result.metric, result.accuracy}});
  const int64_t size = save_model(model, command.out, globals.force);
  report_of(command).write(result, model, globals);
  remove_checkpoints(command.train_flags, command.out);
  trials.remove_work();
  if (globals.json) {
    Json json = to_json(result);
    json["path"] = command.out;
    json["size_mb"] = static_cast<double>(size) / (1024.0 * 1024.0);
    merge(json, trials.json);
    print_json(json);
  } else {
    print(trials.text + training_summary(result) + "wrote " + command.out + "\n");
  }
}

int run_train(const TrainCommand& command, const Globals& globals, Communicator* ranks) {
  check_command(command);
  refuse_existing(command.out, globals);
  report_of(command).refuse_existing(globals);
  TrainOptions options = command.train_flags.resolve(globals);
  options.mask_probability = command.mask_probability;
  options.ranks = command.seeds.is_on() ? nullptr : ranks;  // seeds are shared out whole
  const bool is_first = ranks == nullptr || ranks->rank() == 0;
  if (options.checkpoint_folder.empty()) options.checkpoint_folder = beside(command.out, kCheckpointSuffix);

  if (command.objective == "mlm") {
    Model model = starting_model(command, {}, globals.seed);
    const std::vector<std::string> texts = read_texts(command.data, command.data_flags.resolve());
    const TrainResult result = pretrain_masked_lm(model, texts, options);
    if (is_first) finish(model, command, globals, result);
    return 0;
  }
  Head head = head_of(command);
  if (command.threshold.fit && head.problem != ProblemType::kSingleLabel) {
    usage_error("--fit-threshold", "is for single-label classifiers");
  }
  DataOptions data_options = command.data_flags.resolve(label_kind_of(head.problem));
  data_options.labels = head.labels;
  const Dataset train = load_dataset(command.data[0], data_options);
  head.labels = data_options.labels = train.labels;
  Dataset eval;
  if (!command.eval.empty()) eval = load_dataset(command.eval, data_options);
  const TrialTraining training{
      .start = [&](const std::string&, uint64_t seed) { return starting_model(command, head, seed); },
      .train =
          [&](Model& model, const TrialSetup& setup) {
            TrainResult trained = train_classifier(model, train, command.eval.empty() ? nullptr : &eval, setup.options);
            record_parent(model, model.source);
            return trained;
          }};
  const TrialSetup setup{options, "", {}};
  if (command.seeds.is_on()) {
    if (head.problem != ProblemType::kSingleLabel) usage_error("--seeds", "is for single-label classifiers");
    const Json key{{"data", digest_dataset(train)}, {"eval", digest_dataset(eval)}};
    TrialsOutcome trials =
        command.seeds.run({.out = command.out, .setup = setup, .training = training, .key = key}, globals);
    if (leaves_to_first(ranks)) return 0;
    command.threshold.apply(trials.model, eval, globals);
    finish(trials.model, command, globals, trials.training, trials);
    return 0;
  }
  Model model = training.start("", globals.seed);
  const TrainResult result = training.train(model, setup);
  if (leaves_to_first(ranks)) return 0;
  command.threshold.apply(model, eval, globals);
  finish(model, command, globals, result);
  return 0;
}

}  // namespace

void add_train(Program& program) {
  auto command = std::make_shared<TrainCommand>();
  CLI::App* verb = program.add_verb("train", "fine-tune a model, or train one from scratch", [command, &program] {
    return run_with_ranks(program.globals(),
                          [&](Communicator* ranks) { return run_train(*command, program.globals(), ranks); });
  });
  verb->add_option("model", command->model, "model folder to start from");
  verb->add_option("--data", command->data, "training data (several text files for --objective mlm)")->required();
  verb->add_option("--eval", command->eval, "data for evaluation after each epoch");
  verb->add_option("--out", command->out, "folder to write")->required();
  verb->add_option("--report", command->report, "write report.html here");
  verb->add_option("--init", command->init, "config.json of a new model with random weights");
  verb->add_option("--tokenizer", command->tokenizer, "folder of the tokenizer, with --init");
  verb->add_option("--objective", command->objective, "classify, mlm")->check(CLI::IsMember({"classify", "mlm"}));
  verb->add_option("--problem-type", command->problem,
                   "single-label, multi-label, regression (default: the model's own, else single-label)")
      ->check(CLI::IsMember({"single-label", "multi-label", "regression"}));
  verb->add_option("--mask-probability", command->mask_probability, "mlm: share of tokens to predict")
      ->check(CLI::Range(0.01, 0.9));
  command->threshold.add_to(*verb);
  command->data_flags.add_to(*verb);
  command->train_flags.add_to(*verb);
  command->seeds.add_to(*verb);
}

}  // namespace fettle::cli
