#include "train/distill/teacher_outputs.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <map>
#include <optional>

#include "base/cancel.h"
#include "base/error.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/sha256.h"
#include "train/digest.h"
#include "train/distill/compatibility.h"

namespace fettle {
namespace {

constexpr int64_t kTeacherBatch = 64;
constexpr int64_t kMemoryLimit = int64_t{2} << 30;
constexpr int64_t kConvertGrain = 1 << 16;
constexpr int64_t kKeyFormat = 1;  // to be raised when teachers compute something else

std::string sha256_of(const void* data, int64_t size_bytes) {
  return sha256_hex({static_cast<const std::byte*>(data), static_cast<size_t>(size_bytes)});
}

std::string digest_model(const Model& model) {
  Digest digest;
  digest.add(config_to_json(model.config).dump());
  for (const std::string& name : model.parameters.names()) {
    const EncodedTensor& value = model.parameters.get(name);
    digest.add(name + " " + encoding_name(value.encoding) + " " + shape_to_string(value.shape));
    digest.add(int64_t{value.encoding.input_bits});
    digest.add(sha256_of(value.data.raw(), value.data.size_bytes()));
    if (value.scales.defined()) digest.add(sha256_of(value.scales.raw(), value.scales.size_bytes()));
    if (value.zeros.defined()) digest.add(sha256_of(value.zeros.raw(), value.zeros.size_bytes()));
    if (value.encoding.static_input) digest.add(sha256_of(&value.input_scale, sizeof value.input_scale));
    if (value.index.defined()) digest.add(sha256_of(value.index.raw(), value.index.size_bytes()));
  }
  return digest.hex();
}

// Tokens are all that a model sees of texts and tokenizer.
std::string digest_tokens(const TokenizedTexts& texts) {
  Digest digest;
  digest.add(sha256_of(texts.ids.data(), std::ssize(texts.ids) * 4));
  digest.add(sha256_of(texts.type_ids.data(), std::ssize(texts.type_ids) * 4));
  digest.add(sha256_of(texts.offsets.data(), std::ssize(texts.offsets) * 8));
  return digest.hex();
}

// As f32_to_bf16, in a form that compilers make vectors of.
void to_bf16(const float* x, uint16_t* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const auto bits = std::bit_cast<uint32_t>(x[i]);
    const uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    const uint32_t nan = bits >> 16 | 0x40;
    y[i] = static_cast<uint16_t>((bits & 0x7fffffff) > 0x7f800000 ? nan : rounded);
  }
}

void from_bf16(const uint16_t* x, float* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = std::bit_cast<float>(static_cast<uint32_t>(x[i]) << 16);
}

// One kind of rows of one teacher.
struct Wanted {
  std::optional<Tap> tap;  // logits where there is none
  TeacherEntry entry;
  Tensor rows;  // once they are there
};

// Where rows go while they are computed.
class Sink {
 public:
  Sink(Wanted& wanted, TeacherCache& cache, bool has_room, ThreadPool& pool)
      : wanted_(wanted), cache_(cache), pool_(pool) {
    const TeacherEntry& entry = wanted.entry;
    if (has_room) writer_ = cache.write(entry);
    if (!writer_) memory_ = Tensor(entry.dtype, {entry.rows, entry.width});
  }

  void take(const Tensor& rows) {
    const int64_t n = rows.size();
    const void* data = rows.raw();
    if (wanted_.entry.dtype == DType::kBF16) {
      converted_.resize(static_cast<size_t>(n));
      pool_.parallel_ranges(n, kConvertGrain, [&](int64_t begin, int64_t end, int) {
        to_bf16(rows.data<float>() + begin, converted_.data() + begin, end - begin);
      });
      data = converted_.data();
    }
    const int64_t size_bytes = n * dtype_size(wanted_.entry.dtype);
    if (writer_) {
      writer_->write(data, size_bytes);
    } else {
      std::memcpy(static_cast<char*>(memory_.raw_mutable()) + written_, data, static_cast<size_t>(size_bytes));
    }
    written_ += size_bytes;
  }

  // False when what was written is not to be had again.
  bool finish() {
    if (!writer_) {
      wanted_.rows = memory_;
      return true;
    }
    writer_->commit();
    std::optional<Tensor> rows = cache_.find(wanted_.entry);
    if (rows) wanted_.rows = *rows;
    return rows.has_value();
  }

