// Runs attacks against a cluster for a while.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "client/client.h"
#include "cmd/hostile/tally.h"

namespace dqueue::cmd {

struct AttackOptions {
  client::ClientOptions access{};             // servers and key; TLS for gRPC only
  std::vector<std::string> http_addresses{};  // of the same nodes; empty: no attacks over HTTP
  std::string reader_key{};                   // may read all queues; empty: the key of `access`
  std::vector<std::string> attacks{};         // names; empty: all
  std::chrono::milliseconds duration{600000};
};

// INVALID_ARGUMENT: there is no attack of a name. The message has the names.
absl::Status CheckAttacks(const std::vector<std::string>& names);

// Starts a thread for each caller, spread over the nodes, and stops them after the duration, or
// when `stopped` says so: it waits for at most the time that it gets. `tally` counts the calls.
void RunAttacks(const AttackOptions& options,
                const std::function<bool(std::chrono::milliseconds)>& stopped, Tally* tally);

// INTERNAL: an attack was illegal, or never got an answer from a node. Such a run proves nothing.
absl::Status CheckTally(const AttackOptions& options, const Tally& tally);

}  // namespace dqueue::cmd
