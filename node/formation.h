// How a data directory becomes a member's: checks whose it is, forms a new cluster when asked to,
// and opens its log.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "node/node.h"
#include "raft/config.h"
#include "storage/log/log.h"

namespace dqueue::node {

// The id of a cluster that is formed by these members: the same on each of them. A member alone
// adds its incarnation.
raft::ClusterId ClusterIdOf(const raft::Configuration& config, raft::Incarnation incarnation);

// The configuration that the options name (only this node if they name none). INVALID_ARGUMENT:
// duplicate or missing names, too many members, or two names with the same hash.
absl::StatusOr<raft::Configuration> ConfigurationOf(const Options& options);

struct OpenedLog {
  std::unique_ptr<storage::Log> log;
  storage::RecoveredLog recovered;
  bool formed = false;  // a new cluster
};
// Errors as Node::Open.
absl::StatusOr<OpenedLog> OpenOrFormLog(const Options& options, storage::FileSystem& fs,
                                        uint64_t incarnation_seed);

}  // namespace dqueue::node
