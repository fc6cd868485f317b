// `quantize --method qat`: trains the model with its weights rounded.
#include "base/error.h"
#include "cli/quantize_methods.h"
#include "compress/quantize/report.h"
#include "train/quantize/weight_quantization.h"

namespace fettle::cli {

namespace {

// The names of all flags of training.
std::vector<std::string> train_flag_names() {
  CLI::App app;
  app.set_help_flag();
  TrainFlags().add_to(app);
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) names.push_back(option->get_name());
  return names;
}

// A table of words at 8 bits loses nothing that training could mend, and its gradient would be a dense one.
bool is_trained(const Model& model, const std::string& name, const Encoding& encoding) {
  const bool is_table = name.find("embeddings.") != std::string::npos;
  return !(is_table && encoding.bits == 8) && model.parameters.get(name).shape.size() == 2;
}

class TrainingGroup final : public QuantizeGroup {
 public:
  std::vector<std::string> methods() const override { return {"qat"}; }

  void add_to(CLI::App& verb) override {
    train_flags_.add_to(verb);
    verb.add_flag("--distill", distill_, "qat: with the model as it was as the teacher");
    verb.add_option("--alpha", alpha_, "with --distill: weight of the hard labels (default 0.5)")
        ->check(CLI::Range(0.0, 1.0));
    verb.add_option("--temperature", temperature_, "with --distill: of the softmax of both (default 2)")
        ->check(CLI::Range(0.01, 1000.0));
    verb.add_option("--step-learning-rate", options_.step_learning_rate,
                    "qat: how far a step size may move at once, as a share of itself (default 0.001)")
        ->check(CLI::Range(0.0, 0.1));
  }

  std::vector<std::string> flags_of(const std::string&) const override {
    std::vector<std::string> flags = SchemeFlags::flags();
    for (std::string& flag : train_flag_names()) flags.push_back(std::move(flag));
    for (const char* flag : {"--data", "--distill", "--alpha", "--temperature", "--step-learning-rate"}) {
      flags.emplace_back(flag);
    }
    return flags;
  }

  std::optional<QuantizeOptions> scheme(const QuantizeCommand& command) const override {
    QuantizeOptions defaults;
    defaults.bits = 4;
    return command.scheme.resolve(defaults);
  }

  void check(const QuantizeCommand& command) const override {
    command.require("--data", "what it trains on");
    for (const char* flag : {"--alpha", "--temperature"}) {
      if (command.is_given(flag) && !distill_) usage_error(flag, "goes with --distill");
    }
  }

  QuantizeOutcome run(Model& model, const QuantizeJob& job) override {
    const QuantizeCommand& command = job.command;
    WeightEncodings trained;
    QuantizePlan nearest;
    for (const auto& [name, encoding] : job.plan) {
      (is_trained(model, name, encoding) ? trained : nearest)[name] = encoding;
    }
    const Dataset train = command.load(command.data, *job.original);
    Dataset eval;
    if (!command.eval.empty()) eval = command.load(command.eval, *job.original);
    TrainOptions options = train_flags_.resolve(job.globals);
    options.alpha = alpha_;
    options.temperature = temperature_;
    if (options.checkpoint_folder.empty()) options.checkpoint_folder = beside(command.out, kCheckpointSuffix);

    QuantizeOutcome outcome;
    outcome.report.size_mb_before = parameters_mb(model);
    outcome.training = quantize_in_training(model, trained, options_,
                                            {.train = train,
                                             .eval = command.eval.empty() ? nullptr : &eval,
                                             .options = options,
                                             .distill = distill_,
                                             .distillation = {}});
    outcome.has_trained = true;
    outcome.can_fall_back = false;  // the other weights have learned to live with it
    for (const auto& [name, encoding] : trained) {
      outcome.report.layers.push_back(
          compare_encoding(name, job.original->parameters.get(name).decode(), model.parameters.get(name)));
    }
    const QuantizeReport rest = apply_plan(model, nearest);
    outcome.report.layers.insert(outcome.report.layers.end(), rest.layers.begin(), rest.layers.end());
    finish_report(model, outcome.report);
    return outcome;
  }

  void clean_up(const QuantizeCommand& command) const override { remove_checkpoints(train_flags_, command.out); }

 private:
  TrainFlags train_flags_;
  WeightQuantizeOptions options_;
  bool distill_ = false;
  double alpha_ = 0.5;
  double temperature_ = 2;
};

}  // namespace

std::unique_ptr<QuantizeGroup> make_training_group() {
  return std::make_unique<TrainingGroup>();
}

}  // namespace fettle::cli
