// Groups of options that several verbs take.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iostream>
#include <limits>
#include <sstream>
#include <unordered_set>

#include "base/cancel.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/progress.h"
#include "cli/app.h"
#include "data/rows.h"
#include "evaluate/metrics.h"
#include "format/tensor_store.h"

namespace fettle::cli {

void DataFlags::add_to(CLI::App& verb) {
  verb.add_option("--text-column", options.text_column, "column of the text (default text)");
  verb.add_option("--pair-column", options.pair_column,
                  "column of a second text (default text_pair, where there is one)");
  verb.add_option("--label-column", options.label_column, "column of the label (default label)");
  verb.add_option("--label-separator", options.label_separator,
                  "between the labels of a multi-label example in .csv and .tsv (default |)");
  verb.add_flag("--oos", options.include_oos, "CLINC150: with the split's out-of-scope examples");
  verb.add_option("--oos-label", options.oos_name, "name of the out-of-scope class (default oos)");
  verb.add_option("--label-order", label_order, "label ids: sorted, first-seen, huggingface")
      ->check(CLI::IsMember({"sorted", "first-seen", "huggingface"}));
}

DataOptions DataFlags::resolve(LabelKind kind) const {
  DataOptions resolved = options;
  resolved.label_kind = kind;
  if (label_order == "first-seen") resolved.label_order = LabelOrder::kFirstSeen;
  if (label_order == "huggingface") resolved.label_order = LabelOrder::kHuggingFace;
  return resolved;
}

DataOptions DataFlags::unlabelled() const {
  DataOptions resolved = resolve();
  resolved.include_oos = false;
  return resolved;
}

namespace {

double parse_weight(const std::string& text, const std::string& item) {
  size_t end = 0;
  double weight = -1;
  try {
    weight = std::stod(text, &end);
  } catch (const std::exception&) {
    end = 0;
  }
  if (end == 0 || end != text.size() || !std::isfinite(weight) || weight < 0) {
    usage_error("--class-weights", "'" + shown_text(item) + "' is not LABEL=WEIGHT, the weight 0 or more");
  }
  return weight;
}

// "balanced", a JSON file of weights by label, or "label=2,other=0.5".
ClassWeights parse_class_weights(const std::string& text) {
  ClassWeights weights;
  if (text.empty()) return weights;
  if (text == "balanced") return {.balanced = true, .by_label = {}};
  if (text.ends_with(".json")) {
    const Json json = read_json(text);
    if (!json.is_object() || json.empty()) bad_input(text, "is not an object of weights by label");
    for (const auto& [label, weight] : json.items()) {
      if (!weight.is_number() || weight.get<double>() < 0) {
        bad_input(text, "the weight of '" + shown_text(label) + "' is not a number of 0 or more");
      }
      weights.by_label.emplace_back(label, weight.get<double>());
    }
    return weights;
  }
  std::istringstream items(text);
  for (std::string item; std::getline(items, item, ',');) {
    const size_t equals = item.rfind('=');
    const size_t cut = equals == std::string::npos ? item.size() : equals;
    weights.by_label.emplace_back(item.substr(0, cut), parse_weight(item.substr(std::min(cut + 1, item.size())), item));
  }
  return weights;
}

}  // namespace

void TrainFlags::add_to(CLI::App& verb) {
  verb.add_option("--epochs", options.epochs, "passes over the data")->check(CLI::Range(0.0, 1e6));
  verb.add_option("--max-steps", options.max_steps, "steps, instead of epochs")
      ->check(CLI::Range(int64_t{0}, INT64_MAX));
  verb.add_option("--batch-size", options.batch_size, "sequences a step")->check(CLI::Range(1, 1 << 20));
  verb.add_option("--gradient-accumulation", options.gradient_accumulation, "batches a step")
      ->check(CLI::Range(1, 1 << 20));
  verb.add_option("--learning-rate", options.learning_rate,
                  "peak rate of AdamW (default: by the model's width, 2e-5 at 768)")
      ->check(CLI::Range(0.0, 10.0));
  verb.add_option("--weight-decay", options.weight_decay, "decoupled; not on biases and norms")
      ->check(CLI::Range(0.0, 1e6));
  verb.add_option("--max-grad-norm", options.max_grad_norm, "gradient clipping (0: none)")->check(CLI::Range(0.0, 1e6));
  verb.add_option("--schedule", schedule, "linear, cosine, constant")
      ->check(CLI::IsMember({"linear", "cosine", "constant"}));
  verb.add_option("--warmup-ratio", options.warmup_ratio, "share of the steps for warm-up")
      ->check(CLI::Range(0.0, 1.0));
  verb.add_option("--schedule-steps", options.schedule_steps, "schedule the rate for a longer run than this one")
      ->check(CLI::Range(int64_t{0}, INT64_MAX));
  verb.add_option("--layer-decay", options.layer_decay, "rate of a layer as a share of the next one's (default 1)")
      ->check(CLI::Range(0.001, 1.0));
  verb.add_option("--ema", options.ema_decay, "end with a moving average of the weights that keeps this share a step")
      ->check(CLI::Range(0.0, 0.999999));
  verb.add_option("--label-smoothing", options.label_smoothing)->check(CLI::Range(0.0, 0.999));
  verb.add_option("--class-weights", class_weights, "balanced, FILE.json, or label=weight,… (others 1)");
  verb.add_option("--dropout", options.dropout, "instead of the model's own")->check(CLI::Range(0.0, 0.999));
  verb.add_option("--max-length", options.max_length, "tokens of a training sequence")->check(CLI::Range(3, 1 << 20));
  verb.add_option("--patience", options.early_stopping_patience,
                  "epochs without improvement before stopping (0: never)")
      ->check(CLI::Range(int64_t{0}, INT64_MAX));
  verb.add_option("--precision", precision, "of matrix products: bf16, f32")->check(CLI::IsMember({"bf16", "f32"}));
  verb.add_flag("--gradient-checkpointing", options.gradient_checkpointing,
                "compute activations again instead of keeping them: less memory, more time, the same bytes");
  verb.add_option("--tensorboard", tensorboard, "folder for TensorBoard event files");
  verb.add_flag("--no-divergence-check", no_divergence_check, "do not stop when the loss diverges");
  verb.add_option("--checkpoints", checkpoints, "folder for checkpoints (default: OUT.checkpoints)");
  verb.add_option("--checkpoint-every", options.checkpoint_every, "steps (default: each epoch)")
      ->check(CLI::Range(int64_t{0}, INT64_MAX));
  verb.add_flag("--resume", options.resume, "continue from the last checkpoint");
  verb.add_flag(
      "--allow-changes", options.allow_changes,
      "with --resume: rates, schedule, decays, clipping, dropout, smoothing may differ from the checkpoint's");
}

TrainOptions TrainFlags::resolve(const Globals& globals) const {
  TrainOptions resolved = options;
  resolved.seed = globals.seed;
  resolved.n_threads = globals.threads;
  resolved.isa = globals.isa;
  resolved.precision = precision == "f32" ? Precision::kF32 : Precision::kBF16;
  resolved.checkpoint_folder = checkpoints;
  resolved.class_weights = parse_class_weights(class_weights);
  resolved.tensorboard = tensorboard;
  resolved.divergence_check = !no_divergence_check;
  if (schedule == "cosine") resolved.schedule = Schedule::kCosine;
  if (schedule == "constant") resolved.schedule = Schedule::kConstant;
  return resolved;
}

Json to_json(const TrainResult& result) {
  const auto add_metric = [&](Json& item, double value) {
    item["accuracy"] = nullptr;
    item[result.metric] = value < 0 ? Json(nullptr) : Json(value);
  };
  Json epochs = Json::array();
  for (const EpochRecord& record : result.epochs) {
    Json item{{"epoch", record.epoch}, {"loss", record.loss}, {"seconds", record.seconds}};
    add_metric(item, record.accuracy);
    epochs.push_back(std::move(item));
  }
  Json curve = Json::array();
  for (const CurvePoint& point : result.curve) curve.push_back(Json{{"step", point.step}, {"loss", point.loss}});
  const double activation_mb = static_cast<double>(result.activation_bytes) / (1024.0 * 1024.0);
  Json json{{"steps", result.steps},
            {"samples", result.samples},
            {"tokens", result.tokens},
            {"seconds", result.seconds},
            {"samples_per_s", result.samples_per_s},
            {"activation_mb", result.activation_bytes > 0 ? Json(activation_mb) : Json(nullptr)},
            {"epochs", std::move(epochs)},
            {"curve", std::move(curve)},
            {"metric", result.metric}};
  add_metric(json, result.accuracy);
  json["stopped_early"] = result.stopped_early;
  if (!result.changes.empty()) json["changes"] = result.changes;
  return json;
}

void RegimeFlag::add_to(CLI::App& verb) {
  verb.add_option("--regime", name,
                  "cores on batches: latency (all on one), throughput (one on each), auto (the faster, measured)")
      ->check(CLI::IsMember({"latency", "throughput", "auto"}));
}

std::optional<Regime> RegimeFlag::regime() const {
  if (name == "auto") return {};
  return name == "latency" ? Regime::kLatency : Regime::kThroughput;
}

void PackedCacheFlag::add_to(CLI::App& verb) {
  verb.add_flag("--packed-cache", is_on, "keep the packed weights in the model's folder, and take them from there");
}

void report_regime(const RegimeChoice& choice, int n_threads) {
  if (choice.latency_per_s <= 0) return;
  log_info(fmt::format("regime {}: {:.0f} tokens/s on one worker for each of {} threads, {:.0f} with all on one batch",
                       regime_name(choice.regime), choice.throughput_per_s, n_threads, choice.latency_per_s));
}

void refuse_existing(const std::string& out, const Globals& globals) {
  check_output_folder(out, globals.force);
}

std::string beside(const std::string& out, const std::string& suffix) {
  std::filesystem::path path = std::filesystem::path(out).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  return path.string() + suffix;
}

std::string shown_text(std::string_view text) {
  std::string shown;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const auto next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0;
    const bool is_c1 = byte == 0xC2 && next >= 0x80 && next < 0xA0;
    if (byte >= 0x20 && byte != 0x7F && !is_c1) {
      shown += text[i];
      continue;
    }
    shown += fmt::format("\\x{:02x}", byte);
    if (is_c1) shown += fmt::format("\\x{:02x}", text[++i] & 0xFF);
  }
  return shown;
}

