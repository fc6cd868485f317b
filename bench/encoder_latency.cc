// A classifier with random weights, timed: one query, or a whole ragged batch in one call. fettle's side of
// bench/peers/run.
//
//   encoder_latency [LAYERS HIDDEN TOKENS THREADS FORMAT RUNS] [options]      defaults: 12 768 12 1 int8 100
//
// --serve answers lines (bench/peers/worker.py says what they hold), so that a program which drives several engines
// can let them take turns; the model is then loaded from a folder, as in use, so that its resident memory counts.
#include <fmt/format.h>
#include <malloc.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <fstream>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "base/philox.h"
#include "base/scratch_folder.h"
#include "compress/quantize/cast.h"
#include "compress/quantize/dynamic.h"
#include "kernels/dispatch.h"
#include "kernels/roofline.h"
#include "runtime/session.h"

namespace fettle {
namespace {

constexpr int64_t kVocab = 30522;
constexpr int kLabels = 151;
constexpr double kMiB = 1 << 20;

// How the weights are kept and computed with. A new encoding is one row.
struct Format {
  const char* name;
  void (*encode)(Model&);
  Precision precision;
};
constexpr std::array kFormats{
    Format{"f32", [](Model&) {}, Precision::kF32},
    Format{"bf16", [](Model& model) { cast_parameters(model, DType::kBF16); }, Precision::kBF16},
    Format{"int8", [](Model& model) { quantize_dynamic(model, {}); }, Precision::kF32},
    Format{"int4", [](Model& model) { quantize_dynamic(model, {.bits = 4}); }, Precision::kF32},
    Format{"w4a16", [](Model& model) { quantize_dynamic(model, {.bits = 4, .input_bits = 16}); }, Precision::kF32},
};

const Format& find_format(const std::string& name) {
  for (const Format& format : kFormats) {
    if (name == format.name) return format;
  }
  bad_input("format", name, "there are f32, bf16, int8, int4 (W4A8) and w4a16");
}

struct Arguments {
  int64_t layers = 12;
  int64_t hidden = 768;
  int64_t tokens = 12;
  int threads = 1;
  std::string format = "int8";
  int64_t runs = 100;
  int64_t heads = 0;         // 0: as fettle makes them
  int64_t intermediate = 0;  // 0: the same
  std::vector<int64_t> lengths;
  bool distilbert = false;
  bool slow = false;
  bool serve = false;
};

ModelConfig make_config(const Arguments& a) {
  if (a.heads == 0 && a.intermediate == 0) return make_encoder_config(a.layers, a.hidden, kVocab);
  if (a.layers < 1 || a.heads < 1 || a.intermediate < 1 || a.hidden % a.heads != 0) {
    bad_input("model shape", fmt::format("{} heads, {} inside", a.heads, a.intermediate),
              "--heads, a divisor of the width, and --intermediate, together");
  }
  ModelConfig config;
  config.vocab_size = kVocab;
  config.hidden_size = a.hidden;
  const LayerConfig layer{.n_heads = a.heads, .head_dim = a.hidden / a.heads, .intermediate_size = a.intermediate};
  config.layers.assign(static_cast<size_t>(a.layers), layer);
  return config;
}

ModelConfig make_classifier_config(const Arguments& a) {
  ModelConfig config = make_config(a);
  if (a.distilbert) {
    config.architecture = Architecture::kDistilBert;
    config.n_token_types = 0;
  }
  for (int i = 0; i < kLabels; ++i) config.labels.push_back(fmt::format("intent {}", i));
  return config;
}

double resident_mb() {
  int64_t total_pages = 0;
  int64_t resident_pages = 0;
  std::ifstream("/proc/self/statm") >> total_pages >> resident_pages;
  return static_cast<double>(resident_pages * ::sysconf(_SC_PAGESIZE)) / kMiB;
}

class Engine {
 public:
  explicit Engine(const Arguments& a) {
    const Format& format = find_format(a.format);
    auto model = std::make_shared<Model>(make_model(make_classifier_config(a), nullptr, 1));
    format.encode(*model);
    weights_mb_ = static_cast<double>(model->parameters.size_bytes()) / kMiB;
    if (a.serve) model = read_back(std::move(model));
    session_ = std::make_unique<Session>(
        model, SessionOptions{.n_threads = a.threads, .fast_path = !a.slow, .precision = format.precision});
  }

  // Milliseconds of n calls, each on one batch of sequences of these lengths.
  std::vector<double> times_ms(const std::vector<int64_t>& lengths, int64_t n) {
    const RaggedBatch& batch = batch_of(lengths);
    std::vector<double> times;
    for (int64_t i = 0; i < n; ++i) {
      const Stopwatch watch;
      session_->classify(batch);
      times.push_back(watch.ms());
    }
    return times;
  }
  double weights_mb() const { return weights_mb_; }

 private:
  // The same model mapped from a file, which lives as long as the mapping.
  static std::shared_ptr<Model> read_back(std::shared_ptr<Model> model) {
    const ScratchFolder folder;
    save_model(*model, folder / "model", false);
    model.reset();
    ::malloc_trim(0);
    return std::make_shared<Model>(load_model(folder / "model"));
  }

