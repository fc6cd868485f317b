#include "cli/quantize_methods.h"

#include "base/error.h"
#include "train/heads.h"

namespace fettle::cli {

bool QuantizeCommand::is_given(const std::string& flag) const {
  return verb != nullptr && verb->count(flag) > 0;
}

void QuantizeCommand::require(const std::string& flag, const std::string& why) const {
  if (!is_given(flag)) usage_error("--method " + method, "needs " + flag, why);
}

Dataset QuantizeCommand::load(const std::string& spec, const Model& model) const {
  DataOptions options =
      model.config.labels.empty() ? data_flags.unlabelled() : data_flags.resolve(label_kind_of(model.config.problem));
  options.labels = model.config.labels;
  return load_dataset(spec, options);
}

Dataset QuantizeCommand::load_texts(const std::string& spec) const {
  Dataset texts = load_dataset(spec, data_flags.unlabelled());
  if (texts.examples.empty()) bad_input(spec, "holds no text");
  return texts;
}

}  // namespace fettle::cli
