// What one run is made of: sizes, faults and load, drawn from the seed ("swarm": each feature is
// off in half of the runs, so that the rest is seen alone and in all mixtures) or taken from a
// name.
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
  Duration delay_mean = 300us;  // added to the minimum, exponential
  double tail = 0;              // share of frames that are delayed by another tail_mean
  Duration tail_mean = 50ms;
  double loss = 0;
  double duplicate = 0;
  double drop_in_flight = 0.7;   // chance that a cut also takes a frame that is under way
  bool fifo = true;              // each link keeps its order, as one TCP connection does
  double disconnect_notice = 1;  // chance that a peer learns of a crash or cut
  double client_loss = 0;        // of requests and of answers
};

struct DiskProfile {
  Duration sync_min = 60us;
  Duration sync_mean = 200us;
  double stall = 0;  // share of syncs that take another stall_mean
  Duration stall_mean = 500ms;
};

struct ClockProfile {
  int drift_ppm = 0;           // each node's rate is within ± of this
  Duration wall_spread = 0us;  // each node's wall clock is off by up to ± this
};

// Rates are events per virtual second over the whole cluster.
struct FaultProfile {
  double kill = 0;        // the process dies, the page cache survives
  double power_loss = 0;  // what was not synced is lost or torn
  double power_loss_all = 0;
  double crash_in_write = 0;  // power is lost between two disk operations
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
  double bit_rot = 0;  // of a minority; on a node that is down
  double wipe = 0;     // of a minority
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
  Duration think_mean = 300ms;  // of each client, between two operations
  int queues = 2;
  int batch_max = 3;
  uint64_t payload_max = 300;
  // Producers. Shares of calls or jobs.
  double own_ids = 0.6;
  double request_ids = 0.5;
  double all_or_nothing = 0;
  double repeat = 0;    // an earlier job again, same content
  double conflict = 0;  // an earlier id with other content
  double idempotency = 0;
  double delayed = 0;
  double expiring = 0;
  double prioritised = 0;
  double short_retention = 0;
  double limited_retries = 0;
  double invalid = 0;
  double retry_unknown = 0.8;
  // Workers. Shares of jobs.
  Duration lease = 2s;
  Duration hold_mean = 300ms;
  int lease_batch_max = 4;
  Duration wait_max = 2s;
  double fail = 0;
  double reject = 0;
  double release = 0;
  double extend = 0;
  double abandon = 0;  // the worker forgets the job
  double zombie = 0;   // completes long after its lease
  double complete_twice = 0;
  double repeat_lease_call = 0;
  double wrong_token = 0;
  // Operators. Weights.
  double cancel = 1;
  double retry = 1;
  double read = 4;
  double pause = 0;
  double resume = 0;
  double remove = 0;
  double purge = 0;
  double redrive = 0;
  // Keys, and callers with keys for some queues only.
  int key_operators = 0;
  int tenants = 0;
  double restricted = 0;  // share of producers and workers
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
  // Chance that a promise is checked against the disk when it is sent.
  double durability_check = 0.02;
  // One line for people: what is on.
  std::string Summary() const;
};

// Names of MakeProfile; the first is the default.
const std::vector<std::string_view>& ProfileNames();
// nullopt: unknown name.
std::optional<Profile> MakeProfile(std::string_view name, uint64_t seed);
// The tiny sizes with which everything that is rare happens often.
node::Options SmallNodeOptions();

}  // namespace dqueue::sim
