#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "base/error.h"
#include "base/log.h"
#include "format/hf_folder.h"
#include "model/config_keys.h"
#include "model/factors.h"
#include "model/initialize.h"
#include "model/manifest.h"
#include "model/model.h"
#include "model/parameter_reader.h"
#include "model/quantization_config.h"

namespace fettle {
namespace {

using Head = GraphOptions::Head;
using NamedShapes = std::vector<std::pair<std::string, Shape>>;

ModelConfig read_config(const HfFolder& files, std::vector<IntegerScheme>& schemes) {
  const std::string where = (files.path / "config.json").string();
  ModelConfig config = parse_config(files.config, where);
  if (const auto quantization = config.other.find("quantization_config"); quantization != config.other.end()) {
    if (!quantization->is_null()) schemes = read_quantization_config(*quantization, where);
    config.other.erase("quantization_config");
  }
  return config;
}

class Loader {
 public:
  Loader(Model& model, const TensorStore& store, std::vector<IntegerScheme> schemes, const LoadOptions& options)
      : model_(model),
        options_(options),
        where_(store.files().size() == 1 ? store.files()[0].string() : model.source.string()),
        keys_(architecture_keys(model.config.architecture)),
        reader_(store, std::string(keys_.parameter_prefix), std::move(schemes), where_) {}

  void load() {
    const bool other_problem =
        options_.allow_new_head && options_.problem.has_value() && *options_.problem != model_.config.problem;
    const bool other_labels = options_.allow_new_head && !options_.labels.empty() &&
                              (other_problem || options_.labels != model_.config.labels);
    // The same labels in another order, as a data set lists them, are no reason to forget what the head has learnt.
    const bool new_labels =
        other_labels && (other_problem || !std::ranges::is_permutation(options_.labels, model_.config.labels));
    if (other_problem) set_problem();
    if (other_labels && !new_labels) old_labels_ = model_.config.labels;
    if (other_labels) set_labels();
    if (new_labels) forget_label_factors();
    const NamedShapes encoder = parameter_shapes(model_.config, {.head = Head::kHidden});
    for (const auto& [name, shape] : encoder) require(name, shape);
    if (model_.config.labels.empty()) {
      read_optional_heads();
    } else {
      read_classifier(new_labels);
    }
    if (!new_names_.empty()) log_info(fmt::format("{}: new with random values: {}", where_, new_names_));
    log_unused();
  }

 private:
  void set_labels() {
    model_.config.labels = options_.labels;
    for (const char* key : {"architectures", "id2label", "label2id", "num_labels"}) model_.config.other.erase(key);
  }

  // A new layer of the labels is whole; one in another order keeps its factors.
  void forget_label_factors() { model_.config.ranks.erase(std::string(keys_.label_layer)); }

  void set_problem() {
    model_.config.problem = *options_.problem;
    model_.config.other.erase(kProblemKey);
  }

  void require(const std::string& name, const Shape& shape) {
    auto value = reader_.read(name, shape);
    if (!value)
      bad_input(where_, fmt::format("has no tensor '{}'", name), fmt::format("{} is needed", shape_to_string(shape)));
    model_.parameters.set(name, std::move(*value));
  }

  bool is_of_labels(std::string_view name) const {
    return name.starts_with(keys_.label_layer) && name.substr(keys_.label_layer.size()).starts_with('.');
  }

  void initialize(const std::string& name, const Shape& shape) {
    model_.parameters.set(name, initial_parameter(name, shape, model_.config.initializer_range, options_.seed));
    new_names_ += (new_names_.empty() ? "" : ", ") + name;
  }

