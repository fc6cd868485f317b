// The study on disk: claims, workers that die, other keys, files that are something else.
#include "search/study_file.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <set>
#include <thread>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/scratch_folder.h"

namespace fettle {
namespace {

StudyKey make_key() {
  Parameter x;
  x.name = "x";
  x.high = 100;
  return {.space = {{x}}, .goals = {{"accuracy", true}}, .seed = 3, .values = {{"data", "abc"}, {"alpha", 0.5}}};
}

const auto kNumberItself = [](int64_t number, const std::vector<Trial>&) {
  return ParameterValues{static_cast<double>(number)};
};
const auto kNever = [](const Trial&, const std::vector<Trial>&) { return false; };

std::string message_of(ErrorCode code, const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "no error";
  return "";
}

class StudyFileTest : public testing::Test {
 protected:
  void SetUp() override { set_log_level(LogLevel::kError); }
  std::filesystem::path path() const { return folder_ / "study.sqlite"; }

  static Trial end(Trial trial, double value) {
    trial.state = TrialState::kComplete;
    trial.values = {value};
    trial.seconds = 1.5;
    return trial;
  }

  ScratchFolder folder_;
};

using Kind = StudyFile::Claim::Kind;

TEST_F(StudyFileTest, KeepsWhatTrialsReport) {
  {
    StudyFile study(path(), make_key());
    EXPECT_TRUE(study.trials().empty());
    StudyFile::Claim claim = study.claim(3, kNumberItself);
    ASSERT_EQ(claim.kind, Kind::kTrial);
    EXPECT_FALSE(claim.was_begun);
    EXPECT_EQ(claim.trial.number, 0);
    EXPECT_FALSE(study.report(0, {1, 0.25}, kNever));
    EXPECT_TRUE(study.report(0, {2, 0.1 + 0.2}, [](const Trial& trial, const std::vector<Trial>& trials) {
      EXPECT_EQ(trials.size(), 1u);
      EXPECT_EQ(trial.intermediates.size(), 2u);
      return true;
    }));
    study.finish(end(claim.trial, 1.0 / 3));
    claim = study.claim(3, kNumberItself);
    claim.trial.state = TrialState::kFailed;
    claim.trial.detail = "the loss is not finite";
    study.finish(claim.trial);
  }
  StudyFile study(path(), make_key());
  const std::vector<Trial> trials = study.trials();
  ASSERT_EQ(trials.size(), 2u);
  EXPECT_EQ(trials[0].state, TrialState::kComplete);
  EXPECT_EQ(trials[0].values, std::vector<double>{1.0 / 3});
  EXPECT_EQ(trials[0].seconds, 1.5);
  EXPECT_TRUE(trials[0].prune_decided);
  ASSERT_EQ(trials[0].intermediates.size(), 2u);
  EXPECT_EQ(trials[0].intermediates[1].value, 0.1 + 0.2);
  EXPECT_EQ(trials[1].state, TrialState::kFailed);
  EXPECT_EQ(trials[1].detail, "the loss is not finite");
  EXPECT_EQ(trials[1].parameters, ParameterValues{1});
  EXPECT_EQ(study.claim(3, kNumberItself).trial.number, 2);
}

TEST_F(StudyFileTest, AnEarlierStepForgetsLaterOnes) {
  StudyFile study(path(), make_key());
  study.claim(1, kNumberItself);
  for (int64_t step : {1, 2, 3}) study.report(0, {step, 0.1}, [](const auto&, const auto&) { return true; });
  study.report(0, {2, 0.2}, kNever);
  const std::vector<Trial> trials = study.trials();
  ASSERT_EQ(trials[0].intermediates.size(), 2u);
  EXPECT_EQ(trials[0].intermediates[1].value, 0.2);
  EXPECT_FALSE(trials[0].prune_decided);
}

TEST_F(StudyFileTest, WorkersShareTheTrials) {
  StudyFile a(path(), make_key());
  StudyFile b(path(), make_key());
  const StudyFile::Claim first = a.claim(2, kNumberItself);
  const StudyFile::Claim second = b.claim(2, kNumberItself);
  EXPECT_EQ(first.trial.number, 0);
  EXPECT_EQ(second.trial.number, 1);
  a.finish(end(first.trial, 1));
  EXPECT_EQ(a.claim(2, kNumberItself).kind, Kind::kWait);
  EXPECT_THROW(a.finish(end(second.trial, 1)), TrialLost) << "it is the other's";
  b.finish(end(second.trial, 2));
  EXPECT_EQ(a.claim(2, kNumberItself).kind, Kind::kDone);
  EXPECT_EQ(a.claim(3, kNumberItself).kind, Kind::kTrial) << "a longer search goes on";
}

TEST_F(StudyFileTest, ATrialThatWasGivenBackKeepsItsNumberAndParameters) {
  {
    StudyFile study(path(), make_key());
    study.claim(5, [](int64_t, const auto&) { return ParameterValues{42}; });
    study.report(0, {1, 0.5}, kNever);
  }
  StudyFile study(path(), make_key());
  const StudyFile::Claim claim = study.claim(5, kNumberItself);
  EXPECT_TRUE(claim.was_begun);
  EXPECT_EQ(claim.trial.number, 0);
  EXPECT_EQ(claim.trial.parameters, ParameterValues{42});
  EXPECT_EQ(claim.trial.intermediates.size(), 1u);
}

TEST_F(StudyFileTest, ATrialOfADeadProcessIsTakenOver) {
  const pid_t child = ::fork();
  if (child == 0) {
    StudyFile study(path(), make_key());
    study.claim(5, [](int64_t, const auto&) { return ParameterValues{42}; });
    ::_exit(0);  // as when killed: nothing is given back
  }
  ::waitpid(child, nullptr, 0);
  StudyFile study(path(), make_key());
  const StudyFile::Claim claim = study.claim(5, kNumberItself);
  EXPECT_TRUE(claim.was_begun);
  EXPECT_EQ(claim.trial.parameters, ParameterValues{42});
}

// The process is one that cannot be looked at from here.
void move_elsewhere(const std::filesystem::path& path) {
  Database database(path);
  database.run("UPDATE trial SET host = 'elsewhere' WHERE state = 'running'");
}

TEST_F(StudyFileTest, AWorkerElsewhereIsTakenForGoneWhenItIsSilent) {
  const StudyFile::Options options{.silence_s = 0.2, .beat_s = 1000};
  StudyFile theirs(path(), make_key(), options);
  const StudyFile::Claim lost = theirs.claim(1, kNumberItself);
  move_elsewhere(path());
  StudyFile mine(path(), make_key(), options);
  EXPECT_EQ(mine.claim(1, kNumberItself).kind, Kind::kWait);
  std::this_thread::sleep_for(std::chrono::milliseconds(250));
  Database(path()).run("UPDATE trial SET beat = beat + 1");
  EXPECT_EQ(mine.claim(1, kNumberItself).kind, Kind::kWait) << "it stirred";
  StudyFile::Claim claim;
  for (int i = 0; i < 100 && claim.kind != Kind::kTrial; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    claim = mine.claim(1, kNumberItself);
  }
  EXPECT_TRUE(claim.was_begun);
  EXPECT_THROW(theirs.report(0, {1, 0.5}, kNever), TrialLost);
  EXPECT_THROW(theirs.finish(end(lost.trial, 1)), TrialLost);
  mine.finish(end(claim.trial, 0.5));
  EXPECT_EQ(mine.trials()[0].values, std::vector<double>{0.5});
}

TEST_F(StudyFileTest, AWorkersHeartBeats) {
  StudyFile study(path(), make_key(), {.silence_s = 120, .beat_s = 0.02});
  study.claim(1, kNumberItself);
  Database database(path());
  const int64_t before = database.integer("SELECT beat FROM trial");
  int64_t now = before;
  for (int i = 0; i < 500 && now < before + 2; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    now = database.integer("SELECT beat FROM trial");
  }
  EXPECT_GE(now, before + 2);
}

TEST_F(StudyFileTest, ManyWorkersTakeEachTrialOnce) {
  constexpr int64_t kTrials = 40;
  std::vector<std::jthread> threads;
  std::mutex mutex;
  std::multiset<int64_t> numbers;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      StudyFile study(path(), make_key());
      while (true) {
        const StudyFile::Claim claim = study.claim(kTrials, kNumberItself);
        if (claim.kind == Kind::kDone) return;
        if (claim.kind == Kind::kWait) continue;
        study.report(claim.trial.number, {1, 0.5}, kNever);
        study.finish(end(claim.trial, 0.5));
        const std::lock_guard lock(mutex);
        numbers.insert(claim.trial.number);
      }
    });
  }
  threads.clear();
  EXPECT_EQ(numbers.size(), static_cast<size_t>(kTrials));
  EXPECT_EQ(std::set<int64_t>(numbers.begin(), numbers.end()).size(), static_cast<size_t>(kTrials));
}