void remove_checkpoints(const TrainFlags& flags, const std::string& out) {
  if (!flags.checkpoints.empty()) return;
  std::error_code ignored;
  std::filesystem::remove_all(beside(out, kCheckpointSuffix), ignored);
}

std::string training_summary(const TrainResult& result) {
  std::string text;
  for (const EpochRecord& record : result.epochs) {
    text += fmt::format("epoch {:>4.4g}  loss {:.4f}", record.epoch, record.loss);
    if (record.accuracy >= 0) text += fmt::format("  {} {:.4f}", result.metric, record.accuracy);
    text += fmt::format("  {}\n", format_duration(record.seconds));
  }
  text += fmt::format("{} steps, {}, {:.0f} samples/s", result.steps, format_duration(result.seconds),
                      result.samples_per_s);
  if (result.accuracy >= 0) text += fmt::format("; {} {:.4f}", result.metric, result.accuracy);
  return text + (result.stopped_early ? "; stopped early\n" : "\n");
}

void thin_out(Dataset& data, int64_t n) {
  const auto size = static_cast<int64_t>(data.examples.size());
  if (size <= n) return;
  for (int64_t i = 0; i < n; ++i)
    data.examples[static_cast<size_t>(i)] = data.examples[static_cast<size_t>(i * size / n)];
  data.examples.resize(static_cast<size_t>(n));
}

