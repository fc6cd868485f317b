#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/os.h"
#include "base/temporary.h"

namespace fettle {
namespace {

namespace fs = std::filesystem;

bool name_taken(const fs::path& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0;
}

// An absolute path without a trailing slash, so that siblings can be named.
fs::path normalized(const fs::path& target) {
  if (target.empty()) usage_error("output", "the path of the folder is empty");
  fs::path path = fs::absolute(target).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  if (!path.has_filename()) usage_error(target.string(), "is no place for an output folder");
  return path;
}

// Replacing a folder removes what it holds: never the current folder or one above it.
void refuse_ancestor_of_current(const fs::path& target) {
  std::error_code ignored;
  const fs::path current = fs::current_path(ignored);
  const fs::path resolved = fs::weakly_canonical(target, ignored);
  for (fs::path above = current; above.has_relative_path(); above = above.parent_path()) {
    if (above == resolved) usage_error(target.string(), "holds the current folder and would be removed");
  }
}

void require_target_free(const fs::path& target, bool replace) {
  if (!name_taken(target)) return;
  if (!replace) usage_error(target.string(), "exists already", "give another folder, or --force to replace it");
  if (fs::is_symlink(target)) usage_error(target.string(), "is a symbolic link, which is not replaced");
  if (!fs::is_directory(fs::symlink_status(target))) usage_error(target.string(), "exists and is not a folder");
  refuse_ancestor_of_current(target);
}

void sync_tree(const fs::path& folder) {
  std::vector<fs::path> folders = {folder};
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const auto kind = entry.symlink_status().type();
    if (kind == fs::file_type::regular) sync_file(entry.path());
    if (kind == fs::file_type::directory) folders.push_back(entry.path());
  }
  for (const fs::path& path : folders) sync_folder(path);
}

void remove_quietly(const fs::path& path) {
  std::error_code ignored;
  fs::remove_all(path, ignored);
}

// Puts `fresh` in the place of `target`, which exists; what stood there is at the returned path afterwards.
fs::path swap_in(const fs::path& fresh, const fs::path& target) {
  if (os().exchange(fresh.c_str(), target.c_str()) == 0) return fresh;
  const fs::path aside = aside_sibling(target);
  if (os().rename(target.c_str(), aside.c_str()) != 0) io_error_from(target.string(), "cannot move aside", errno);
  if (os().rename(fresh.c_str(), target.c_str()) == 0) return aside;
  const int error = errno;
  if (os().rename(aside.c_str(), target.c_str()) != 0) {
    io_error_from(target.string(), "cannot be replaced; its old state is at " + aside.string(), error);
  }
  io_error_from(target.string(), "cannot be replaced", error);
}

}  // namespace

void check_output_folder(const fs::path& target, bool replace) {
  const fs::path path = normalized(target);
  require_target_free(path, replace);
  const fs::path parent = path.parent_path();
  if (::access(parent.c_str(), W_OK | X_OK) != 0) {
    io_error_from(target.string(), "cannot be made in " + parent.string(), errno);
  }
}

AtomicFolder::AtomicFolder(fs::path target, bool replace) : target_(normalized(target)), replace_(replace) {
  require_target_free(target_, replace_);
  remove_abandoned(target_);
  while (true) {
    const fs::path fresh = temporary_sibling(target_);
    if (::mkdir(fresh.c_str(), 0777) != 0) {
      if (errno == EEXIST) continue;
      io_error_from(target_.string(), "cannot create", errno);
    }
    claim_fd_ = ::open(fresh.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (claim_fd_ >= 0 && claim_temporary(claim_fd_)) {
      temporary_ = fresh;
      return;
    }
    const int error = errno;
    if (claim_fd_ < 0 && error != ENOENT) {
      remove_quietly(fresh);
      io_error_from(target_.string(), "cannot create", error);
    }
    release_claim();
  }
}

void AtomicFolder::release_claim() {
  if (claim_fd_ >= 0) ::close(std::exchange(claim_fd_, -1));
}

AtomicFolder::~AtomicFolder() {
  if (!temporary_.empty()) remove_quietly(temporary_);
  release_claim();
}

void AtomicFolder::commit() {
  if (temporary_.empty()) failed(target_.string(), "committed twice");
  try {
    sync_tree(temporary_);
  } catch (const fs::filesystem_error& error) {
    io_error_from(target_.string(), "cannot write to disk", error.code().value());
  }
  require_target_free(target_, replace_);
  fs::path old;
  if (name_taken(target_)) {
    old = swap_in(temporary_, target_);
  } else if (os().rename(temporary_.c_str(), target_.c_str()) != 0) {
    io_error_from(target_.string(), "cannot rename the finished folder", errno);
  }
  temporary_.clear();
  release_claim();
  sync_folder(folder_of(target_));
  if (!old.empty()) remove_quietly(old);
}

}  // namespace fettle