TEST_F(StudyFileTest, AnotherKeyIsRefusedWithTheDifference) {
  { StudyFile study(path(), make_key()); }
  StudyKey key = make_key();
  key.values["alpha"] = 0.25;
  std::string message = message_of(ErrorCode::kBadInput, [&] { StudyFile study(path(), key); });
  EXPECT_NE(message.find("another alpha: 0.5 then, 0.25 now"), std::string::npos) << message;
  key = make_key();
  key.seed = 4;
  message = message_of(ErrorCode::kBadInput, [&] { StudyFile study(path(), key); });
  EXPECT_NE(message.find("another seed: 3 then, 4 now"), std::string::npos) << message;
  key = make_key();
  key.space.parameters[0].high = 50;
  message_of(ErrorCode::kBadInput, [&] { StudyFile study(path(), key); });
  key = make_key();
  key.goals[0].maximize = false;
  message_of(ErrorCode::kBadInput, [&] { StudyFile study(path(), key); });
}

TEST_F(StudyFileTest, OtherFilesAreLeftAsTheyAre) {
  const auto refuse = [&](const std::string& part) {
    const std::string before = read_file(path());
    const std::string message = message_of(ErrorCode::kBadInput, [&] { StudyFile study(path(), make_key()); });
    EXPECT_NE(message.find(part), std::string::npos) << message;
    EXPECT_EQ(read_file(path()), before);
  };
  write_file(path(), "text,label\nlamp on,light\n");
  refuse("no SQLite file");
  write_file(path(), std::string(5000, 'x'));
  refuse("no SQLite file");
  std::filesystem::remove(path());
  Database(path()).run("CREATE TABLE trials (id INTEGER)");
  refuse("another program");
  std::filesystem::remove(path());
  {
    Database database(path());
    database.run("PRAGMA application_id = 7");
  }
  refuse("another program");
}

