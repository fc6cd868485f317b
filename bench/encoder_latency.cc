// One query through a BERT-shaped classifier with random weights, timed: the model of `bench/compare_onnxruntime.mjs`.
//
//   encoder_latency [layers hidden tokens threads int8|bf16|f32 runs [serve]]     defaults: 12 768 12 1 int8 100
//
// "serve" answers every line N on standard input with the milliseconds of N queries on one line; a program that drives
// several engines so can interleave them.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/philox.h"
#include "compress/quantize/dynamic.h"
#include "runtime/session.h"

namespace fettle {
namespace {

constexpr int64_t kVocab = 30522;
constexpr int kLabels = 151;

struct Arguments {
  int64_t layers = 12;
  int64_t hidden = 768;
  int64_t tokens = 12;
  int threads = 1;
  std::string precision = "int8";
  int64_t runs = 100;
  bool serve = false;
};

Arguments parse(int argc, char** argv) {
  Arguments a;
  if (argc > 1) a.layers = std::atoll(argv[1]);
  if (argc > 2) a.hidden = std::atoll(argv[2]);
  if (argc > 3) a.tokens = std::atoll(argv[3]);
  if (argc > 4) a.threads = std::atoi(argv[4]);
  if (argc > 5) a.precision = argv[5];
  if (argc > 6) a.runs = std::atoll(argv[6]);
  a.serve = argc > 7 && std::string(argv[7]) == "serve";
  return a;
}

std::unique_ptr<Session> make_session(const Arguments& a) {
  ModelConfig config = make_encoder_config(a.layers, a.hidden, kVocab);
  for (int i = 0; i < kLabels; ++i) config.labels.push_back(fmt::format("intent {}", i));
  auto model = std::make_shared<Model>(make_model(config, nullptr, 1));
  if (a.precision == "int8") quantize_dynamic(*model, {});
  const Precision precision = a.precision == "bf16" ? Precision::kBF16 : Precision::kF32;
  return std::make_unique<Session>(model, SessionOptions{.n_threads = a.threads, .precision = precision});
}

class Queries {
 public:
  explicit Queries(const Arguments& a) : session_(make_session(a)) {
    Philox random(2);
    std::vector<int32_t> ids(static_cast<size_t>(a.tokens));
    for (int32_t& id : ids) id = static_cast<int32_t>(1 + random.below(kVocab - 1));
    batch_.append(ids.data(), a.tokens);
    for (int i = 0; i < 10; ++i) session_->classify(batch_);
  }
  std::vector<double> times_ms(int64_t n) {
    std::vector<double> times;
    for (int64_t i = 0; i < n; ++i) {
      const Stopwatch watch;
      session_->classify(batch_);
      times.push_back(watch.ms());
    }
    return times;
  }

 private:
  std::unique_ptr<Session> session_;
  RaggedBatch batch_;
};

void answer_lines(Queries& queries) {
  for (std::string line; std::getline(std::cin, line);) {
    std::string answer;
    for (double ms : queries.times_ms(std::atoll(line.c_str()))) answer += fmt::format("{:.4f} ", ms);
    std::cout << answer << std::endl;
  }
}

int run(int argc, char** argv) {
  const Arguments arguments = parse(argc, argv);
  Queries queries(arguments);
  if (arguments.serve) {
    std::cout << "ready" << std::endl;
    answer_lines(queries);
    return 0;
  }
  std::vector<double> times = queries.times_ms(std::max<int64_t>(arguments.runs, 1));
  std::sort(times.begin(), times.end());
  std::cout << fmt::format("{} tokens, {}, {} threads: min {:.3f}, median {:.3f}, p95 {:.3f} ms\n", arguments.tokens,
                           arguments.precision, arguments.threads, times.front(), times[times.size() / 2],
                           times[times.size() * 95 / 100]);
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
