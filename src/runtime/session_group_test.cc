// Both regimes give the same answers, from weights that are packed once.
#include "runtime/session_group.h"

#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <set>

#include "base/error.h"
#include "runtime/packed_store.h"
#include "runtime/test_graphs.h"

namespace fettle {
namespace {

std::shared_ptr<const Model> small_model() {
  return std::make_shared<const Model>(test::random_model(test::small_config(Architecture::kBert, 5), 1));
}

std::vector<float> values(const Tensor& tensor) {
  return {tensor.floats().begin(), tensor.floats().end()};
}

RaggedBatch batch_of(int64_t task) {
  return test::random_batch({1 + task % 7, 12, 1 + task % 30}, 97, static_cast<uint64_t>(task));
}

using Answers = std::vector<std::vector<float>>;

TEST(SessionGroup, RegimesGiveTheSameBytes) {
  constexpr int64_t kTasks = 60;
  SessionGroup group(small_model(), {.n_threads = 3});
  const auto answer = [&](Answers& answers) {
    return [&](int64_t task, Session& session) {
      answers[static_cast<size_t>(task)] = values(session.classify(batch_of(task)));
    };
  };
  Answers latency(kTasks);
  Answers throughput(kTasks);
  Answers faster(kTasks);
  group.run(Regime::kLatency, kTasks, answer(latency));
  group.run(Regime::kThroughput, kTasks, answer(throughput));
  const RegimeChoice choice = group.run_faster(
      kTasks, [](int64_t) { return 1.0; }, answer(faster));
  EXPECT_EQ(throughput, latency);
  EXPECT_EQ(faster, latency);
  EXPECT_EQ(choice.latency_per_s, 0) << "too little to tell";
}

TEST(SessionGroup, MeasuresWhereThereIsEnoughToDo) {
  constexpr int64_t kTasks = 100;
  SessionGroup group(small_model(), {.n_threads = 2});
  std::vector<std::atomic<int>> n_runs(kTasks);
  const RegimeChoice choice = group.run_faster(
      kTasks, [](int64_t task) { return static_cast<double>(task); },
      [&](int64_t task, Session& session) {
        ++n_runs[static_cast<size_t>(task)];
        session.classify(batch_of(task));
      });
  for (const auto& n : n_runs) EXPECT_EQ(n, 1);
  EXPECT_GT(choice.latency_per_s, 0);
  EXPECT_GT(choice.throughput_per_s, 0);
  EXPECT_EQ(choice.regime == Regime::kThroughput, choice.throughput_per_s > 1.03 * choice.latency_per_s);
}

TEST(SessionGroup, WorkersAreSessionsOfTheirOwn) {
  SessionGroup group(small_model(), {.n_threads = 3});
  std::mutex mutex;
  std::set<Session*> sessions;
  group.run(Regime::kThroughput, 50, [&](int64_t task, Session& session) {
    session.classify(batch_of(task));
    const std::lock_guard lock(mutex);
    sessions.insert(&session);
  });
  EXPECT_LE(sessions.size(), 3u);
  EXPECT_FALSE(sessions.contains(&group.whole()));
  const auto fails = [&] {
    group.run(Regime::kThroughput, 9, [](int64_t task, Session&) {
      if (task == 5) bad_input("task", "is the fifth");
    });
  };
  EXPECT_THROW(fails(), Error);
}

TEST(SessionGroup, SharedSessionsAddNoWeights) {
  SessionGroup group(small_model(), {.n_threads = 2});
  group.run(Regime::kLatency, 2, [](int64_t task, Session& session) { session.classify(batch_of(task)); });
  const int64_t packed_bytes = group.whole().executor().packed_bytes();
  group.run(Regime::kThroughput, 8, [](int64_t task, Session& session) { session.classify(batch_of(task)); });
  EXPECT_LT(group.memory_bytes(), 2 * packed_bytes);
  EXPECT_GT(group.memory_bytes(), packed_bytes);
}

TEST(Session, ASharedSessionOutlivesTheFirst) {
  const RaggedBatch batch = batch_of(3);
  std::vector<float> expected;
  std::unique_ptr<Session> shared;
  {
    Session first(small_model(), {.n_threads = 1});
    expected = values(first.classify(batch));
    shared = first.share(2);
  }
  EXPECT_EQ(values(shared->classify(batch)), expected);
  EXPECT_EQ(shared->hidden(batch).dim(0), batch.n_tokens());
}

class CountingLinear : public PackedLinear {
 public:
  void run(const float*, int64_t, int64_t, float*, int64_t, Activation, const float*, ThreadPool&) const override {}
  int64_t size_bytes() const override { return 1; }
  std::span<const std::byte> image() const override { return {}; }
};

TEST(PackedStore, PacksOnceForEachKey) {
  PackedStore store;
  int n_packed = 0;
  const auto pack = [&]() -> std::unique_ptr<PackedLinear> {
    ++n_packed;
    return std::make_unique<CountingLinear>();
  };
  const auto a = store.get("a", pack);
  EXPECT_EQ(store.get("a", pack), a);
  EXPECT_NE(store.get("b", pack), a);
  EXPECT_EQ(n_packed, 2);
  const auto fails = []() -> std::unique_ptr<PackedLinear> { bad_input("weight", "is damaged"); };
  EXPECT_THROW(store.get("c", fails), Error);
  EXPECT_NE(store.get("c", pack), nullptr);
}

}  // namespace
}  // namespace fettle
