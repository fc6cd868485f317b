// One training step (forward, backward, clipping, AdamW) of a BERT-shaped encoder without its embeddings, timed.
//
//   train_step [layers hidden sequences length threads steps [profile|serve]]     defaults: 12 768 32 16 2 8
//
// "profile" adds the time of each op. "serve" does one step for every line on standard input and answers with its
// milliseconds: bench/torch_train_step.py drives it so, interleaved with PyTorch.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <map>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "base/philox.h"
#include "base/progress.h"
#include "train/loop.h"

namespace fettle {
namespace {

constexpr int64_t kVocab = 32;  // the look-up costs nothing at this size

struct Shape4 {
  int64_t layers = 12;
  int64_t hidden = 768;
  int64_t sequences = 32;
  int64_t length = 16;
};

// Regression of the first tokens' final hidden states on zero; every load() is the boundary between two steps.
class StepObjective : public Objective {
 public:
  StepObjective(const ModelConfig& config, const Shape4& shape, bool serve) : config_(config), serve_(serve) {
    Philox random(1);
    std::vector<int32_t> ids(static_cast<size_t>(shape.length));
    for (int64_t s = 0; s < shape.sequences; ++s) {
      for (int32_t& id : ids) id = static_cast<int32_t>(random.below(kVocab));
      tokens_.append(ids.data(), shape.length);
    }
    target_ = Tensor(DType::kF32, {shape.sequences, shape.hidden});
  }
  std::string_view verb() const override { return "train"; }
  std::string data_digest() const override { return ""; }
  Graph build_loss_graph() const override {
    Graph graph = build_graph(config_, {.head = GraphOptions::Head::kHidden, .training = true});
    const Dim hidden = Graph::constant_dim(config_.hidden_size);
    const ValueId target = graph.add_input("target", {DType::kF32, {graph.symbol("batch"), hidden}});
    const ValueId rows = graph.add_input("first_tokens", {DType::kI32, {graph.symbol("batch")}});
    const ValueId first = graph.node("gather_rows", {graph.find("hidden"), rows});
    graph.add_output("loss", graph.node("mean_squared_error", {first, target}));
    return graph;
  }
  int64_t n_batches(int64_t) override { return int64_t{1} << 40; }
  void begin_epoch(int64_t) override {}
  void load(int64_t, MicroBatch& batch) override {
    const double ms = watch_.ms();
    if (n_loads_++ > 0) times_ms_.push_back(ms);
    if (serve_) {
      if (n_loads_ > 1) std::cout << ms << std::endl;
      std::string line;
      if (!std::getline(std::cin, line)) std::exit(0);
    }
    bind_tokens(tokens_, config_, batch);
    batch.inputs.emplace_back("target", target_);
    watch_.restart();
  }
  const std::vector<double>& times_ms() const { return times_ms_; }

 private:
  ModelConfig config_;
  RaggedBatch tokens_;
  Tensor target_;
  bool serve_;
  int64_t n_loads_ = 0;
  Stopwatch watch_;
  std::vector<double> times_ms_;
};

void print_profile(const Executor& executor, int64_t steps) {
  struct Sum {
    double ms = 0;
    double flops = 0;
    double bytes = 0;
    int64_t calls = 0;
  };
  std::map<std::string, Sum> by_op;
  double total = 0;
  for (const NodeProfile& node : executor.profile()) {
    Sum& sum = by_op[node.op];
    sum.ms += node.total_ms;
    sum.flops += node.flops;
    sum.bytes += node.bytes;
    sum.calls += node.calls;
    total += node.total_ms;
  }
  std::vector<std::pair<std::string, Sum>> sorted(by_op.begin(), by_op.end());
  std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.second.ms > b.second.ms; });
  for (const auto& [op, sum] : sorted) {
    fmt::print("{:<32} {:9.3f} ms a step {:5.1f} % {:6} calls {:8.1f} GFLOP/s {:7.1f} GB/s\n", op,
               sum.ms / static_cast<double>(steps), 100 * sum.ms / total, sum.calls / steps, sum.flops / sum.ms * 1e-6,
               sum.bytes / sum.ms * 1e-6);
  }
  fmt::print("{:<32} {:9.3f} ms a step\n", "graph", total / static_cast<double>(steps));
}

int run(int argc, char** argv) {
  const auto number = [&](int i, int64_t fallback) { return argc > i ? std::atoll(argv[i]) : fallback; };
  const Shape4 shape{number(1, 12), number(2, 768), number(3, 32), number(4, 16)};
  const int64_t steps = number(6, 8);
  const std::string mode = argc > 7 ? argv[7] : "";
  set_log_level(LogLevel::kOff);
  set_progress_style(ProgressStyle::kNone);

  ModelConfig config = make_encoder_config(shape.layers, shape.hidden, kVocab);
  config.max_positions = shape.length;
  Model model = make_model(config, nullptr, 0);
  TrainOptions options;
  options.max_steps = mode == "serve" ? int64_t{1} << 40 : steps + 1;
  options.n_threads = static_cast<int>(number(5, 2));
  options.learning_rate = 1e-6;
  Machine machine(options);
  StepObjective objective(config, shape, mode == "serve");
  Trainer trainer(model, objective, options, machine);
  trainer.executor().set_profiling(mode == "profile");
  trainer.run();
  if (mode == "profile") print_profile(trainer.executor(), steps + 1);
  std::vector<double> times = objective.times_ms();
  std::sort(times.begin(), times.end());
  fmt::print("{} layers, hidden {}, {} x {} tokens, {} threads, {}: least {:.1f} ms, median {:.1f} ms a step\n",
             shape.layers, shape.hidden, shape.sequences, shape.length, options.n_threads, machine.table.name,
             times.front(), times[times.size() / 2]);
  return 0;
}

}  // namespace
}  // namespace fettle

int main(int argc, char** argv) {
  return fettle::run(argc, argv);
}
