#include "runtime/executor.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

#include "base/checked.h"
#include "base/clock.h"
#include "base/error.h"
#include "graph/evaluate.h"
#include "graph/infer.h"
#include "kernels/dispatch.h"
#include "runtime/node_kernel.h"
#include "runtime/parameter_binder.h"
#include "runtime/value_layout.h"

namespace fettle {
namespace {

constexpr size_t kMaxInputRank = 4;

struct BoundInput {
  ValueId id = kNoValue;
  bool is_set = false;
  std::array<int64_t, kMaxInputRank> dims{};
};

// The sequences of a run, as the attention nodes see them.
struct Sequences {
  ValueId offsets = kNoValue;  // kNoValue in graphs without attention
  ValueId rows = kNoValue;     // a value with one row for each token
  int32_t pairs_symbol = -1;
  std::vector<int64_t> pair_offsets;
};

// Fills pair_offsets; kBadInput when the offsets do not cover the tokens in order.
void read_offsets(const int32_t* offsets, int64_t n_sequences, Sequences& sequences) {
  sequences.pair_offsets.resize(static_cast<size_t>(n_sequences) + 1);
  if (offsets[0] != 0) bad_input("offsets", fmt::format("begin at {}, not at 0", offsets[0]));
  int64_t pairs = 0;
  sequences.pair_offsets[0] = 0;
  for (int64_t s = 0; s < n_sequences; ++s) {
    const int64_t length = int64_t{offsets[s + 1]} - offsets[s];
    if (length < 0) bad_input("offsets", fmt::format("fall at sequence {}", s));
    pairs = checked_add(pairs, length * length, "offsets");
    sequences.pair_offsets[static_cast<size_t>(s) + 1] = pairs;
  }
}

// Threads fetch nothing ahead outside a run.
class AheadScope {
 public:
  explicit AheadScope(ThreadPool& pool) : pool_(pool) {}
  ~AheadScope() { pool_.set_ahead({}); }
  AheadScope(const AheadScope&) = delete;
  AheadScope& operator=(const AheadScope&) = delete;

 private:
  ThreadPool& pool_;
};

// What a node does in one run.
struct NodeWork {
  double flops = 0;
  double bytes = 0;
  double weight_bytes = 0;
};

}  // namespace

struct Executor::Impl {
  Impl(const Graph& graph_in, const ParameterLookup& parameter, const ExecutorOptions& options_in);

  void find_sequences();
  void make_kernels(ParameterBinder& binder);
  void agree_on_bf16();
  void connect_feeds();
  void look_ahead();
  void run_node(size_t i);
  void run_nodes();
  void set_input(std::string_view name, const Tensor& value);
  void bind_symbols();
  void bind_sequences();
  void run();
  void run_profiled();
  void bind_costs();