std::string resolve_model(const std::string& model) {
  constexpr std::string_view kBuiltin = "builtin:";
  if (model.compare(0, kBuiltin.size(), kBuiltin) != 0) return model;
  const std::string name = model.substr(kBuiltin.size());
  std::error_code ignored;
  const std::filesystem::path here = std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path();
  for (const std::filesystem::path& folder :
       {here / "../share/fettle/assets", std::filesystem::path(FETTLE_ASSETS_DIR)}) {
    if (std::filesystem::exists(folder / name / "config.json")) return (folder / name).lexically_normal().string();
  }
  bad_input(model, "does not come with this fettle", "builtin:encoder does");
}

void TextFlags::add_to(CLI::App& verb) {
  verb.add_option("text", texts, "texts");
  verb.add_option("--data", data, "data file instead of texts");
  data_flags.add_to(verb);
}

void TextFlags::add_pair_to(CLI::App& verb) {
  verb.add_option("--pair", pairs, "second text of each text, or one for all");
}

void TextFlags::check(const char* verb) const {
  if (!data.empty() && !texts.empty()) usage_error(verb, "takes texts or --data, not both");
  if (pairs.empty()) return;
  if (!data.empty()) usage_error("--pair", "goes with texts; a data file has its pairs in --pair-column");
  if (pairs.size() > 1 && pairs.size() != texts.size()) {
    usage_error("--pair", fmt::format("is there {} times for {} texts", pairs.size(), texts.size()));
  }
}

