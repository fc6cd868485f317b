#include "train/event_file.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>

#include "base/cancel.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/python_oracle.h"
#include "base/scratch_folder.h"
#include "train/test_models.h"

namespace fettle {
namespace {

std::vector<std::filesystem::path> files_of(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) files.push_back(entry.path());
  std::sort(files.begin(), files.end(), [](const auto& a, const auto& b) {
    return std::pair(a.string().size(), a) < std::pair(b.string().size(), b);
  });
  return files;
}

// As Python's reading of the format has them.
Json read_events(const std::vector<std::filesystem::path>& files) {
  std::string arguments;
  for (const auto& file : files) arguments += " '" + file.string() + "'";
  const PythonResult result = run_oracle("read_events.py", arguments);
  EXPECT_EQ(result.status, 0) << result.output;
  return parse_json(result.output, "events");
}

TEST(Crc32c, CheckValues) {
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u);            // the CRC catalogues
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aau);  // RFC 3720, B.4
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  EXPECT_EQ(crc32c(""), 0u);
}

TEST(EventFile, IsReadByItsFormatsRules) {
  if (!python_has("json")) GTEST_SKIP() << "python3 is not installed";
  const ScratchFolder folder;
  {
    EventFile file(folder / "a" / "b", 0);
    file.add(1, {{"loss", 0.5}, {"learning_rate", 1e-3}});
    file.add(300, {{"loss", -2.25}});
  }
  const auto files = files_of(folder / "a" / "b");
  ASSERT_EQ(files.size(), 1u);
  EXPECT_EQ(files[0].filename().string().rfind("events.out.tfevents.", 0), 0u);
  const Json events = read_events(files)[0];
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[0].at("file_version"), "brain.Event:2");
  EXPECT_EQ(events[1].at("step"), 1);
  EXPECT_EQ(events[1].at("scalars").at("loss"), 0.5);
  EXPECT_EQ(events[1].at("scalars").at("learning_rate").get<float>(), 1e-3f);
  EXPECT_EQ(events[2].at("step"), 300);
  EXPECT_EQ(events[2].at("scalars").at("loss"), -2.25);
  const double now = static_cast<double>(std::chrono::system_clock::to_time_t(std::chrono::system_clock::now()));
  EXPECT_NEAR(events[2].at("wall_time").get<double>(), now, 60);
}

TEST(EventFile, NeverWritesOverAnother) {
  const ScratchFolder folder;
  const EventFile a(folder.path(), 0);
  const EventFile b(folder.path(), 0);
  const EventFile c(folder.path(), 0);
  EXPECT_EQ(files_of(folder.path()).size(), 3u);
}

TEST(EventFile, AFolderThatCannotBeMadeIsSaid) {
  const ScratchFolder folder;
  std::ofstream(folder / "file") << "x";
  EXPECT_THROW(EventFile(folder / "file", 0), Error);
}

// A run that is interrupted and goes on: one file for each part, together every step once or, behind the checkpoint,
// marked to be dropped.
TEST(EventFile, OfARunThatWasResumed) {
  if (!python_has("json")) GTEST_SKIP() << "python3 is not installed";
  set_log_level(LogLevel::kWarning);
  const ScratchFolder folder;
  TrainOptions options = test::toy_training(3);
  options.checkpoint_folder = folder / "checkpoints";
  options.tensorboard = folder / "events";
  const Dataset train = test::toy_data(56, 1);
  const Dataset eval = test::toy_data(12, 2);
  const auto run = [&] {
    Model model = test::toy_model(train.labels);
    return train_classifier(model, train, &eval, options);
  };
  request_cancel_after(7);
  EXPECT_THROW(run(), Error);
  clear_cancel();
  options.resume = true;
  const TrainResult result = run();
  const Json files = read_events(files_of(options.tensorboard));
  ASSERT_EQ(files.size(), 2u);
  int64_t step = 0;
  std::vector<double> accuracies;
  for (const Json& events : files) {
    for (const Json& event : events) {
      const Json& scalars = event.at("scalars");
      if (event.contains("session_status")) {
        EXPECT_EQ(event.at("step"), step + 1);
      }
      if (scalars.contains("epoch/accuracy")) accuracies.push_back(scalars.at("epoch/accuracy"));
      if (!scalars.contains("loss")) continue;
      EXPECT_EQ(event.at("step"), ++step);
      EXPECT_GT(scalars.at("gradient_norm"), 0);
      EXPECT_LE(scalars.at("learning_rate").get<double>(), 3e-3 * 1.0001);
    }
  }
  EXPECT_EQ(step, result.steps);
  EXPECT_EQ(files[1][1].value("session_status", 0), 1);
  ASSERT_EQ(accuracies.size(), result.epochs.size());
  for (size_t i = 0; i < accuracies.size(); ++i) EXPECT_FLOAT_EQ(accuracies[i], result.epochs[i].accuracy);
}

}  // namespace
}  // namespace fettle
