#include "train/distill/teacher_outputs.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/log.h"
#include "base/scratch_folder.h"
#include "runtime/test_graphs.h"
#include "train/classify.h"
#include "train/test_models.h"

namespace fettle {
namespace {

using test::toy_data;
using test::toy_model;

const std::vector<Tap> kTaps = {{TapKind::kHidden, 0}, {TapKind::kEmbeddings, 0}, {TapKind::kValue, 1}};

class TeacherOutputsTest : public testing::Test {
 protected:
  void SetUp() override { set_log_level(LogLevel::kOff); }
  void TearDown() override { set_log_level(LogLevel::kWarning); }

  TeacherOutputs make(const TeacherCacheOptions& cache, bool logits = true, std::vector<Tap> taps = kTaps) {
    return TeacherOutputs(student_, teachers_, data_, {.logits = logits, .taps = std::move(taps)}, cache, options_,
                          machine_);
  }

  static TrainOptions exact_options() {
    TrainOptions options;
    options.n_threads = 2;
    options.precision = Precision::kF32;
    return options;
  }

  std::string load_bytes(TeacherOutputs& outputs, const std::vector<int32_t>& examples) {
    MicroBatch batch;
    outputs.load(examples, batch);
    std::string bytes;
    for (const auto& [name, tensor] : batch.inputs) {
      bytes += name + shape_to_string(tensor.shape());
      bytes.append(static_cast<const char*>(tensor.raw()), static_cast<size_t>(tensor.size_bytes()));
    }
    return bytes;
  }