Dataset TextFlags::read(bool labelled, LabelKind kind) const {
  if (!data.empty()) return load_dataset(data, labelled ? data_flags.resolve(kind) : data_flags.unlabelled());
  Dataset read;
  read.source = texts.empty() ? "standard input" : "texts";
  const auto pair_of = [&](size_t i) { return pairs.empty() ? "" : pairs[pairs.size() > 1 ? i : 0]; };
  for (size_t i = 0; i < texts.size(); ++i) read.examples.push_back({texts[i], pair_of(i), kUnlabelled});
  if (texts.empty()) {
    for (std::string line; std::getline(std::cin, line);) read.examples.push_back({line, pair_of(0), kUnlabelled});
    // Ctrl-C ends a read that waits; it is not the end of the input.
    throw_if_cancelled();
  }
  if (read.examples.empty()) bad_input(read.source, "holds no text");
  for (const Example& example : read.examples) require_utf8(example.text, read.source);
  for (const std::string& pair : pairs) require_utf8(pair, "--pair");
  return read;
}

void UnlabelledFlags::add_to(CLI::App& verb) {
  verb.add_option("--unlabelled", files, "more texts, which only the teacher labels");
  verb.add_option("--max-unlabelled", max, "at most so many of them (0: all)")
      ->check(CLI::Range(int64_t{0}, INT64_MAX));
}

Dataset UnlabelledFlags::load(const DataFlags& data) const {
  Dataset all;
  std::unordered_set<std::string> seen;
  for (const std::string& file : files) {
    for (Example& example : load_dataset(file, data.unlabelled()).examples) {
      if (example.text.empty() || !seen.insert(example.text + '\n' + example.text_pair).second) continue;
      example.label = kUnlabelled;
      all.examples.push_back(std::move(example));
    }
  }
  if (max > 0) thin_out(all, max);
  return all;
}

void ThresholdFlags::add_to(CLI::App& verb) {
  verb.add_flag("--fit-threshold", fit, "fit an out-of-scope score threshold on --eval");
  add_share_to(verb);
}

void ThresholdFlags::add_share_to(CLI::App& verb) {
  verb.add_option("--oos-share", oos_share, "share of out-of-scope queries to expect in use (default: that of --eval)")
      ->check(CLI::Range(0.001, 0.999));
}

void ThresholdFlags::apply(Model& model, const Dataset& validation, const Globals& globals) const {
  if (fit) fit_oos_threshold(model, validation, globals.session(), oos_share);
}

std::shared_ptr<const Model> load_shared(const std::string& model) {
  return std::make_shared<const Model>(load_model(resolve_model(model)));
}

double weights_mb(const std::string& model) {
  int64_t size_bytes = 0;
  const TensorStore store = TensorStore::open(encoder_folder(resolve_model(model)));
  for (const std::filesystem::path& file : store.files()) size_bytes += size_on_disk(file);
  return static_cast<double>(size_bytes) / (1024.0 * 1024.0);
}

}  // namespace fettle::cli
