#include "base/error.h"
#include "runtime/session.h"
#include "train/distill/teacher_outputs.h"

namespace fettle {
namespace {

using Head = GraphOptions::Head;

Graph tapped_graph(const ModelConfig& config, bool with_logits, const std::vector<Tap>& taps) {
  Graph graph = build_graph(config, {.head = with_logits ? Head::kClassifier : Head::kHidden});
  for (const Tap& tap : taps) graph.add_output(teacher_input(tap), find_tap(graph, config, tap));
  return graph;
}

}  // namespace

struct TeacherRunner::Impl {
  std::shared_ptr<const Model> teacher;
  std::unique_ptr<Session> session;    // without taps
  std::unique_ptr<Executor> executor;  // with taps
  MicroBatch batch;
  Tensor logits;
};

TeacherRunner::TeacherRunner(std::shared_ptr<const Model> teacher, bool with_logits, std::vector<Tap> taps,
                             const TrainOptions& options, Machine& machine)
    : impl_(std::make_unique<Impl>()) {
  impl_->teacher = std::move(teacher);
  if (taps.empty()) {
    const SessionOptions session{.n_threads = options.n_threads, .isa = options.isa, .precision = options.precision};
    impl_->session = std::make_unique<Session>(impl_->teacher, session);
    return;
  }
  const Graph graph = tapped_graph(impl_->teacher->config, with_logits, taps);
  impl_->executor = std::make_unique<Executor>(
      graph, [this](std::string_view name) -> const EncodedTensor& { return impl_->teacher->parameters.get(name); },
      ExecutorOptions{.pool = &machine.pool, .table = &machine.table, .precision = options.precision});
}

TeacherRunner::~TeacherRunner() = default;

void TeacherRunner::run(const RaggedBatch& tokens) {
  if (impl_->session) {
    impl_->logits = impl_->session->classify(tokens);
    return;
  }
  bind_tokens(tokens, impl_->teacher->config, impl_->batch);
  for (const auto& [name, value] : impl_->batch.inputs) impl_->executor->set_input(name, value);
  impl_->executor->run();
}

Tensor TeacherRunner::logits() const {
  return impl_->session ? impl_->logits : impl_->executor->output("logits");
}

Tensor TeacherRunner::tap(const Tap& tap) const {
  return impl_->executor->output(teacher_input(tap));
}

std::string teacher_input(const Tap& tap) {
  return "teacher." + tap_name(tap);
}

}  // namespace fettle
