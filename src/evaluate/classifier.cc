// The public classifier: a thin layer over Session.
#include <fettle/classifier.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "evaluate/metrics.h"

namespace fettle {

struct Classifier::Impl {
  std::shared_ptr<const Model> model;
  Session session;
  int32_t oos_label;
};

namespace {

std::shared_ptr<const Model> load_classifier(const std::string& folder) {
  auto model = std::make_shared<const Model>(load_model(folder));
  if (model->config.labels.empty()) bad_input(folder, "has no classification head");
  if (model->config.problem != ProblemType::kSingleLabel) {
    bad_input(folder, "is a model of " + std::string(problem_name(model->config.problem)) + ", not of single labels");
  }
  return model;
}

SessionOptions session_options(const ClassifierOptions& options) {
  SessionOptions session;
  session.n_threads = options.n_threads;
  session.isa = options.isa;
  session.packed_cache = options.packed_cache;
  return session;
}

}  // namespace

Classifier::Classifier(const std::string& model_folder, const ClassifierOptions& options) {
  auto model = load_classifier(model_folder);
  const std::vector<std::string>& labels = model->config.labels;
  const auto found = std::find(labels.begin(), labels.end(), "oos");
  const auto oos_label = found == labels.end() ? -1 : static_cast<int32_t>(found - labels.begin());
  impl_.reset(new Impl{model, Session(model, session_options(options)), oos_label});
}

Classifier::~Classifier() = default;
Classifier::Classifier(Classifier&&) noexcept = default;
Classifier& Classifier::operator=(Classifier&&) noexcept = default;

Classification Classifier::classify(std::string_view text) {
  return classify(std::vector<std::string>{std::string(text)}).front();
}

std::vector<Classification> Classifier::classify(const std::vector<std::string>& texts) {
  Dataset data;
  for (const std::string& text : texts) data.examples.push_back({text, "", kUnlabelled});
  const Predictions argmax = predict(impl_->session, data);
  const Predictions final = apply_threshold(argmax, impl_->model->oos_threshold, impl_->oos_label);
  std::vector<Classification> results;
  for (size_t i = 0; i < texts.size(); ++i) {
    const bool known = std::isnan(impl_->model->oos_threshold) || argmax.scores[i] >= impl_->model->oos_threshold;
    const bool in_scope = known && final.labels[i] != impl_->oos_label;
    results.push_back({labels()[static_cast<size_t>(final.labels[i])], argmax.scores[i], in_scope});
  }
  return results;
}

const std::vector<std::string>& Classifier::labels() const {
  return impl_->model->config.labels;
}

}  // namespace fettle
