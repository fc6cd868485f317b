// Distillation as a whole: what is matched is learnt, and the same run gives the same bytes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "base/error.h"
#include "base/log.h"
#include "base/scratch_folder.h"
#include "runtime/test_graphs.h"
#include "train/classify.h"
#include "train/distill/distillation_loss.h"
#include "train/test_models.h"

namespace fettle {
namespace {

using test::toy_data;
using test::toy_model;
using test::weight_bytes;
using testing::HasSubstr;

class DistillTest : public testing::Test {
 protected:
  void SetUp() override { set_log_level(LogLevel::kOff); }
  void TearDown() override { set_log_level(LogLevel::kWarning); }
};

using Matches = DistillTest;
using DistilledBytes = DistillTest;
using DistillRefuses = DistillTest;

std::shared_ptr<const Model> trained_teacher(const Dataset& data, int64_t n_layers = 2) {
  Model teacher = toy_model(data.labels, 7, n_layers);
  train_classifier(teacher, data, nullptr, test::toy_training());
  return std::make_shared<const Model>(std::move(teacher));
}

// One part of the loss over all of the data, without dropout.
double part_of_loss(Model& student, const std::shared_ptr<const Model>& teacher, const Dataset& data,
                    const DistillOptions& distill, const std::string& part) {
  TrainOptions options = test::toy_training();
  options.dropout = 0;
  options.precision = Precision::kF32;
  options.batch_size = std::ssize(data.examples);
  Machine machine(options);
  const FeaturePlan plan = plan_features(distill, student.config, teacher->config);
  TeacherOutputs outputs(student, {teacher}, data, {.logits = false, .taps = plan.teacher_taps(), .max_length = 16}, {},
                         options, machine);
  DistillOptions features = distill;
  features.match.logits = false;
  ClassifierObjective objective(
      student, prepare(student, data, 16), std::nullopt, options, machine,
      std::make_unique<DistillationLoss>(student, *teacher, DistillationTerms{features, plan}, outputs));
  Executor executor(objective.build_loss_graph(),
                    [&](std::string_view name) -> const EncodedTensor& { return student.parameters.get(name); },
                    {.pool = &machine.pool, .table = &machine.table, .pack_parameters = false});
  MicroBatch batch;
  objective.begin_epoch(0);
  objective.load(0, batch);
  for (const auto& [name, value] : batch.inputs) executor.set_input(name, value);
  executor.run();
  return executor.output(part + "_loss").data<float>()[0];
}

// Of each kind alone, with neither labels nor logits.
TEST_F(Matches, EachKindIsLearnt) {
  const Dataset data = toy_data(128, 1);
  const auto teacher = trained_teacher(data);
  for (const char* kind : {"hidden", "embeddings", "attention", "values"}) {
    SCOPED_TRACE(kind);
    DistillOptions distill{.match = parse_match(kind)};
    Model student = toy_model(data.labels, 3, 1);
    const double before = part_of_loss(student, teacher, data, distill, kind);
    TrainOptions options = test::toy_training();
    options.alpha = 0;
    const TrainResult result = fettle::distill(student, {teacher}, data, nullptr, options, distill);
    EXPECT_LT(part_of_loss(student, teacher, data, distill, kind), 0.6 * before);
    EXPECT_LT(result.epochs.back().loss, result.epochs.front().loss);
    EXPECT_EQ(student.manifest["steps"][0]["options"]["match"], kind);
  }
}

// A narrower student of one layer learns the task from a teacher of three without a label.
TEST_F(Matches, EverythingAtOnceInANarrowerStudent) {
  Dataset data = toy_data(256, 1);
  const Dataset eval = toy_data(64, 2);
  const auto teacher = trained_teacher(data, 3);
  for (Example& example : data.examples) example.label = kUnlabelled;
  Model student = make_student(*teacher, "layers=2 hidden=48 heads=1", 0);
  TrainOptions options = test::toy_training(10);
  options.alpha = 0;
  DistillOptions distill{.match = parse_match("logits,hidden,attention,values,embeddings")};
  distill.relations_of_all_layers = true;
  const std::vector<std::string> names = student.parameters.names();
  const TrainResult result = fettle::distill(student, {teacher}, data, &eval, options, distill);
  EXPECT_EQ(result.accuracy, 1.0);
  EXPECT_EQ(student.parameters.names(), names) << "the projections stay behind";
}

TEST_F(Matches, LayersThatShareTheirParameters) {
  const Dataset data = toy_data(32, 1);
  ModelConfig config = toy_model(data.labels).config;
  test::set_architecture(config, Architecture::kAlbert);
  const auto teacher = std::make_shared<const Model>(make_model(config, test::word_tokenizer(test::toy_words()), 4));
  Model student = make_model(config, teacher->tokenizer, 5);
  DistillOptions distill{.match = parse_match("logits,hidden,attention,values,embeddings")};
  distill.relations_of_all_layers = true;
  const TrainResult result = fettle::distill(student, {teacher}, data, nullptr, test::toy_training(4), distill);
  EXPECT_LT(result.epochs.back().loss, result.epochs.front().loss);
}

struct Distilled {
  std::string bytes;
  std::string data_sha256;
};

Distilled distilled(const TrainOptions& options, const DistillOptions& distill) {
  Dataset data = toy_data(60, 1);
  for (size_t i = 0; i < 20; ++i) data.examples[i].label = kUnlabelled;
  Model student = toy_model(data.labels, 3, 1, 32);
  fettle::distill(student, {std::make_shared<const Model>(toy_model(data.labels, 9))}, data, nullptr, options, distill);
  return {weight_bytes(student), student.manifest["steps"][0]["data_sha256"]};
}

DistillOptions everything() {
  DistillOptions distill{.match = parse_match("logits,hidden,attention,values,embeddings")};
  distill.augment = 1;
  return distill;
}

TEST_F(DistilledBytes, AreTheSameWithTheCacheAndWithout) {
  const ScratchFolder folder;
  TrainOptions options = test::toy_training(2);
  DistillOptions distill = everything();
  const Distilled without = distilled(options, distill);
  distill.cache.folder = folder / "cache";
  const Distilled missed = distilled(options, distill);
  const Distilled hit = distilled(options, distill);
  EXPECT_EQ(without.bytes, missed.bytes);
  EXPECT_EQ(missed.bytes, hit.bytes);
  EXPECT_EQ(missed.data_sha256, hit.data_sha256);
  for (const auto& file : std::filesystem::directory_iterator(folder / "cache")) {
    std::string content = read_file(file.path());
    content[content.size() / 2] ^= 1;
    write_file(file.path(), content);
  }
  EXPECT_EQ(distilled(options, distill).bytes, hit.bytes);
  options.seed = 6;
  EXPECT_NE(distilled(options, distill).bytes, hit.bytes);
}

TEST_F(DistilledBytes, AreTheSameAtAnyNumberOfThreads) {
  TrainOptions options = test::toy_training(2);
  DistillOptions distill = everything();
  const ScratchFolder folder;
  distill.cache = {.folder = folder / "cache", .limit_bytes = 100};  // computed in training
  const Distilled once = distilled(options, distill);
  for (const int n_threads : {2, 5}) {
    options.n_threads = n_threads;
    EXPECT_EQ(once.bytes, distilled(options, distill).bytes);
  }
}

TEST_F(DistilledBytes, DependOnWhatIsMatched) {
  const TrainOptions options = test::toy_training(1);
  std::vector<std::string> seen;
  for (const char* match :
       {"logits", "hidden", "logits,hidden", "logits,attention", "logits,values", "logits,embeddings"}) {
    const std::string bytes = distilled(options, {.match = parse_match(match)}).bytes;
    EXPECT_EQ(std::count(seen.begin(), seen.end(), bytes), 0) << match;
    seen.push_back(bytes);
  }
}

void expect_error(ErrorCode code, const std::string& part, const std::function<void()>& work) {
  try {
    work();
    ADD_FAILURE() << "no error that says " << part;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_THAT(error.what(), HasSubstr(part));
  }
}

TEST_F(DistillRefuses, AnotherCheckpointsOptions) {
  const ScratchFolder folder;
  TrainOptions options = test::toy_training(1);
  options.checkpoint_folder = folder / "run";
  DistillOptions distill{.match = parse_match("logits,hidden")};
  distilled(options, distill);
  options.resume = true;
  distilled(options, distill);
  distill.hidden_weight = 2;
  expect_error(ErrorCode::kBadInput, "another hidden_weight", [&] { distilled(options, distill); });
  distill.match = parse_match("logits");
  expect_error(ErrorCode::kBadInput, "another match", [&] { distilled(options, distill); });
}

TEST_F(DistillRefuses, OtherLabelsAndVocabularies) {
  const Dataset data = toy_data(16, 1);
  Model student = toy_model(data.labels, 3);
  const TrainOptions options = test::toy_training(1);
  const auto other_labels = std::make_shared<const Model>(toy_model({"red", "green", "blue", "two"}, 7));
  expect_error(ErrorCode::kBadInput, "1 only in the teacher ('two'), 1 only in the student ('one')",
               [&] { distill(student, {other_labels}, data, nullptr, options); });

  std::vector<std::string> words = test::toy_words();
  words.emplace_back("garden");
  std::swap(words[0], words[1]);
  ModelConfig config = student.config;
  config.vocab_size += 1;
  const auto other_words = std::make_shared<const Model>(make_model(config, test::word_tokenizer(words), 7));
  expect_error(ErrorCode::kBadInput, "1 only in the teacher ('garden')",
               [&] { distill(student, {other_words}, data, nullptr, options); });
  expect_error(ErrorCode::kUsage, "vocabulary", [&] {
    distill(student, {other_words}, data, nullptr, options,
            {.match = parse_match("hidden"), .allow_other_vocabulary = true});
  });
  distill(student, {other_words}, data, nullptr, options, {.allow_other_vocabulary = true});
}

TEST_F(DistillRefuses, LayersAndHeadsThatAreNotThere) {
  const Dataset data = toy_data(16, 1);
  Model student = toy_model(data.labels, 3);
  const auto teacher = std::make_shared<const Model>(toy_model(data.labels, 7));
  const TrainOptions options = test::toy_training(1);
  DistillOptions distill{.match = parse_match("hidden"), .layer_map = "0:2"};
  expect_error(ErrorCode::kUsage, "the teacher has 2",
               [&] { fettle::distill(student, {teacher}, data, nullptr, options, distill); });
  distill = {.match = parse_match("values"), .relation_heads = 7};
  expect_error(ErrorCode::kUsage, "do not divide the widths",
               [&] { fettle::distill(student, {teacher}, data, nullptr, options, distill); });
  expect_error(ErrorCode::kUsage, "needs a teacher", [&] { fettle::distill(student, {}, data, nullptr, options); });
}

}  // namespace
}  // namespace fettle
