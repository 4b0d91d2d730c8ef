// The parameters of one run: sizes, fault rates and load. All are drawn from the seed. A named
// profile other than "swarm" then overrides some of them. The draw is a swarm (swarm testing):
// about half of the features are off in each run, so each feature is tested alone and in
// combinations.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "node/node.h"
#include "raft/types.h"

namespace dqueue::sim {

using namespace std::chrono_literals;

struct NetworkProfile {
  Duration delay_min = 100us;
  Duration delay_mean = 300us;  // exponential, added to delay_min
  double tail = 0;              // share of frames with an additional delay, tail_mean on average
  Duration tail_mean = 50ms;
  double loss = 0;
  double duplicate = 0;
  double drop_in_flight = 0.7;   // probability that a cut drops a frame in flight
  bool fifo = true;              // each link delivers in order, like one TCP connection
  double disconnect_notice = 1;  // probability that a peer is notified of a crash or a cut
  double client_loss = 0;        // share of client requests, and of answers, that are lost
};

struct DiskProfile {
  Duration sync_min = 60us;
  Duration sync_mean = 200us;
  double stall = 0;  // share of syncs with an additional delay, stall_mean on average
  Duration stall_mean = 500ms;
};

struct ClockProfile {
  int drift_ppm = 0;           // each node's clock rate is off by up to ± this
  Duration wall_spread = 0us;  // each node's wall clock is off by up to ± this
};

// Rates are events per virtual second over the whole cluster.
struct FaultProfile {
  double kill = 0;        // the process ends; the page cache survives
  double power_loss = 0;  // unsynced data is kept, lost or torn
  double power_loss_all = 0;
  double crash_in_write = 0;  // power loss between two disk operations
  double planned_restart = 0;
  double pause = 0;
  double cut = 0;
  double flap = 0;
  double spurious_disconnect = 0;
  double client_cut = 0;  // clients cannot reach one node
  double wall_jump = 0;
  double disk_full = 0;
  double sync_error = 0;
  double read_error = 0;
  double bit_rot = 0;  // stops a node and flips a bit on its disk; a minority of nodes at most
  double wipe = 0;     // stops a node and empties its disk; a minority of nodes at most
  Duration down_mean = 2s;
  Duration pause_mean = 1s;
  Duration cut_mean = 3s;
  Duration full_mean = 3s;
  Duration jump_max = 10s;
};

struct LoadProfile {
  int producers = 2;
  int workers = 3;
  int operators = 1;
  Duration think_mean = 300ms;  // each client's pause between two operations
  int queues = 2;
  int batch_max = 3;
  uint64_t payload_max = 300;
  // Producers: shares of calls or jobs.
  double own_ids = 0.6;
  double request_ids = 0.5;
  double all_or_nothing = 0;
  double repeat = 0;    // enqueue an earlier job again, unchanged
  double conflict = 0;  // use the id of an earlier job with other content
  double idempotency = 0;
  double delayed = 0;
  double expiring = 0;
  double prioritised = 0;
  double short_retention = 0;
  double limited_retries = 0;
  double invalid = 0;
  double retry_unknown = 0.8;
  // Workers: shares of jobs.
  Duration lease = 2s;
  Duration hold_mean = 300ms;
  int lease_batch_max = 4;
  Duration wait_max = 2s;
  double fail = 0;
  double reject = 0;
  double release = 0;
  double extend = 0;
  double abandon = 0;  // never completed by this worker
  double zombie = 0;   // completed or failed long after the lease ended
  double complete_twice = 0;
  double repeat_lease_call = 0;
  double wrong_token = 0;
  // Operators: weights of their operations.
  double cancel = 1;
  double retry = 1;
  double read = 4;
  double pause = 0;
  double resume = 0;
  double remove = 0;
  double purge = 0;
  double redrive = 0;
  // API keys.
  int key_operators = 0;
  int tenants = 0;
  double restricted = 0;  // share of producers and workers whose key allows some queues only
};

struct Profile {
  std::string name;
  int nodes = 3;
  Duration safety = 20s;
  NetworkProfile network;
  DiskProfile disk;
  ClockProfile clock;
  FaultProfile faults;
  LoadProfile load;
  node::Options node;  // name, directory, members and seed are filled in for each node
  // Probability that DurabilityChecker checks a message against the disk.
  double durability_check = 0.02;
  // One line: the name, the number of nodes and the rates that are not 0.
  std::string Summary() const;
};

// The names that MakeProfile accepts. The first is the default.
const std::vector<std::string_view>& ProfileNames();
// Returns nullopt if the name is unknown.
std::optional<Profile> MakeProfile(std::string_view name, uint64_t seed);
// Small segments, batches, windows and snapshots, so that rare code paths run often.
node::Options SmallNodeOptions();

}  // namespace dqueue::sim