TEST_F(StudyFileTest, WhatCannotBeOpenedIsAnIoError) {
  message_of(ErrorCode::kIo, [&] { StudyFile study(folder_ / "nowhere/study.sqlite", make_key()); });
  message_of(ErrorCode::kIo, [&] { StudyFile study(folder_.path(), make_key()); });
}

TEST_F(StudyFileTest, AnotherSchemaIsRefused) {
  { StudyFile study(path(), make_key()); }
  Database(path()).run("ALTER TABLE trial ADD COLUMN more TEXT");
  message_of(ErrorCode::kBadInput, [&] { StudyFile study(path(), make_key()); });
}

TEST_F(StudyFileTest, ContradictoryRowsAreRefused) {
  for (const char* damage : {"UPDATE trial SET state = 'done'", "UPDATE trial SET parameters = '{\"x\": 101}'",
                             "UPDATE trial SET parameters = '{\"y\": 1}'", "UPDATE trial SET parameters = '{'",
                             "UPDATE trial SET results = '[]'", "UPDATE trial SET results = '[1, 2]'",
                             "UPDATE trial SET results = '{}'", "UPDATE trial SET results = '[\"x\"]'",
                             "UPDATE trial SET number = 5", "INSERT INTO intermediate VALUES (9, 1, 1)",
                             "UPDATE study SET key = '[]'", "UPDATE study SET format = 2", "DELETE FROM study"}) {
    std::filesystem::remove(path());
    {
      StudyFile study(path(), make_key());
      const StudyFile::Claim claim = study.claim(1, kNumberItself);
      study.finish(end(claim.trial, 1));
    }
    Database(path()).run(damage);
    SCOPED_TRACE(damage);
    message_of(ErrorCode::kBadInput, [&] { StudyFile(path(), make_key()).trials(); });
  }
}

// Every byte of the file in turn is damaged, in steps: an error of one line, or no harm.
TEST_F(StudyFileTest, DamagedBytesAreErrorsOfOneLine) {
  {
    StudyFile study(path(), make_key());
    for (int i = 0; i < 8; ++i) {
      const StudyFile::Claim claim = study.claim(8, kNumberItself);
      study.report(claim.trial.number, {1, 0.5}, kNever);
      study.finish(end(claim.trial, 1));
    }
  }
  const std::string whole = read_file(path());
  int n_errors = 0;
  for (size_t place = 0; place < whole.size(); place += 211) {
    std::string damaged = whole;
    damaged[place] = static_cast<char>(damaged[place] ^ 0xff);
    const std::filesystem::path copy = folder_ / "copy.sqlite";
    write_file(copy, damaged);
    try {
      StudyFile study(copy, make_key());
      study.claim(9, kNumberItself);
    } catch (const Error& error) {
      ++n_errors;
      EXPECT_TRUE(error.code() == ErrorCode::kBadInput || error.code() == ErrorCode::kIo) << error.what();
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    }
    for (const char* rest : {"copy.sqlite", "copy.sqlite-wal", "copy.sqlite-shm"})
      std::filesystem::remove(folder_ / rest);
  }
  EXPECT_GT(n_errors, 3);
  write_file(path(), std::string_view(whole).substr(0, whole.size() / 2));
  message_of(ErrorCode::kBadInput, [&] { StudyFile(path(), make_key()).trials(); });
}

}  // namespace
}  // namespace fettle
