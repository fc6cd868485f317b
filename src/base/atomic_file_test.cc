#include <gtest/gtest.h>
#include <sys/resource.h>
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

// The message of the error that writing `text` over `path` gives; "" when it works.
std::string write_error(const fs::path& path, const std::string& text) {
  try {
    write_file(path, text);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kIo);
    return error.what();
  }
  return "";
}

TEST(AtomicFile, AppearsOnlyAtCommit) {
  const ScratchFolder folder;
  write_file(folder / "a", "old");
  {
    AtomicFile file(folder / "a");
    file.write("new");
    EXPECT_EQ(read_file(folder / "a"), "old");
    file.commit();
    EXPECT_EQ(read_file(folder / "a"), "new");
  }
  EXPECT_EQ(n_entries(folder.path()), 1);
}

TEST(AtomicFile, WithoutCommitNothingRemains) {
  const ScratchFolder folder;
  write_file(folder / "a", "old");
  {
    AtomicFile file(folder / "a");
    file.write(std::string(3 << 20, 'x'));
    EXPECT_EQ(n_entries(folder.path()), 2);
  }
  EXPECT_EQ(read_file(folder / "a"), "old");
  EXPECT_EQ(n_entries(folder.path()), 1);
}

TEST(AtomicFile, SmallAndLargeWritesKeepTheirOrder) {
  const ScratchFolder folder;
  AtomicFile file(folder / "a");
  std::string expected;
  Philox random(1);
  for (int i = 0; i < 60; ++i) {
    const std::string piece(random.below(i % 10 == 0 ? 2500000 : 5000), static_cast<char>('a' + i % 26));
    file.write(piece);
    expected += piece;
  }
  file.commit();
  EXPECT_TRUE(read_file(folder / "a") == expected);
}

TEST(AtomicFile, WritesAfterCommitAreRefused) {
  const ScratchFolder folder;
  AtomicFile file(folder / "a");
  file.commit();
  EXPECT_EQ(read_file(folder / "a"), "");
  EXPECT_THROW(file.write("x"), Error);
  EXPECT_THROW(file.commit(), Error);
}

TEST(AtomicFile, LongNamesAndBareNamesWork) {
  const ScratchFolder folder;
  const std::string name(255, 'n');
  write_file(folder / name, "x");
  EXPECT_EQ(read_file(folder / name), "x");
  const fs::path before = fs::current_path();
  fs::current_path(folder.path());
  write_file("bare", "y");
  fs::current_path(before);
  EXPECT_EQ(read_file(folder / "bare"), "y");
}

// Renaming over a device as the superuser would replace it.
TEST(AtomicFile, RefusesWhatIsNoRegularFile) {
  const ScratchFolder folder;
  EXPECT_NE(write_error(folder.path(), "x").find("is a folder"), std::string::npos);
  EXPECT_NE(write_error("/dev/full", "x").find("is not a regular file"), std::string::npos);
  EXPECT_NE(write_error(folder / "absent" / "x", "x").find("No such file or directory"), std::string::npos);
}

TEST(AtomicFile, ShortWritesAndInterruptionsAreCompleted) {
  const ScratchFolder folder;
  const std::string text(5000, 'z');
  FaultyOs faulty;
  faulty.max_write_bytes = 7;
  faulty.write_fault = {.after = 3, .error = EINTR, .times = 5};
  faulty.fsync_fault = {.after = 0, .error = EINTR, .times = 2};
  faulty.close_fault = {.after = 0, .error = EINTR};
  EXPECT_EQ(write_error(folder / "a", text), "");
  EXPECT_GT(faulty.n_writes, 700);
  EXPECT_EQ(read_file(folder / "a"), text);
}

struct FaultCase {
  const char* name;
  FaultyOs::Fault FaultyOs::*fault;
  int error;
};

class AtomicFileFaults : public ::testing::TestWithParam<FaultCase> {};
INSTANTIATE_TEST_SUITE_P(Kinds, AtomicFileFaults,
                         ::testing::Values(FaultCase{"open", &FaultyOs::open_fault, EMFILE},
                                           FaultCase{"write", &FaultyOs::write_fault, ENOSPC},
                                           FaultCase{"write_eio", &FaultyOs::write_fault, EIO},
                                           FaultCase{"fsync", &FaultyOs::fsync_fault, EIO},
                                           FaultCase{"close", &FaultyOs::close_fault, EDQUOT},
                                           FaultCase{"rename", &FaultyOs::rename_fault, EXDEV}),
                         [](const auto& info) { return info.param.name; });