 private:
  Wanted& wanted_;
  TeacherCache& cache_;
  ThreadPool& pool_;
  std::unique_ptr<TeacherEntryWriter> writer_;
  Tensor memory_;
  int64_t written_ = 0;
  std::vector<uint16_t> converted_;
};

}  // namespace

struct TeacherOutputs::Impl {
  Impl(const TeacherRequest& request_in, const TeacherCacheOptions& cache_in, const TrainOptions& options_in,
       Machine& machine_in)
      : request(request_in), cache_options(cache_in), options(options_in), machine(machine_in) {}

  TokenizedTexts tokenized(const Model& teacher, const Dataset& data) const;
  std::vector<Wanted> wanted_of(const Model& teacher, const TokenizedTexts& tokens, bool with_taps);
  void obtain(const std::shared_ptr<const Model>& teacher, const TokenizedTexts& tokens, std::vector<Wanted>& wanted);
  bool compute(TeacherRunner& runner, const TokenizedTexts& tokens, const std::vector<Wanted*>& missing,
               TeacherCache& cache);
  bool fit(const std::vector<Wanted*>& features, bool has_cache) const;
  void add_logits(const Model& student, const Model& teacher, const Tensor& rows, double share);
  void load_logits(std::span<const int32_t> examples, MicroBatch& batch);
  void load_features(std::span<const int32_t> examples, MicroBatch& batch);
  void run_live(std::span<const int32_t> examples, int64_t n_tokens);

  TeacherRequest request;
  TeacherCacheOptions cache_options;
  TrainOptions options;
  Machine& machine;
  TokenizedTexts texts;            // of the first teacher
  Tensor logits;                   // [n, n_labels], averaged
  std::map<Tap, Tensor> features;  // [tokens, width] bf16
  std::unique_ptr<TeacherRunner> live;
  RaggedBatch live_tokens;
  std::vector<float> logit_rows;
  std::map<Tap, std::vector<float>> buffers;
  std::vector<uint16_t> rounded;
  Digest digest;
  int64_t n_computed = 0;
};

TokenizedTexts TeacherOutputs::Impl::tokenized(const Model& teacher, const Dataset& data) const {
  if (!teacher.tokenizer) usage_error("teacher", "has no tokenizer");
  return tokenize(data, *teacher.tokenizer, std::min(request.max_length, teacher.config.max_positions));
}

std::vector<Wanted> TeacherOutputs::Impl::wanted_of(const Model& teacher, const TokenizedTexts& tokens,
                                                    bool with_taps) {
  const Json base{{"format", kKeyFormat},
                  {"teacher", digest_model(teacher)},
                  {"tokens", digest_tokens(tokens)},
                  {"kernels", machine.table.name},
                  {"precision", options.precision == Precision::kBF16 ? "bf16" : "f32"}};
  std::vector<Wanted> wanted;
  const auto add = [&](std::optional<Tap> tap, DType dtype, int64_t rows, int64_t width) {
    Wanted item{.tap = tap, .entry = {.key = base, .dtype = dtype, .rows = rows, .width = width}, .rows = {}};
    item.entry.key["what"] = tap ? tap_name(*tap) : "logits";
    // Logits by themselves come by another path than those beside features.
    item.entry.key["path"] = with_taps && !request.taps.empty() ? "op by op" : "fast";
    digest.add(item.entry.key.dump());
    wanted.push_back(std::move(item));
  };
  if (request.logits) add(std::nullopt, DType::kF32, tokens.size(), teacher.config.n_labels());
  if (!with_taps) return wanted;
  for (const Tap& tap : request.taps) {
    add(tap, DType::kBF16, std::ssize(tokens.ids), tap_width(teacher.config, tap));
  }
  return wanted;
}

bool TeacherOutputs::Impl::fit(const std::vector<Wanted*>& features_wanted, bool has_cache) const {
  int64_t size_bytes = 0;
  for (const Wanted* item : features_wanted) size_bytes += item->entry.data_bytes();
  return size_bytes <= (has_cache ? cache_options.limit_bytes : std::min(kMemoryLimit, cache_options.limit_bytes));
}