  const ScratchFolder folder_;
  const TeacherCacheOptions cache_{.folder = folder_ / "cache"};
  const TeacherCacheOptions none_{};
  const TeacherCacheOptions tiny_{.folder = folder_ / "tiny", .limit_bytes = 100};
  const TrainOptions options_ = exact_options();
  Machine machine_{options_};
  const Dataset data_ = toy_data(150, 1);
  const Model student_ = toy_model({"one", "blue", "green", "red"}, 3);
  Teachers teachers_ = {std::make_shared<const Model>(toy_model(data_.labels, 5)),
                        std::make_shared<const Model>(toy_model(data_.labels, 6))};
  const std::vector<int32_t> some_ = {149, 3, 77, 3, 0};
};

TEST_F(TeacherOutputsTest, LogitsAreAveragedInTheStudentsOrder) {
  TeacherOutputs outputs = make(none_, true, {});
  MicroBatch batch;
  outputs.load(some_, batch);
  ASSERT_EQ(batch.inputs.size(), 1u);
  const Tensor& actual = batch.inputs[0].second;
  ASSERT_EQ(actual.shape(), (Shape{5, 4}));
  std::vector<Tensor> logits;
  for (const auto& teacher : teachers_) {
    logits.push_back(LogitsRunner(*teacher, options_, machine_).run(prepare(*teacher, data_, 64).texts, 16));
  }
  for (int64_t r = 0; r < 5; ++r) {
    for (int64_t c = 0; c < 4; ++c) {
      const int64_t at = some_[static_cast<size_t>(r)] * 4 + 3 - c;
      // The teachers' labels are red, green, blue, one: the student's the other way round.
      EXPECT_NEAR(actual.data<float>()[r * 4 + c], (logits[0].data<float>()[at] + logits[1].data<float>()[at]) / 2,
                  1e-5);
    }
  }
}

TEST_F(TeacherOutputsTest, FeaturesAreTheRowsOfTheExamples) {
  TeacherOutputs outputs = make(none_, false);
  MicroBatch batch;
  outputs.load(some_, batch);
  ASSERT_EQ(batch.inputs.size(), 3u);
  TeacherRunner runner(teachers_[0], true, kTaps, options_, machine_);
  int64_t first = 0;
  for (const int32_t i : some_) {
    RaggedBatch one;
    outputs.texts().append_to(one, i);
    runner.run(one);
    for (size_t k = 0; k < kTaps.size(); ++k) {
      EXPECT_EQ(batch.inputs[k].first, teacher_input(kTaps[k]));
      const Tensor expected = runner.tap(kTaps[k]);
      const Tensor actual = batch.inputs[k].second.rows(first, first + one.n_tokens());
      for (int64_t at = 0; at < expected.size(); ++at) {
        ASSERT_NEAR(actual.floats()[at], expected.floats()[at], 1e-5 + std::abs(expected.floats()[at]) / 250);
      }
    }
    first += one.n_tokens();
  }
  EXPECT_EQ(batch.inputs[0].second.dim(0), first);
}

TEST_F(TeacherOutputsTest, TheSameBytesComputedFoundAndKeptInMemory) {
  TeacherOutputs computed = make(cache_);
  EXPECT_EQ(computed.n_computed(), 300);
  const std::string bytes = load_bytes(computed, some_);
  TeacherOutputs found = make(cache_);
  EXPECT_EQ(found.n_computed(), 0);
  EXPECT_EQ(bytes, load_bytes(found, some_));
  EXPECT_EQ(computed.digest(), found.digest());
  TeacherOutputs in_memory = make(none_);
  EXPECT_EQ(in_memory.n_computed(), 300);
  EXPECT_EQ(bytes, load_bytes(in_memory, some_));
  EXPECT_EQ(computed.digest(), in_memory.digest());
}

TEST_F(TeacherOutputsTest, OnlyWhatIsMissingIsComputed) {
  make(cache_, true, {});
  TeacherOutputs one_tap = make(cache_, false, {kTaps[0]});
  EXPECT_EQ(one_tap.n_computed(), 150);
  TeacherOutputs more = make(cache_, false, kTaps);
  EXPECT_EQ(more.n_computed(), 150);
  EXPECT_EQ(make(cache_, false, {kTaps[2]}).n_computed(), 0);
  EXPECT_EQ(make(cache_, true, {}).n_computed(), 0);
}

TEST_F(TeacherOutputsTest, AnotherTeacherAndOtherDataAreOtherEntries) {
  make(cache_);
  teachers_[1] = std::make_shared<const Model>(toy_model(data_.labels, 7));
  EXPECT_EQ(make(cache_).n_computed(), 150);
  Dataset other = data_;
  other.examples[9].text += " red";
  TeacherOutputs outputs(student_, teachers_, other, {.taps = kTaps}, cache_, options_, machine_);
  EXPECT_EQ(outputs.n_computed(), 300);
  EXPECT_NE(outputs.digest(), make(cache_).digest());
}

TEST_F(TeacherOutputsTest, DamagedFilesAreMadeAnew) {
  const std::string bytes = [&] {
    TeacherOutputs outputs = make(cache_);
    return load_bytes(outputs, some_);
  }();
  int64_t n_files = 0;
  for (const auto& file : std::filesystem::directory_iterator(folder_ / "cache")) {
    std::string content = read_file(file.path());
    content[content.size() - 20] ^= 1;
    write_file(file.path(), content);
    ++n_files;
  }
  EXPECT_EQ(n_files, 5);
  TeacherOutputs again = make(cache_);
  EXPECT_EQ(again.n_computed(), 300);
  EXPECT_EQ(bytes, load_bytes(again, some_));
  EXPECT_EQ(make(cache_).n_computed(), 0);
}

TEST_F(TeacherOutputsTest, WithoutRoomFeaturesAreComputedInTraining) {
  TeacherOutputs outputs = make(tiny_);
  EXPECT_TRUE(outputs.is_live());
  MicroBatch live;
  outputs.load(some_, live);
  TeacherOutputs kept = make(none_);
  EXPECT_FALSE(kept.is_live());
  MicroBatch expected;
  kept.load(some_, expected);
  ASSERT_EQ(live.inputs.size(), expected.inputs.size());
  for (size_t k = 0; k < live.inputs.size(); ++k) {
    EXPECT_EQ(live.inputs[k].first, expected.inputs[k].first);
    const Tensor& a = live.inputs[k].second;
    const Tensor& b = expected.inputs[k].second;
    ASSERT_EQ(a.shape(), b.shape());
    for (int64_t i = 0; i < a.size(); ++i) {
      ASSERT_NEAR(a.floats()[i], b.floats()[i], 1e-5 + std::abs(b.floats()[i]) / 120);
    }
  }
  for (const auto& file : std::filesystem::directory_iterator(folder_ / "tiny")) ADD_FAILURE() << file.path();
}

TEST_F(TeacherOutputsTest, AFolderThatCannotBeWrittenIsNoReasonToFail) {
  write_file(folder_ / "file", "");
  TeacherOutputs outputs = make({.folder = folder_ / "file" / "below"});
  TeacherOutputs kept = make(none_);
  EXPECT_EQ(load_bytes(outputs, some_), load_bytes(kept, some_));
}

TEST(Taps, AreThereInEveryArchitecture) {
  for (const Architecture architecture : test::kArchitectures) {
    const ModelConfig config = test::small_config(architecture, 3);
    for (const bool training : {false, true}) {
      const Graph graph = build_graph(config, {.training = training});
      std::vector<ValueId> seen;
      const auto check = [&](const Tap& tap) {
        SCOPED_TRACE(tap_name(tap));
        const ValueId value = find_tap(graph, config, tap);
        const TensorType& type = graph.type(value);
        ASSERT_EQ(type.shape.size(), 2u);
        EXPECT_EQ(type.shape[1], Graph::constant_dim(tap_width(config, tap)));
        EXPECT_EQ(std::count(seen.begin(), seen.end(), value), 0) << "the same place as another tap";
        seen.push_back(value);
      };
      check({TapKind::kEmbeddings, 0});
      for (int64_t layer = 0; layer < std::ssize(config.layers); ++layer) {
        for (const TapKind kind : {TapKind::kHidden, TapKind::kQuery, TapKind::kKey, TapKind::kValue}) {
          check({kind, layer});
        }
      }
    }
  }
}

// The last hidden state is what the graph without a head gives.
TEST(Taps, TheLastHiddenStateIsTheOutput) {
  for (const Architecture architecture : test::kArchitectures) {
    const ModelConfig config = test::small_config(architecture, 3);
    const Graph graph = build_graph(config, {.head = GraphOptions::Head::kHidden});
    EXPECT_EQ(find_tap(graph, config, {TapKind::kHidden, std::ssize(config.layers) - 1}), graph.find("hidden"));
  }
}

}  // namespace
}  // namespace fettle
