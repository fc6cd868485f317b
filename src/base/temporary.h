// Shared by the atomic file and the atomic folder: names beside the target, and syncing.
#pragma once

#include <filesystem>

namespace fettle {

// A fresh name in the target's folder: ".NAME.PID-COUNTER.tmp".
std::filesystem::path temporary_sibling(const std::filesystem::path& target);
// The folder that holds the path's last component; "." for a bare name.
std::filesystem::path folder_of(const std::filesystem::path& path);
// fsync, again after EINTR; -1 and errno on failure.
int sync_descriptor(int fd);
// Makes renames inside the folder durable. Error kIo.
void sync_folder(const std::filesystem::path& folder);
// Syncs one file. Error kIo.
void sync_file(const std::filesystem::path& path);

}  // namespace fettle
