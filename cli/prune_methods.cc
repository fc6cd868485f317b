#include "cli/prune_methods.h"

#include <cmath>

#include "base/error.h"
#include "train/heads.h"

namespace fettle::cli {

bool PruneCommand::is_given(const std::string& flag) const {
  return verb != nullptr && verb->count(flag) > 0;
}

double PruneCommand::target() const {
  require("--target", "the share to remove: 0.4 or 40%");
  std::string number = target_text;
  const bool percent = number.ends_with('%');
  if (percent) number.pop_back();
  size_t end = 0;
  double value = -1;
  try {
    value = std::stod(number, &end);
  } catch (const std::exception&) {
    end = 0;
  }
  if (percent) value /= 100;
  if (end == 0 || end != number.size() || !(value > 0 && value < 1)) {
    usage_error("--target", "'" + shown_text(target_text) + "' is no share between 0 and 1", "0.4 or 40%");
  }
  return value;
}

void PruneCommand::require(const std::string& flag, const std::string& why) const {
  if (!is_given(flag)) usage_error("--method " + method, "needs " + flag, why);
}

bool PruneCommand::trains() const {
  const bool has_epochs = is_given("--epochs") && train_flags.options.epochs > 0;
  return !data.empty() && (has_epochs || train_flags.options.max_steps > 0);
}

Dataset PruneCommand::load(const std::string& spec, const Model& model) const {
  DataOptions options =
      model.config.labels.empty() ? data_flags.unlabelled() : data_flags.resolve(label_kind_of(model.config.problem));
  options.labels = model.config.labels;
  return load_dataset(spec, options);
}

TrainOptions PruneCommand::train_options(const Globals& globals) const {
  TrainOptions options = train_flags.resolve(globals);
  options.alpha = alpha;
  options.temperature = temperature;
  if (options.checkpoint_folder.empty()) options.checkpoint_folder = beside(out, kCheckpointSuffix);
  return options;
}

}  // namespace fettle::cli