TEST_P(AtomicFileFaults, LeaveTheOldFileAndNoTemporary) {
  const ScratchFolder folder;
  write_file(folder / "a", "old");
  FaultyOs faulty;
  faulty.*GetParam().fault = {.after = 0, .error = GetParam().error};
  const std::string message = write_error(folder / "a", std::string(3 << 20, 'n'));
  EXPECT_NE(message.find(std::strerror(GetParam().error)), std::string::npos) << message;
  EXPECT_EQ(message.find((folder / "a").string() + ": "), 0u) << message;
  EXPECT_EQ(read_file(folder / "a"), "old");
  EXPECT_EQ(n_entries(folder.path()), 1);
}

TEST(AtomicFile, FullDiskIsSaid) {
  const ScratchFolder folder;
  FaultyOs faulty;
  faulty.max_write_bytes = 1000;
  faulty.write_fault = {.after = 5, .error = ENOSPC};
  EXPECT_NE(write_error(folder / "a", std::string(100000, 'n')).find("the disk is full"), std::string::npos);
}

// A write of the kernel's own that fails: the file size limit stands in for a full disk.
TEST(AtomicFile, KernelLimitOnFileSize) {
  const ScratchFolder folder;
  const pid_t child = ::fork();
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{4096, 4096};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    try {
      write_file(folder / "a", std::string(3 << 20, 'x'));
    } catch (const Error& error) {
      ::_exit(error.code() == ErrorCode::kIo ? 7 : 8);
    }
    ::_exit(9);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 7);
  EXPECT_EQ(n_entries(folder.path()), 0);
}

TEST(AtomicFile, SyncsTheFileAndItsFolder) {
  const ScratchFolder folder;
  FaultyOs faulty;
  write_file(folder / "a", "x");
  EXPECT_EQ(faulty.n_fsyncs, 2);
}

TEST(AtomicFile, FoldersThatCannotBeSyncedAreNoError) {
  const ScratchFolder folder;
  FaultyOs faulty;
  faulty.fsync_fault = {.after = 1, .error = EINVAL};
  EXPECT_EQ(write_error(folder / "a", "x"), "");
}

TEST(AtomicFile, TwoWritersDoNotDisturbEachOther) {
  const ScratchFolder folder;
  AtomicFile first(folder / "a");
  first.write("first");
  AtomicFile second(folder / "a");
  second.write("second");
  first.commit();
  EXPECT_EQ(read_file(folder / "a"), "first");
  second.commit();
  EXPECT_EQ(read_file(folder / "a"), "second");
  EXPECT_EQ(n_entries(folder.path()), 1);
}

TEST(AtomicFile, ForeignFilesOfSimilarNameStay) {
  const ScratchFolder folder;
  for (const char* name :
       {".a.tmp", ".a.1-2.bak", ".a.x-2.tmp", ".a.12.tmp", ".ab.1-2.tmp", "a.1-2.tmp", ".a.1-2.old"}) {
    write_file(folder / name, "mine");
  }
  write_file(folder / "a", "x");
  EXPECT_EQ(n_entries(folder.path()), 8);
}

// kill -9 at random points: the file is the old or the new one, whole, and the next writer clears what was left behind.
TEST(AtomicFile, SurvivesKillAtRandomPoints) {
  const ScratchFolder folder;
  const std::string versions[2] = {std::string(300000, 'A'), std::string(200000, 'B')};
  write_file(folder / "a", versions[0]);
  Philox random(3);
  for (int round = 0; round < 40; ++round) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      UnsyncedOs unsynced;
      set_os(&unsynced);
      for (int i = 0;; ++i) write_file(folder / "a", versions[i % 2]);
    }
    ::usleep(static_cast<useconds_t>(random.below(8000)));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    const std::string text = read_file(folder / "a");
    ASSERT_TRUE(text == versions[0] || text == versions[1]) << text.size();
  }
  write_file(folder / "a", "last");
  EXPECT_EQ(n_entries(folder.path()), 1);
}

// Each takes the others' temporaries for what they are until they have their final name.
TEST(AtomicFile, WritersAtOnceAllSucceed) {
  const ScratchFolder folder;
  std::vector<pid_t> children;
  for (int i = 0; i < 4; ++i) {
    children.push_back(::fork());
    if (children.back() != 0) continue;
    UnsyncedOs unsynced;
    bool ok = true;
    for (int n = 0; n < 1000; ++n) ok = ok && write_error(folder / "a", std::string(100, 'x')).empty();
    ::_exit(ok ? 0 : 1);
  }
  for (const pid_t child : children) {
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
  }
  EXPECT_EQ(n_entries(folder.path()), 1);
}

}  // namespace
}  // namespace fettle