// False when the cache failed; what was computed is lost then.
bool TeacherOutputs::Impl::compute(TeacherRunner& runner, const TokenizedTexts& tokens,
                                   const std::vector<Wanted*>& missing, TeacherCache& cache) {
  std::vector<std::unique_ptr<Sink>> sinks;
  Progress progress("teacher", tokens.size(), "texts");
  try {
    int64_t size_bytes = 0;
    for (const Wanted* item : missing) size_bytes += item->entry.data_bytes();
    const bool has_room = cache.make_room(size_bytes);
    for (Wanted* item : missing) sinks.push_back(std::make_unique<Sink>(*item, cache, has_room, machine.pool));
    RaggedBatch batch;
    for (int64_t begin = 0; begin < tokens.size(); begin += kTeacherBatch) {
      throw_if_cancelled();
      batch.clear();
      const int64_t end = std::min(tokens.size(), begin + kTeacherBatch);
      for (int64_t i = begin; i < end; ++i) tokens.append_to(batch, i);
      runner.run(batch);
      for (size_t k = 0; k < sinks.size(); ++k) {
        sinks[k]->take(missing[k]->tap ? runner.tap(*missing[k]->tap) : runner.logits());
      }
      progress.advance(end - begin);
    }
    n_computed += tokens.size();
    bool all = true;
    for (const auto& sink : sinks) all = sink->finish() && all;
    progress.finish();
    return all;
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kIo || !cache.is_on()) throw;
    log_warning("what the teacher gives is not kept: " + error.detail());
    return false;
  }
}

void TeacherOutputs::Impl::obtain(const std::shared_ptr<const Model>& teacher, const TokenizedTexts& tokens,
                                  std::vector<Wanted>& wanted) {
  bool has_taps = false;
  for (const Wanted& item : wanted) has_taps = has_taps || item.tap.has_value();
  const std::vector<Tap> taps = has_taps ? request.taps : std::vector<Tap>{};
  TeacherCacheOptions where = cache_options;
  for (int attempt = 0;; ++attempt) {
    TeacherCache cache(where, machine.pool);
    std::vector<Wanted*> missing;
    std::vector<Wanted*> all_features;
    for (Wanted& item : wanted) {
      if (item.tap) all_features.push_back(&item);
      if (!item.rows.defined()) {
        if (const auto found = cache.find(item.entry)) item.rows = *found;
      }
      if (!item.rows.defined()) missing.push_back(&item);
    }
    if (missing.empty()) return;
    const bool is_feature_missing =
        std::ranges::any_of(missing, [](const Wanted* item) { return item->tap.has_value(); });
    auto runner = std::make_unique<TeacherRunner>(teacher, request.logits, taps, options, machine);
    if (is_feature_missing && !fit(all_features, cache.is_on())) {
      log_info("the teacher's features take more than the cache may hold: they are computed in training");
      std::erase_if(missing, [](const Wanted* item) { return item->tap.has_value(); });
      if (missing.empty() || compute(*runner, tokens, missing, cache)) {
        live = std::move(runner);
        return;
      }
    } else if (compute(*runner, tokens, missing, cache)) {
      return;
    }
    if (attempt > 0) failed("teacher cache", "does not keep what is written to it", "--no-teacher-cache does without");
    where.folder.clear();
  }
}

void TeacherOutputs::Impl::add_logits(const Model& student, const Model& teacher, const Tensor& rows, double share) {
  const std::vector<int64_t> columns = match_labels(student.config, teacher.config);
  const int64_t width = logits.dim(1);
  const float* row = rows.data<float>();
  float* out = logits.mutable_data<float>();
  for (int64_t i = 0; i < rows.dim(0); ++i, row += width, out += width) {
    for (int64_t c = 0; c < width; ++c) out[c] += static_cast<float>(share) * row[columns[static_cast<size_t>(c)]];
  }
}

TeacherOutputs::TeacherOutputs(const Model& student, const Teachers& teachers, const Dataset& data,
                               const TeacherRequest& request, const TeacherCacheOptions& cache,
                               const TrainOptions& options, Machine& machine)
    : impl_(std::make_unique<Impl>(request, cache, options, machine)) {
  Impl& self = *impl_;
  if (request.logits) {
    for (const auto& teacher : teachers) match_labels(student.config, teacher->config);
    self.logits = Tensor(DType::kF32, {std::ssize(data.examples), student.config.n_labels()});
  }
  self.texts = self.tokenized(*teachers[0], data);
  const double share = 1.0 / static_cast<double>(teachers.size());
  for (size_t t = 0; t < teachers.size(); ++t) {
    if (t > 0 && !request.logits) break;
    const TokenizedTexts tokens = t == 0 ? self.texts : self.tokenized(*teachers[t], data);
    std::vector<Wanted> wanted = self.wanted_of(*teachers[t], tokens, t == 0);
    if (wanted.empty()) continue;
    self.obtain(teachers[t], tokens, wanted);
    for (const Wanted& item : wanted) {
      if (!item.tap) {
        self.add_logits(student, *teachers[t], item.rows, share);
      } else if (!self.live) {
        self.features[*item.tap] = item.rows;
      }
    }
  }
}

