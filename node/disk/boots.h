// The starts of a node with one data directory, in the file DATA/boots. They show the other members
// when a directory went back in time (rule R13 of raft/raft.h). Format: docs/storage.md.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "raft/types.h"
#include "storage/files/file_system.h"

namespace dqueue::node {

// Starts that the file keeps; the oldest are dropped.
inline constexpr size_t kBootsKept = 256;

// Adds a start with the random `mark` to the starts of `incarnation`, and returns all, oldest
// first. The file is durable on return. A file of another incarnation counts as none. If the disk
// is full, nothing is added: a full disk must not prevent a start. DATA_LOSS: the file is damaged;
// the message says what to do.
absl::StatusOr<std::vector<raft::Boot>> AddBoot(storage::FileSystem& fs,
                                                const std::string& data_dir,
                                                raft::Incarnation incarnation, uint64_t mark);

// The mark that a node leaves in DATA/went-back before it stops for ever: `text` says why.
absl::Status MarkWentBack(storage::FileSystem& fs, const std::string& data_dir,
                          const std::string& text);
// DATA_LOSS with that text if the mark is there.
absl::Status CheckWentBack(storage::FileSystem& fs, const std::string& data_dir);

}  // namespace dqueue::node
