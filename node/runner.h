// Runs a Node with real threads and real time: one thread each for the loop, the log and the
// snapshots.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "node/node.h"

namespace dqueue::node {

class NodeRunner {
 public:
  // Opens the node and starts its threads. `peers` must outlive the runner. A storage error after
  // the start logs and ends the process with exit code 74.
  static absl::StatusOr<std::unique_ptr<NodeRunner>> Start(const Options& options,
                                                           storage::FileSystem& fs,
                                                           PeerTransport* peers);
  // Stops threads (without Drain) and closes the log.
  virtual ~NodeRunner() = default;
  virtual Node& node() = 0;
  // Drains, waiting at most `limit`.
  virtual void Drain(Duration limit) = 0;
};

// Now on the clock that Node uses.
Time MonotonicNow();

}  // namespace dqueue::node