  Graph graph;
  ExecutorOptions options;
  std::unique_ptr<ThreadPool> own_pool;
  ValueLayout layout;
  ParameterBinder binder;
  std::vector<std::unique_ptr<NodeKernel>> kernels;
  std::vector<std::vector<FetchAhead>> ahead;  // by node: what the threads fetch while they wait during it and after it
  FedRows fed;
  std::vector<BoundInput> inputs;
  SymbolBindings bindings;
  Sequences sequences;
  RunContext context;
  int64_t packed_bytes = 0;
  std::vector<KernelReport> reports;
  std::vector<WeightTraffic> traffic;  // by node
  std::vector<NodeWork> work;          // by node, with the symbols bound as in `work_bindings`
  SymbolBindings work_bindings;
  bool profiling = false;
  std::vector<NodeProfile> profiles;
};

Executor::Impl::Impl(const Graph& graph_in, const ParameterLookup& parameter, const ExecutorOptions& options_in)
    : graph(graph_in), options(options_in), layout(graph), binder(graph, parameter, options) {
  if (options.table == nullptr) options.table = &best_table();
  if (options.pool == nullptr) {
    own_pool = std::make_unique<ThreadPool>(1);
    options.pool = own_pool.get();
  }
  for (const ValueId id : graph.inputs()) {
    if (graph.type(id).shape.size() > kMaxInputRank) failed(graph.value(id).name, "has too many dimensions");
    inputs.push_back({.id = id});
  }
  bindings.assign(graph.symbols().size(), -1);
  find_sequences();
  make_kernels(binder);
  agree_on_bf16();
  connect_feeds();
  look_ahead();
  context.slots = layout.slots();
  context.pool = options.pool;
  context.table = options.table;
  context.bindings = &bindings;
}

void Executor::Impl::find_sequences() {
  const auto pairs = std::ranges::find(graph.symbols(), kPairsSymbol);
  if (pairs != graph.symbols().end()) sequences.pairs_symbol = static_cast<int32_t>(pairs - graph.symbols().begin());
  for (const Node& node : graph.nodes()) {
    const std::string_view op = node.op->name();
    const bool is_relation = op.starts_with("relation_loss");
    if (!op.starts_with("attention") && !is_relation) continue;
    const ValueId offsets = node.inputs[op == "attention_packed" ? 1 : is_relation ? 4 : 3];
    if (sequences.offsets != kNoValue && sequences.offsets != offsets) {
      failed(node.name, "attends in other sequences than the node before");
    }
    if (graph.value(offsets).kind != ValueKind::kInput) failed(node.name, "offsets are not an input of the graph");
    sequences.offsets = offsets;
    sequences.rows = node.inputs[op == "attention_rows" ? 1 : 0];
  }
}

void Executor::Impl::make_kernels(ParameterBinder& parameters) {
  std::set<const PackedLinear*> counted;
  for (const Node& node : graph.nodes()) {
    const NodeBinding binding{graph, node, options, parameters, layout.n_uses()};
    std::unique_ptr<NodeKernel> kernel;
    if (!options.reference) {
      const OpKernel* found = find_op_kernel(node.op->name());
      if (found != nullptr) kernel = found->make(binding);
    }
    reports.push_back(report_kernel(binding, kernel != nullptr));
    traffic.push_back(weight_traffic(binding));
    if (kernel == nullptr) kernel = make_reference_node(binding);
    // Layers that share their parameters share what was packed of them.
    const PackedLinear* packed = kernel->first_packed();
    if (packed == nullptr || counted.insert(packed).second) packed_bytes += kernel->packed_bytes();
    kernels.push_back(std::move(kernel));
  }
  // An output may be a parameter itself.
  for (const auto& [name, id] : graph.outputs()) parameters.dense_slot(id);
  packed_bytes += parameters.dense_bytes();
  for (size_t i = 0; i < graph.values().size(); ++i) {
    const auto id = static_cast<ValueId>(i);
    if (parameters.dense(id) != nullptr) layout.set_data(id, parameters.dense(id));
  }
  parameters.finish();
}

// Values that all nodes around them take as bf16 are so: half the bytes to write and to read again.
void Executor::Impl::agree_on_bf16() {
  enum class Vote : uint8_t { kNone, kYes, kNo };
  std::vector<Vote> written(graph.values().size(), Vote::kNone);
  std::vector<Vote> read(graph.values().size(), Vote::kNone);
  const auto vote = [&](std::vector<Vote>& votes, ValueId id, const NodeKernel& kernel) {
    if (id == kNoValue) return;
    Vote& all = votes[static_cast<size_t>(id)];
    all = all != Vote::kNo && kernel.takes_bf16(id) ? Vote::kYes : Vote::kNo;
  };
  for (size_t i = 0; i < kernels.size(); ++i) {
    for (const ValueId id : graph.nodes()[i].inputs) vote(read, id, *kernels[i]);
    for (const ValueId id : graph.nodes()[i].outputs) vote(written, id, *kernels[i]);
  }
  for (const auto& [name, id] : graph.outputs()) read[static_cast<size_t>(id)] = Vote::kNo;
  for (size_t i = 0; i < read.size(); ++i) {
    if (written[i] != Vote::kYes || read[i] != Vote::kYes) continue;
    const auto id = static_cast<ValueId>(i);
    layout.set_bf16(id);
    reports[static_cast<size_t>(graph.value(id).producer)].besides = "writes bf16, as what follows takes it";
  }
}

// A node followed by a packed linear that reads its output prepares the rows for it.
void Executor::Impl::connect_feeds() {
  for (size_t i = 0; i + 1 < kernels.size(); ++i) {
    const ValueId value = graph.nodes()[i].outputs[0];
    NodeKernel& consumer = *kernels[i + 1];
    const PackedLinear* const linear = consumer.fed_by(value);
    if (linear == nullptr || layout.slot(value).is_bf16 || !kernels[i]->can_feed(value)) continue;
    kernels[i]->feed(linear, &fed);
    consumer.take_from(&fed);
    reports[i].besides = "prepares (quantizes) the input rows of the product that follows";
  }
}

// While one thread works alone between two products, the others fetch what they will begin the second with.
void Executor::Impl::look_ahead() {
  ahead.resize(kernels.size());
  const int n_threads = options.pool->n_threads();
  if (n_threads == 1) return;
  const PackedLinear* next = nullptr;
  for (size_t i = kernels.size(); i-- > 0;) {
    const PackedLinear* const packed = kernels[i]->first_packed();
    if (packed == nullptr) continue;
    for (int part = 0; next != nullptr && part < n_threads; ++part) {
      ahead[i].push_back(next->first_weights(part, n_threads));
    }
    next = packed;
  }
}

void Executor::Impl::run_node(size_t i) {
  if (!ahead[i].empty()) options.pool->set_ahead(ahead[i]);
  kernels[i]->run(context);
}

void Executor::Impl::run_nodes() {
  if (profiling) return run_profiled();
  for (size_t i = 0; i < kernels.size(); ++i) run_node(i);
}

void Executor::Impl::set_input(std::string_view name, const Tensor& value) {
  for (BoundInput& input : inputs) {
    const Value& wanted = graph.value(input.id);
    if (wanted.name != name) continue;
    if (!value.defined() || value.dtype() != wanted.type.dtype || value.shape().size() != wanted.type.shape.size()) {
      failed(std::string(name), "is not " + type_to_string(graph, wanted.type));
    }
    std::ranges::copy(value.shape(), input.dims.begin());
    layout.set_data(input.id, value.raw());
    input.is_set = true;
    return;
  }
}

void Executor::Impl::bind_symbols() {
  std::ranges::fill(bindings, -1);
  for (const BoundInput& input : inputs) {
    const Value& value = graph.value(input.id);
    if (!input.is_set) failed(value.name, "this input of the graph is not set");
    for (size_t axis = 0; axis < value.type.shape.size(); ++axis) {
      const Dim& dim = value.type.shape[axis];
      const int64_t size = input.dims[axis] - dim.value;
      int64_t constant = 0;
      int64_t& bound = dim.is_constant() ? constant : bindings[static_cast<size_t>(dim.symbol)];
      const bool fits = size >= 0 && (bound == size || (bound < 0 && !dim.is_constant()));
      if (!fits) {
        failed(value.name, fmt::format("dimension {} is {}, which disagrees with {}", axis, input.dims[axis],
                                       type_to_string(graph, value.type)));
      }
      bound = size;
    }
  }
}

void Executor::Impl::bind_sequences() {
  if (sequences.offsets == kNoValue) return;
  const auto input = std::ranges::find(inputs, sequences.offsets, &BoundInput::id);
  read_offsets(layout.slot(sequences.offsets).i32(), input->dims[0] - 1, sequences);
  context.pair_offsets = sequences.pair_offsets.data();
  context.n_pairs = sequences.pair_offsets.back();
  if (sequences.pairs_symbol >= 0) bindings[static_cast<size_t>(sequences.pairs_symbol)] = context.n_pairs;
}

void Executor::Impl::run() {
  bind_symbols();
  bind_sequences();
  for (size_t i = 0; i < bindings.size(); ++i) {
    if (bindings[i] < 0) failed("graph", "no input gives the size of \"" + graph.symbols()[i] + "\"");
  }
  layout.bind(bindings);
  if (sequences.offsets != kNoValue) {
    const Slot& offsets = layout.slot(sequences.offsets);
    const int64_t n_tokens = layout.slot(sequences.rows).rows;
    if (offsets.i32()[offsets.rows - 1] != n_tokens) {
      bad_input("offsets",
                fmt::format("end at {}, but there are {} tokens", offsets.i32()[offsets.rows - 1], n_tokens));
    }
  }
  const AheadScope scope(*options.pool);
  fed.ready_for = nullptr;  // a run before may have ended between the two nodes
  run_nodes();
}

// Only when sizes have changed, so that the profiler costs little.
void Executor::Impl::bind_costs() {
  if (work_bindings == bindings && !work.empty()) return;
  work_bindings = bindings;
  work.clear();
  for (size_t i = 0; i < graph.nodes().size(); ++i) {
    const NodeView view{graph, graph.nodes()[i]};
    const Cost cost = view.node.op->cost(view, bindings);
    const WeightTraffic& weights = traffic[i];
    const auto rows = static_cast<double>(layout.slot(view.node.outputs[0]).rows);
    const double weight_bytes = weights.fixed + rows * weights.per_row;
    const double counted = weights.counted_fixed + rows * weights.counted_per_row;
    work.push_back({.flops = cost.flops, .bytes = cost.bytes - counted + weight_bytes, .weight_bytes = weight_bytes});
  }
}

void Executor::Impl::run_profiled() {
  bind_costs();
  for (size_t i = 0; i < kernels.size(); ++i) {
    const Stopwatch watch;
    run_node(i);
    NodeProfile& profile = profiles[i];
    profile.total_ms += watch.ms();
    ++profile.calls;
    profile.flops += work[i].flops;
    profile.bytes += work[i].bytes;
    profile.weight_bytes += work[i].weight_bytes;
  }
}

Executor::Executor(const Graph& graph, const ParameterLookup& parameter, const ExecutorOptions& options)
    : impl_(std::make_unique<Impl>(graph, parameter, options)) {}
Executor::~Executor() = default;

void Executor::set_input(std::string_view name, const Tensor& value) {
  impl_->set_input(name, value);
}
void Executor::set_seed(uint64_t seed) {
  impl_->context.seed = seed;
}
void Executor::run() {
  impl_->run();
}

Tensor Executor::output(std::string_view name) const {
  for (const auto& [output_name, id] : impl_->graph.outputs()) {
    if (output_name != name) continue;
    const TensorType& type = impl_->graph.type(id);
    return Tensor::view(type.dtype, bind_shape(type, impl_->bindings), impl_->layout.slot(id).data,
                        impl_->layout.arena());
  }
  failed(std::string(name), "the graph has no output of that name");
}

int64_t Executor::arena_bytes() const {
  return impl_->layout.arena_bytes();
}
int64_t Executor::packed_bytes() const {
  return impl_->packed_bytes;
}

void Executor::set_profiling(bool on) {
  impl_->profiling = on;
  if (!on || !impl_->profiles.empty()) return;
  for (const Node& node : impl_->graph.nodes()) {
    impl_->profiles.push_back({.op = std::string(node.op->name()), .name = node.name});
  }
}

const std::vector<NodeProfile>& Executor::profile() const {
  return impl_->profiles;
}

const std::vector<KernelReport>& Executor::kernels() const {
  return impl_->reports;
}

}  // namespace fettle