  void read_classifier(bool new_labels) {
    for (const auto& [name, shape] : parameter_shapes(model_.config, {.head = Head::kClassifier})) {
      if (model_.parameters.has(name)) continue;
      if (new_labels && is_of_labels(name)) {
        initialize(name, shape);
        continue;
      }
      auto value = reader_.read(name, shape);
      if (value) {
        const bool has_label_rows = is_of_labels(name) && name.find(kFactorIn) == std::string::npos;
        if (!old_labels_.empty() && has_label_rows) *value = in_new_order(*value);
        model_.parameters.set(name, std::move(*value));
      } else if (options_.allow_new_head) {
        initialize(name, shape);
      } else {
        bad_input(where_, fmt::format("has no tensor '{}': the classifier is not trained", name),
                  "fine-tune it first: fettle train");
      }
    }
  }

  // Row i becomes that of the i-th label.
  EncodedTensor in_new_order(const EncodedTensor& value) const {
    const Tensor old = value.decode();
    Tensor rows = old.clone();
    for (size_t i = 0; i < old_labels_.size(); ++i) {
      const auto from = std::ranges::find(old_labels_, model_.config.labels[i]) - old_labels_.begin();
      Tensor row = rows.rows(static_cast<int64_t>(i), static_cast<int64_t>(i) + 1);
      std::memcpy(row.raw_mutable(), old.rows(from, from + 1).raw(), static_cast<size_t>(row.size_bytes()));
    }
    return EncodedTensor::dense(rows);
  }

  // What pre-training leaves beside the encoder, each only as a whole: the pooler (or its like) and the masked-word
  // head.
  void read_optional_heads() {
    ModelConfig classifier = model_.config;
    classifier.labels = {"any"};
    NamedShapes pooler = parameter_shapes(classifier, {.head = Head::kClassifier});
    std::erase_if(pooler, [this](const auto& item) { return is_of_labels(item.first); });
    read_group(pooler);
    const bool is_tied = json_bool_or(model_.config.other, "tie_word_embeddings", true, where_);
    if (is_tied) read_group(parameter_shapes(model_.config, {.head = Head::kMaskedLm}));
  }

  void read_group(const NamedShapes& shapes) {
    std::vector<std::pair<std::string, EncodedTensor>> found;
    for (const auto& [name, shape] : shapes) {
      if (model_.parameters.has(name)) continue;
      auto value = reader_.read(name, shape);
      if (!value) return;
      found.emplace_back(name, std::move(*value));
    }
    for (auto& [name, value] : found) model_.parameters.set(name, std::move(value));
  }

  void log_unused() const {
    const std::vector<std::string> names = reader_.unused();
    if (names.empty()) return;
    const size_t n_shown = std::min<size_t>(names.size(), 3);
    std::string list;
    for (size_t i = 0; i < n_shown; ++i) list += (i == 0 ? "" : ", ") + names[i];
    log_info(fmt::format("{}: {} tensors are not used: {}{}", where_, names.size(), list,
                         names.size() > n_shown ? ", …" : ""));
  }

  Model& model_;
  const LoadOptions& options_;
  std::string where_;
  const ArchitectureKeys& keys_;
  ParameterReader reader_;
  std::string new_names_;
  std::vector<std::string> old_labels_;  // when they are to stand in another order
};

}  // namespace

Model load_model(const std::filesystem::path& folder, const LoadOptions& options) {
  const std::filesystem::path encoder = encoder_folder(folder);
  const HfFolder files = open_hf_folder(encoder);
  Model model;
  model.source = folder;
  std::vector<IntegerScheme> schemes;
  model.config = read_config(files, schemes);
  const auto store = std::make_shared<const TensorStore>(TensorStore::open(encoder));
  Loader(model, *store, std::move(schemes), options).load();
  model.mapped_weights = store;
  if (Tokenizer::is_in(encoder)) model.tokenizer = Tokenizer::load(encoder);
  if (model.tokenizer != nullptr && model.tokenizer->vocab_size() > model.config.vocab_size) {
    bad_input(folder.string(), fmt::format("the tokenizer has {} pieces, the model's vocabulary only {}",
                                           model.tokenizer->vocab_size(), model.config.vocab_size));
  }
  if (model.config.labels.empty()) model.sentence = read_sentence_pipeline(folder, model.config.hidden_size);
  read_manifest(folder, model);
  return model;
}

}  // namespace fettle
