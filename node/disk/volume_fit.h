// Sizes that follow the volume of the data directory, so that a small volume works with default
// flags and a large one is used well.
#pragma once

#include <cstdint>
#include <string>

#include "node/node.h"

namespace dqueue::node {

// Sets those of reserve_bytes, snapshot_log_bytes and log.segment_bytes that are 0. With
// log.segment_bytes it also sets log.prepared_segments and trailing_log_bytes. docs/storage.md has
// the table.
void FitToVolume(uint64_t volume_bytes, Options* options);

// Empty, or a warning: the volume cannot hold the reserve and the log's segments.
std::string VolumeProblem(uint64_t volume_bytes, const Options& options);

}  // namespace dqueue::node
