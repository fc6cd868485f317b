#include "base/file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <fstream>

#include "base/error.h"
#include "base/scratch_folder.h"

namespace fettle {
namespace {

void put(const std::filesystem::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
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

TEST(MappedFile, ShowsTheBytes) {
  const ScratchFolder folder;
  std::string text(100000, 'x');
  text[99999] = '\0';
  put(folder / "a", text);
  const auto file = MappedFile::open(folder / "a");
  ASSERT_EQ(file->bytes().size(), text.size());
  EXPECT_EQ(std::memcmp(file->bytes().data(), text.data(), text.size()), 0);
  EXPECT_EQ(file->path(), (folder / "a").string());
}

TEST(MappedFile, EmptyFileGivesEmptyBytes) {
  const ScratchFolder folder;
  put(folder / "empty", "");
  EXPECT_TRUE(MappedFile::open(folder / "empty")->bytes().empty());
}

TEST(MappedFile, OutlivesItsName) {
  const ScratchFolder folder;
  put(folder / "a", "hello");
  const auto file = MappedFile::open(folder / "a");
  std::filesystem::remove(folder / "a");
  EXPECT_EQ(std::memcmp(file->bytes().data(), "hello", 5), 0);
}

TEST(MappedFile, DroppedPagesAreReadAgain) {
  const ScratchFolder folder;
  std::string text;
  for (int i = 0; i < 50000; ++i) text += static_cast<char>(i % 251);
  put(folder / "a", text);
  const auto file = MappedFile::open(folder / "a");
  const std::byte* data = file->bytes().data();
  file->drop_pages(data, text.size());
  file->drop_pages(data + 5000, 20000);
  file->drop_pages(data + 1, 2);
  file->drop_pages(data + 49999, 1000);  // reaches past the end: nothing happens
  file->drop_pages(&text, 100);          // not of this file
  EXPECT_EQ(std::memcmp(data, text.data(), text.size()), 0);
}

// A FIFO must be refused at once and not block until somebody writes.
TEST(File, OnlyRegularFilesAreRead) {
  const ScratchFolder folder;
  ASSERT_EQ(::mkfifo((folder / "fifo").c_str(), 0600), 0);
  std::filesystem::create_symlink("loop", folder / "loop");
  for (const std::filesystem::path& path :
       {folder / "fifo", folder.path(), std::filesystem::path("/dev/zero"), std::filesystem::path("/dev/null"),
        folder / "absent", folder / "loop", folder / "absent" / "x", std::filesystem::path()}) {
    EXPECT_EQ(code_of([&] { MappedFile::open(path); }), ErrorCode::kIo) << path;
    EXPECT_EQ(code_of([&] { read_file(path); }), ErrorCode::kIo) << path;
  }
}

// In a child that is nobody, because the superuser may read everything.
TEST(File, UnreadableFileIsIoError) {
  const ScratchFolder folder;
  put(folder / "a", "x");
  ASSERT_EQ(::chmod(folder.path().c_str(), 0711), 0);
  ASSERT_EQ(::chmod((folder / "a").c_str(), 0), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    if (::geteuid() == 0 && ::seteuid(65534) != 0) ::_exit(1);
    ::_exit(code_of([&] { read_file(folder / "a"); }) == ErrorCode::kIo ? 7 : 2);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 7);
}

TEST(ReadFile, WholeFileUpToTheLimit) {
  const ScratchFolder folder;
  for (const size_t n : {size_t{0}, size_t{1}, size_t{4095}, size_t{4096}, size_t{4097}, size_t{3000000}}) {
    const std::string text(n, 'q');
    put(folder / "a", text);
    EXPECT_EQ(read_file(folder / "a"), text);
    EXPECT_EQ(read_file(folder / "a", static_cast<int64_t>(n)), text);
    if (n > 0) {
      EXPECT_EQ(code_of([&] { read_file(folder / "a", static_cast<int64_t>(n) - 1); }), ErrorCode::kBadInput);
    }
  }
}

// Files of /proc say that they are empty and are not.
TEST(ReadFile, SizeIsOnlyAHint) {
  EXPECT_GT(read_file("/proc/self/status").size(), 100u);
  EXPECT_EQ(code_of([] { read_file("/proc/self/status", 10); }), ErrorCode::kBadInput);
}

TEST(SizeOnDisk, FilesAndFolders) {
  const ScratchFolder folder;
  std::filesystem::create_directories(folder / "a/b");
  put(folder / "a/one", "12345");
  put(folder / "a/b/two", "123");
  EXPECT_EQ(size_on_disk(folder / "a/one"), 5);
  EXPECT_EQ(size_on_disk(folder.path()), 8);
  EXPECT_EQ(code_of([&] { size_on_disk(folder / "absent"); }), ErrorCode::kIo);
}

}  // namespace
}  // namespace fettle
