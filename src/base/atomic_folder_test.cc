#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <string>

#include "base/error.h"
#include "base/faulty_os.h"
#include "base/file.h"
#include "base/philox.h"
#include "base/scratch_folder.h"

namespace fettle {
namespace {

namespace fs = std::filesystem;

int n_entries(const fs::path& folder) {
  int n = 0;
  for ([[maybe_unused]] const auto& entry : fs::directory_iterator(folder)) ++n;
  return n;
}

void make_model(const fs::path& target, const std::string& text, bool replace) {
  AtomicFolder folder(target, replace);
  write_file(folder.path() / "config.json", text);
  fs::create_directory(folder.path() / "1_Pooling");
  write_file(folder.path() / "1_Pooling/config.json", text);
  folder.commit();
}

std::string model_text(const fs::path& target) {
  const std::string text = read_file(target / "config.json");
  EXPECT_EQ(read_file(target / "1_Pooling/config.json"), text);
  return text;
}

template <typename Fn>
ErrorCode code_of(Fn fn) {
  try {
    fn();
  } catch (const Error& error) {
    return error.code();
  }
  ADD_FAILURE() << "no error was thrown";
  return ErrorCode::kFailed;
}

TEST(AtomicFolder, AppearsOnlyAtCommit) {
  const ScratchFolder scratch;
  {
    AtomicFolder folder(scratch / "m", false);
    write_file(folder.path() / "a", "x");
    EXPECT_FALSE(fs::exists(scratch / "m"));
    EXPECT_EQ(folder.path().parent_path(), scratch.path());
    folder.commit();
    EXPECT_EQ(read_file(scratch / "m/a"), "x");
    EXPECT_THROW(folder.commit(), Error);
  }
  EXPECT_EQ(n_entries(scratch.path()), 1);
}

TEST(AtomicFolder, WithoutCommitNothingRemains) {
  const ScratchFolder scratch;
  {
    AtomicFolder folder(scratch / "m", false);
    write_file(folder.path() / "a", "x");
  }
  EXPECT_EQ(n_entries(scratch.path()), 0);
}

TEST(AtomicFolder, ExistingTargetNeedsReplace) {
  const ScratchFolder scratch;
  make_model(scratch / "m", "old", false);
  EXPECT_EQ(code_of([&] { make_model(scratch / "m", "new", false); }), ErrorCode::kUsage);
  EXPECT_EQ(model_text(scratch / "m"), "old");
  make_model(scratch / "m", "new", true);
  EXPECT_EQ(model_text(scratch / "m"), "new");
  make_model(scratch / "fresh", "x", true);
  EXPECT_EQ(n_entries(scratch.path()), 2);
}

TEST(AtomicFolder, ATargetMadeMeanwhileIsNotOverwritten) {
  const ScratchFolder scratch;
  AtomicFolder folder(scratch / "m", false);
  fs::create_directory(scratch / "m");
  EXPECT_EQ(code_of([&] { folder.commit(); }), ErrorCode::kUsage);
}

TEST(AtomicFolder, TrailingSlashAndRelativePaths) {
  const ScratchFolder scratch;
  const fs::path before = fs::current_path();
  fs::current_path(scratch.path());
  make_model("m/", "a", false);
  make_model("./n/../k", "b", false);
  fs::current_path(before);
  EXPECT_EQ(model_text(scratch / "m"), "a");
  EXPECT_EQ(model_text(scratch / "k"), "b");
}

TEST(AtomicFolder, NeverReplacesFilesOrTheCurrentFolder) {
  const ScratchFolder scratch;
  write_file(scratch / "file", "x");
  fs::create_directories(scratch / "outer/inner");
  EXPECT_EQ(code_of([&] { AtomicFolder(scratch / "file", true); }), ErrorCode::kUsage);
  fs::create_directory_symlink("outer", scratch / "link");
  EXPECT_EQ(code_of([&] { AtomicFolder(scratch / "link", true); }), ErrorCode::kUsage);
  EXPECT_EQ(code_of([&] { AtomicFolder("/", true); }), ErrorCode::kUsage);
  EXPECT_EQ(code_of([&] { AtomicFolder("", true); }), ErrorCode::kUsage);
  const fs::path before = fs::current_path();
  fs::current_path(scratch / "outer/inner");
  EXPECT_EQ(code_of([&] { AtomicFolder(".", true); }), ErrorCode::kUsage);
  EXPECT_EQ(code_of([&] { AtomicFolder("..", true); }), ErrorCode::kUsage);
  EXPECT_EQ(code_of([&] { AtomicFolder(scratch / "outer", true); }), ErrorCode::kUsage);
  fs::current_path(before);
  EXPECT_TRUE(fs::exists(scratch / "outer/inner"));
  EXPECT_EQ(code_of([&] { AtomicFolder(scratch / "absent" / "m", true); }), ErrorCode::kIo);
}

TEST(AtomicFolder, FaultsLeaveTheOldFolder) {
  const ScratchFolder scratch;
  make_model(scratch / "m", "old", false);
  for (const auto fault : {&FaultyOs::open_fault, &FaultyOs::fsync_fault, &FaultyOs::write_fault}) {
    for (int after = 0; after < 2; ++after) {
      FaultyOs faulty;
      faulty.*fault = {.after = after, .error = EIO};
      EXPECT_EQ(code_of([&] { make_model(scratch / "m", "new", true); }), ErrorCode::kIo);
      EXPECT_EQ(model_text(scratch / "m"), "old");
      EXPECT_EQ(n_entries(scratch.path()), 1);
    }
  }
}

// File systems without an exchange of names: move aside, rename, remove.
TEST(AtomicFolder, ReplacesWithoutExchange) {
  const ScratchFolder scratch;
  make_model(scratch / "m", "old", false);
  FaultyOs faulty;
  faulty.exchange_fault = {.after = 0, .error = ENOSYS};
  make_model(scratch / "m", "new", true);
  EXPECT_EQ(model_text(scratch / "m"), "new");
  EXPECT_EQ(n_entries(scratch.path()), 1);
}

TEST(AtomicFolder, RestoresTheOldFolderWhenTheRenameFails) {
  const ScratchFolder scratch;
  make_model(scratch / "m", "old", false);
  for (int after = 2; after < 4; ++after) {  // two renames belong to the two files
    FaultyOs faulty;
    faulty.exchange_fault = {.after = 0, .error = EINVAL};
    faulty.rename_fault = {.after = after, .error = EIO};
    EXPECT_EQ(code_of([&] { make_model(scratch / "m", "new", true); }), ErrorCode::kIo);
    EXPECT_EQ(model_text(scratch / "m"), "old");
    EXPECT_EQ(n_entries(scratch.path()), 1);
  }
}

TEST(AtomicFolder, SaysWhereTheOldFolderIsWhenItCannotBeRestored) {
  const ScratchFolder scratch;
  make_model(scratch / "m", "old", false);
  std::string message;
  {
    FaultyOs faulty;
    faulty.exchange_fault = {.after = 0, .error = EINVAL};
    faulty.rename_fault = {.after = 3, .error = EIO, .times = 2};
    try {
      make_model(scratch / "m", "new", true);
    } catch (const Error& error) {
      message = error.what();
    }
  }
  const size_t at = message.find(scratch.path().string(), 1);
  ASSERT_NE(at, std::string::npos) << message;
  EXPECT_EQ(model_text(message.substr(at, message.find(".old") + 4 - at)), "old");
  // A later run must not take the only copy for rubbish.
  make_model(scratch / "m", "new", true);
  EXPECT_EQ(model_text(scratch / "m"), "new");
  EXPECT_EQ(n_entries(scratch.path()), 2);
}

TEST(AtomicFolder, SurvivesKillAtRandomPoints) {
  const ScratchFolder scratch;
  make_model(scratch / "m", std::string(5000, 'A'), false);
  Philox random(5);
  for (int round = 0; round < 30; ++round) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      UnsyncedOs unsynced;
      set_os(&unsynced);
      for (int i = 1;; ++i) make_model(scratch / "m", std::string(5000, i % 2 == 0 ? 'A' : 'B'), true);
    }
    ::usleep(static_cast<useconds_t>(random.below(8000)));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    const std::string text = model_text(scratch / "m");
    ASSERT_TRUE(text == std::string(5000, 'A') || text == std::string(5000, 'B'));
  }
  make_model(scratch / "m", "last", true);
  EXPECT_EQ(n_entries(scratch.path()), 1);
}

}  // namespace
}  // namespace fettle