  const RaggedBatch& batch_of(const std::vector<int64_t>& lengths) {
    if (lengths == lengths_) return batch_;
    batch_.clear();
    Philox random(2);
    for (const int64_t length : lengths) {
      if (length < 1 || length > 512) bad_input("lengths", fmt::format("{}", length), "1 to 512 tokens");
      std::vector<int32_t> ids(static_cast<size_t>(length));
      for (int32_t& id : ids) id = static_cast<int32_t>(1 + random.below(kVocab - 1));
      batch_.append(ids.data(), length);
    }
    lengths_ = lengths;
    return batch_;
  }

  double weights_mb_ = 0;
  std::unique_ptr<Session> session_;
  std::vector<int64_t> lengths_;
  RaggedBatch batch_;
};

// What this machine can do on so many threads, measured now.
Json limits(int n_threads) {
  ThreadPool pool(n_threads);
  const Roofline roofline = measure_roofline(table_named(""), pool);
  return Json{{"bandwidth_gb_s", roofline.bandwidth_gb_s},
              {"peak_gops",
               {{"int8", roofline.peak_int8_gops},
                {"int4", roofline.peak_int8_gops},
                {"bf16", roofline.peak_bf16_gflops},
                {"f32", roofline.peak_f32_gflops}}}};
}

Json answer(Engine& engine, const Arguments& arguments, const std::string& line) {
  const Json request = parse_json(line, "request");
  if (request.contains("limits")) return limits(arguments.threads);
  const std::string layout = json_string(request, "layout", "request");
  auto lengths = request.at("lengths").get<std::vector<int64_t>>();
  // What padding costs where nothing skips it: every sequence is as long as the longest.
  if (layout == "padded") std::fill(lengths.begin(), lengths.end(), *std::max_element(lengths.begin(), lengths.end()));
  if (layout != "padded" && layout != "ragged") bad_input("request", layout, "ragged or padded");
  Json reply;
  reply["ms"] = engine.times_ms(lengths, json_int(request, "queries", 1, 1 << 20, "request"));
  reply["rss_mb"] = resident_mb();
  return reply;
}

void serve(Engine& engine, const Arguments& arguments) {
  Json hello;
  hello["weights_mb"] = engine.weights_mb();
  std::cout << hello.dump() << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
    Json reply;
    try {
      reply = answer(engine, arguments, line);
    } catch (const std::exception& error) {
      reply["error"] = error.what();
    }
    std::cout << reply.dump() << std::endl;
  }
}

void print_times(Engine& engine, const Arguments& a) {
  const std::vector<int64_t> lengths = a.lengths.empty() ? std::vector<int64_t>{a.tokens} : a.lengths;
  engine.times_ms(lengths, 10);
  std::vector<double> times = engine.times_ms(lengths, std::max<int64_t>(a.runs, 1));
  std::sort(times.begin(), times.end());
  const std::string what =
      lengths.size() == 1 ? fmt::format("{} tokens", lengths[0]) : fmt::format("{} sequences", lengths.size());
  std::cout << fmt::format("{}, {}, {} threads: min {:.3f}, median {:.3f}, p95 {:.3f} ms\n", what, a.format, a.threads,
                           times.front(), times[times.size() / 2], times[times.size() * 95 / 100]);
}

Arguments parse(int argc, char** argv) {
  Arguments a;
  CLI::App app("Times a classifier with random weights.");
  app.add_option("LAYERS", a.layers, "");
  app.add_option("HIDDEN", a.hidden, "");
  app.add_option("TOKENS", a.tokens, "");
  app.add_option("THREADS", a.threads, "");
  app.add_option("FORMAT", a.format, "f32, bf16, int8, int4 or w4a16");
  app.add_option("RUNS", a.runs, "");
  app.add_option("--heads", a.heads, "heads of a layer, instead of one for every 64 columns");
  app.add_option("--intermediate", a.intermediate, "width inside a layer, instead of 4 times HIDDEN");
  app.add_option("--lengths", a.lengths, "tokens of each sequence of a ragged batch, instead of TOKENS")
      ->delimiter(',');
  app.add_flag("--distilbert", a.distilbert, "DistilBERT: no token types, its own head");
  app.add_flag("--slow", a.slow, "the graph op by op, with no pass");
  app.add_flag("--serve", a.serve, "answer lines on standard input");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::exit(app.exit(error));
  }
  return a;
}

int run(int argc, char** argv) {
  const Arguments arguments = parse(argc, argv);
  Engine engine(arguments);
  if (arguments.serve) {
    serve(engine, arguments);
  } else {
    print_times(engine, arguments);
  }
  return 0;
}

}  // namespace
}  // namespace fettle

int main(int argc, char** argv) {
  try {
    return fettle::run(argc, argv);
  } catch (const fettle::Error& error) {
    std::cerr << error.what() << '\n';
    return static_cast<int>(error.code());
  }
}