TeacherOutputs::~TeacherOutputs() = default;

void TeacherOutputs::Impl::load_logits(std::span<const int32_t> examples, MicroBatch& batch) {
  const int64_t width = logits.dim(1);
  logit_rows.resize(examples.size() * static_cast<size_t>(width));
  float* out = logit_rows.data();
  for (const int32_t i : examples) {
    out = std::copy_n(logits.data<float>() + i * width, width, out);
  }
  batch.inputs.emplace_back("teacher_logits",
                            Tensor::view(DType::kF32, {std::ssize(examples), width}, logit_rows.data(), nullptr));
}

// Leaves the features in the buffers, as they would be found in the cache.
void TeacherOutputs::Impl::run_live(std::span<const int32_t> examples, int64_t n_tokens) {
  live_tokens.clear();
  for (const int32_t i : examples) texts.append_to(live_tokens, i);
  live->run(live_tokens);
  for (const Tap& tap : request.taps) {
    const Tensor rows = live->tap(tap);
    if (rows.dim(0) != n_tokens) failed("teacher", "gives other rows than it has tokens");
    rounded.resize(static_cast<size_t>(rows.size()));
    std::vector<float>& buffer = buffers[tap];
    buffer.resize(rounded.size());
    machine.pool.parallel_ranges(rows.size(), kConvertGrain, [&](int64_t begin, int64_t end, int) {
      to_bf16(rows.data<float>() + begin, rounded.data() + begin, end - begin);
      from_bf16(rounded.data() + begin, buffer.data() + begin, end - begin);
    });
  }
}

void TeacherOutputs::Impl::load_features(std::span<const int32_t> examples, MicroBatch& batch) {
  std::vector<int64_t> first_rows;  // of each example in the batch
  int64_t n_tokens = 0;
  for (const int32_t i : examples) {
    first_rows.push_back(n_tokens);
    n_tokens += texts.length(i);
  }
  if (live) run_live(examples, n_tokens);
  for (const Tap& tap : request.taps) {
    std::vector<float>& buffer = buffers[tap];
    if (!live) {
      const Tensor& rows = features.at(tap);
      const int64_t width = rows.dim(1);
      buffer.resize(static_cast<size_t>(n_tokens * width));
      const int64_t grain = std::max<int64_t>(1, kConvertGrain / std::max<int64_t>(1, width * 16));
      machine.pool.parallel_ranges(std::ssize(examples), grain, [&](int64_t begin, int64_t end, int) {
        for (int64_t e = begin; e < end; ++e) {
          const int32_t i = examples[static_cast<size_t>(e)];
          from_bf16(rows.data<uint16_t>() + texts.offsets[i] * width,
                    buffer.data() + first_rows[static_cast<size_t>(e)] * width, texts.length(i) * width);
        }
      });
    }
    const int64_t width = n_tokens == 0 ? 0 : std::ssize(buffer) / n_tokens;
    batch.inputs.emplace_back(teacher_input(tap), Tensor::view(DType::kF32, {n_tokens, width}, buffer.data(), nullptr));
  }
}

void TeacherOutputs::load(std::span<const int32_t> examples, MicroBatch& batch) {
  if (impl_->request.logits) impl_->load_logits(examples, batch);
  if (!impl_->request.taps.empty()) impl_->load_features(examples, batch);
}

const TokenizedTexts& TeacherOutputs::texts() const {
  return impl_->texts;
}
std::string TeacherOutputs::digest() const {
  return impl_->digest.hex();
}
int64_t TeacherOutputs::n_computed() const {
  return impl_->n_computed;
}
bool TeacherOutputs::is_live() const {
  return impl_->live != nullptr;
}

}  // namespace fettle
