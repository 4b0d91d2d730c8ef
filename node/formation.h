// Opening a data directory: checks that it belongs to this node and cluster, forms a new cluster if
// the options ask for it, and opens the log. Used by Node::Open only, on its thread.
//
// After a crash at any disk operation, the same options can open or form the directory again.
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

// The id of the cluster that these members form. All members compute the same id. The id of a
// cluster of one member also depends on the incarnation, so that no two of them are equal.
raft::ClusterId ClusterIdOf(const raft::Configuration& config, raft::Incarnation incarnation);

// The configuration in Options::members; if that is empty, this node alone. INVALID_ARGUMENT: a
// duplicate name, more than 7 members, two names with the same hash, or this node is missing.
absl::StatusOr<raft::Configuration> ConfigurationOf(const Options& options);

struct OpenedLog {
  std::unique_ptr<storage::Log> log;
  storage::RecoveredLog recovered;
  bool formed = false;  // true: this call formed a new cluster
};
// `incarnation_seed` must differ between two calls that form a cluster. Errors: as Node::Open.
absl::StatusOr<OpenedLog> OpenOrFormLog(const Options& options, storage::FileSystem& fs,
                                        uint64_t incarnation_seed);

}  // namespace dqueue::node
