#include "runtime/session.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <span>

#include "base/error.h"
#include "base/thread_pool.h"
#include "graph/passes.h"
#include "kernels/dispatch.h"
#include "runtime/packed_store.h"

namespace fettle {
namespace {

using Head = GraphOptions::Head;

// Mapped pages are given back after this much has been read from them.
constexpr int64_t kDropEveryBytes = int64_t{16} << 20;
// Texts are classified in groups of about this many tokens, so that memory does not grow with their number.
constexpr int64_t kTokensOfRun = 4096;
// A batch of more tokens than this runs in parts of whole sequences: what passes from op to op then stays in the
// caches, which is worth more than reading the weights once only (64 sequences of 5 to 23 tokens on BERT-base: 143
// against 169 ms).
constexpr int64_t kTokensOfPart = 256;

Tensor view_ids(const std::vector<int32_t>& ids) {
  return Tensor::view(DType::kI32, {static_cast<int64_t>(ids.size())}, ids.data(), nullptr);
}

// `what` is an f32 tensor. A NaN or infinity must never be taken for an answer.
void check_finite(const Tensor& values, std::string_view what) {
  const auto* bits = values.data<uint32_t>();
  constexpr uint32_t kExponent = 0x7f800000;
  for (int64_t i = 0; i < values.size(); ++i) {
    if ((bits[i] & kExponent) == kExponent) {
      failed(std::string(what), fmt::format("value {} is not a finite number", i), "the model's weights are at fault");
    }
  }
}

std::shared_ptr<PackedStore> make_store(const Model& model, const SessionOptions& options) {
  std::error_code ignored;
  const bool is_kept = options.packed_cache && options.fast_path && !options.reference &&
                       std::filesystem::is_directory(model.source, ignored);
  if (!is_kept) return std::make_shared<PackedStore>();
  const KernelTable& table = table_named(options.isa);
  const std::string name = packed_cache_name(table.name, options.precision == Precision::kBF16 ? "bf16" : "");
  return std::make_shared<PackedStore>(std::make_unique<PackedCache>(model.source / name, table));
}

}  // namespace

struct Session::Impl {
  Impl(std::shared_ptr<const Model> model_in, const SessionOptions& options_in, std::shared_ptr<PackedStore> packed_in);

  // `is_main`: its passes are the session's to report.
  std::unique_ptr<Executor> make_executor(Head head, bool is_main);
  // The batch's own, or a copy that begins where the model's positions do.
  const std::vector<int32_t>& positions_of(const RaggedBatch& batch);
  void bind(Executor& executor, const RaggedBatch& batch);
  void check_batch(const RaggedBatch& batch) const;
  Tensor run(Executor& executor, const RaggedBatch& batch, std::string_view output);
  Tensor run_part(Executor& executor, const RaggedBatch& batch, std::string_view output);
  // Appends texts [begin, …) until the run is full; returns the first one left over.
  size_t tokenize(std::span<const std::string> texts, size_t begin);

