// Runs a Node with threads and real time: one thread each for the loop, the log, the snapshots
// and large answers.
// A thread that calls Node::Submit() or Node::Receive() may also run a turn of the loop; one that
// calls Receive() may also write the log.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "node/node.h"

namespace dqueue::node {

class NodeRunner {
 public:
  // Opens the node and starts its threads. Errors: as Node::Open. `fs` and `peers` must outlive the
  // runner; `peers` may be null for a single node. A storage error after the start is logged and
  // ends the process with exit code 74. If options.seed is 0, a random seed is used.
  static absl::StatusOr<std::unique_ptr<NodeRunner>> Start(const Options& options,
                                                           storage::FileSystem& fs,
                                                           PeerTransport* peers);
  // Stops the threads and closes the log. Does not drain.
  virtual ~NodeRunner() = default;
  virtual Node& node() = 0;
  // Calls Node::Drain and waits until it is done, at most `limit`. Not on a thread of the runner.
  virtual void Drain(Duration limit) = 0;
};

// The current time of the clock that NodeRunner passes to Node (std::chrono::steady_clock).
Time MonotonicNow();

}  // namespace dqueue::node
