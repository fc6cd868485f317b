// Shared by the atomic file and the atomic folder: names beside the target, what killed processes left there, syncing.
#pragma once

#include <filesystem>

namespace fettle {

// A fresh name in the target's folder: ".NAME.PID-COUNTER.tmp" for what is being made.
std::filesystem::path temporary_sibling(const std::filesystem::path& target);
// ".NAME.PID-COUNTER.old" for what stood at the target and makes room.
std::filesystem::path aside_sibling(const std::filesystem::path& target);

// Marks an open temporary as in use, until the descriptor is closed or the process dies. False when somebody else took
// it for abandoned meanwhile: then it must not be used.
bool claim_temporary(int fd);
// Removes the target's temporaries that no living process has claimed. What makes room is kept while there is no
// target, because it may be the only copy.
void remove_abandoned(const std::filesystem::path& target);

// The folder that holds the path's last component; "." for a bare name.
std::filesystem::path folder_of(const std::filesystem::path& path);
// fsync, again after EINTR; -1 and errno on failure.
int sync_descriptor(int fd);
// Makes renames inside the folder durable. Error kIo.
void sync_folder(const std::filesystem::path& folder);
// Syncs one file. Error kIo.
void sync_file(const std::filesystem::path& path);

}  // namespace fettle