  std::shared_ptr<const Model> model;
  SessionOptions options;
  std::shared_ptr<PackedStore> packed;  // of all sessions that share their weights
  ThreadPool pool;
  const KernelTable& table;
  Head head;
  std::vector<PassReport> reports;
  std::vector<FusionReport> fusions;
  std::unique_ptr<Executor> executor;
  std::unique_ptr<Executor> hidden_executor;  // made when hidden states are first asked of a classifier
  std::vector<int32_t> first_tokens;
  std::vector<int32_t> positions;
  std::vector<int32_t> ids;
  RaggedBatch batch;
  RaggedBatch part;           // of a large batch
  std::vector<float> joined;  // outputs of its parts
  Tensor gathered;
};

Session::Impl::Impl(std::shared_ptr<const Model> model_in, const SessionOptions& options_in,
                    std::shared_ptr<PackedStore> packed_in)
    : model(std::move(model_in)),
      options(options_in),
      packed(std::move(packed_in)),
      pool(options.n_threads),
      table(table_named(options.isa)),
      head(model->config.labels.empty() ? Head::kHidden : Head::kClassifier),
      executor(make_executor(head, true)) {}

std::unique_ptr<Executor> Session::Impl::make_executor(Head wanted, bool is_main) {
  Graph graph = build_graph(model->config, {.head = wanted});
  if (options.fast_path) {
    for (const Pass& pass : inference_passes()) {
      const int64_t n_rewrites = pass.run(graph, is_main ? &fusions : nullptr);
      if (is_main) reports.push_back({std::string(pass.name), n_rewrites});
    }
  }
  int64_t unread_bytes = 0;
  const auto drop_pages = [&] {
    if (model->mapped_weights != nullptr) model->mapped_weights->drop_pages();
    unread_bytes = 0;
  };
  // What was looked up before is packed by the time of the next look-up.
  const auto lookup = [&](std::string_view name) -> const EncodedTensor& {
    const EncodedTensor& value = model->parameters.get(name);
    if (unread_bytes > kDropEveryBytes) drop_pages();
    unread_bytes += value.size_bytes();
    return value;
  };
  auto made = std::make_unique<Executor>(graph, lookup,
                                         ExecutorOptions{.pool = &pool,
                                                         .table = &table,
                                                         .precision = options.precision,
                                                         .reference = options.reference,
                                                         .pack_parameters = true,
                                                         .packed = packed.get()});
  drop_pages();
  return made;
}

void Session::Impl::check_batch(const RaggedBatch& in) const {
  const size_t n = in.token_ids.size();
  if (in.position_ids.size() != n || in.type_ids.size() != n || in.offsets.empty()) {
    usage_error("batch", "token, position and type ids differ in number");
  }
  for (size_t s = 0; s + 1 < in.offsets.size(); ++s) {
    if (in.offsets[s] < in.offsets[s + 1]) continue;
    bad_input("batch", fmt::format("sequence {} has no tokens", s));
  }
}

const std::vector<int32_t>& Session::Impl::positions_of(const RaggedBatch& in) {
  const auto first = static_cast<int32_t>(model->config.first_position());
  if (first == 0) return in.position_ids;
  positions.resize(in.position_ids.size());
  std::ranges::transform(in.position_ids, positions.begin(), [first](int32_t id) { return id + first; });
  return positions;
}

void Session::Impl::bind(Executor& to, const RaggedBatch& in) {
  first_tokens.assign(in.offsets.begin(), in.offsets.end() - 1);
  to.set_input("token_ids", view_ids(in.token_ids));
  to.set_input("position_ids", view_ids(positions_of(in)));
  to.set_input("type_ids", view_ids(in.type_ids));
  to.set_input("offsets", view_ids(in.offsets));
  to.set_input("first_tokens", view_ids(first_tokens));
}

Tensor Session::Impl::run_part(Executor& with, const RaggedBatch& in, std::string_view output) {
  bind(with, in);
  with.run();
  Tensor result = with.output(output);
  check_finite(result, output);
  return result;
}

Tensor Session::Impl::run(Executor& with, const RaggedBatch& in, std::string_view output) {
  check_batch(in);
  if (in.n_tokens() <= kTokensOfPart || in.n_sequences() == 1) return run_part(with, in, output);
  joined.clear();
  Shape shape;
  int64_t n_rows = 0;
  for (int64_t begin = 0; begin < in.n_sequences();) {
    int64_t end = begin + 1;
    const int64_t most = in.offsets[static_cast<size_t>(begin)] + kTokensOfPart;
    while (end < in.n_sequences() && in.offsets[static_cast<size_t>(end) + 1] <= most) ++end;
    part.assign(in, begin, end);
    const Tensor rows = run_part(with, part, output);
    shape = rows.shape();
    n_rows += shape[0];
    joined.insert(joined.end(), rows.floats().begin(), rows.floats().end());
    begin = end;
  }
  shape[0] = n_rows;
  return Tensor::view(DType::kF32, shape, joined.data(), nullptr);
}

size_t Session::Impl::tokenize(std::span<const std::string> texts, size_t begin) {
  const auto max_length = static_cast<int>(std::min<int64_t>(model->config.max_positions, INT32_MAX));
  batch.clear();
  size_t i = begin;
  for (; i < texts.size() && batch.n_tokens() < kTokensOfRun; ++i) {
    ids.clear();
    model->tokenizer->encode(texts[i], max_length, ids);
    batch.append(ids.data(), static_cast<int64_t>(ids.size()));
  }
  return i;
}

Session::Session(std::shared_ptr<const Model> model, const SessionOptions& options) {
  auto store = make_store(*model, options);
  impl_ = std::make_unique<Impl>(std::move(model), options, std::move(store));
  impl_->packed->finish_cache(impl_->pool);
}
Session::Session(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Session::~Session() = default;

std::unique_ptr<Session> Session::share(int n_threads) const {
  SessionOptions options = impl_->options;
  options.n_threads = n_threads;
  return std::unique_ptr<Session>(new Session(std::make_unique<Impl>(impl_->model, options, impl_->packed)));
}

const Model& Session::model() const {
  return *impl_->model;
}

Tensor Session::classify(const RaggedBatch& batch) {
  if (impl_->head != Head::kClassifier) {
    bad_input(impl_->model->source.string(), "the model has no classification head",
              "fine-tune it first: fettle train");
  }
  return impl_->run(*impl_->executor, batch, "logits");
}

Tensor Session::classify_texts(std::span<const std::string> texts) {
  if (impl_->model->tokenizer == nullptr) {
    bad_input(impl_->model->source.string(), "the model has no tokenizer", "tokenizer.json or vocab.txt is needed");
  }
  size_t done = impl_->tokenize(texts, 0);
  Tensor logits = classify(impl_->batch);
  if (done == texts.size()) return logits;

  const int64_t n_labels = impl_->model->config.n_labels();
  impl_->gathered = Tensor(DType::kF32, {static_cast<int64_t>(texts.size()), n_labels});
  float* out = impl_->gathered.mutable_data<float>();
  while (true) {
    std::ranges::copy(logits.floats(), out);
    out += logits.size();
    if (done == texts.size()) return impl_->gathered;
    done = impl_->tokenize(texts, done);
    logits = classify(impl_->batch);
  }
}

Tensor Session::hidden(const RaggedBatch& batch) {
  if (impl_->head == Head::kHidden) return impl_->run(*impl_->executor, batch, "hidden");
  if (impl_->hidden_executor == nullptr) impl_->hidden_executor = impl_->make_executor(Head::kHidden, false);
  return impl_->run(*impl_->hidden_executor, batch, "hidden");
}

Tensor Session::run(const RaggedBatch& batch) {
  return impl_->head == Head::kClassifier ? classify(batch) : hidden(batch);
}

Executor& Session::executor() {
  return *impl_->executor;
}
const std::vector<Session::PassReport>& Session::passes() const {
  return impl_->reports;
}
const std::vector<FusionReport>& Session::fusions() const {
  return impl_->fusions;
}

}  // namespace fettle
