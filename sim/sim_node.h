// One simulated machine: a production node::Node on a simulated disk and simulated clocks, polled
// by the world. The machine can be killed, paused, damaged and restarted.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "node/node.h"
#include "raft/invariants.h"
#include "sim/clock.h"
#include "sim/profile.h"
#include "sim/random_stream.h"
#include "storage/testing/fault_file_system.h"

namespace dqueue::sim {

class World;

enum class Death {
  kKill,       // the process ends; written data survives in the page cache
  kPowerLoss,  // unsynced data is kept, lost or torn
};

class SimNode final : public node::PeerTransport, public node::Probe {
 public:
  SimNode(World* world, int number, const node::Options& options, uint64_t seed);
  ~SimNode() override;

  int number() const { return number_; }
  const std::string& name() const { return options_.name; }
  raft::NodeId id() const { return id_; }
  raft::Incarnation incarnation() const { return incarnation_; }
  bool up() const { return node_ != nullptr && !dying_; }
  // The disk stopped after StopDiskAfter(). The process has no further effect; power loss follows.
  bool disk_stopped() const { return disk_->stopped(); }
  // How many times the process was started.
  uint64_t boots() const { return boots_; }
  // The process refused to start because of damage. It stays down.
  bool broken() const { return broken_; }
  // Bit rot or a wipe damaged the disk, so acknowledged data may be missing.
  bool damaged() const { return damaged_; }
  // The disk was wiped, so the node has no vote (R12).
  bool wiped() const { return wiped_; }
  node::Node& node() { return *node_; }
  const node::Node& node() const { return *node_; }
  storage::FaultFileSystem& disk() { return *disk_; }
  NodeClock& clock() { return clock_; }
  const NodeClock& clock() const { return clock_; }
  const node::Options& options() const { return options_; }
  Time LocalNow() const;
  std::string wal_directory() const { return options_.data_dir + "/wal"; }

  // Starts the process if it is down. Retries later if an injected disk fault prevents the start.
  void Boot();
  void Die(Death how, const char* why);
  // A planned restart: drains the node (a leader hands over), closes the log, ends the process and
  // starts it again after `down`.
  void Restart(Duration down);
  void JumpWall(Duration by);
  // The process runs nothing until then, like after SIGSTOP.
  void PauseUntil(Time until);
  // The log thread runs nothing until then.
  void StallLogUntil(Time until);
  // Stops the disk after this many more mutations; power loss follows.
  void StopDiskAfter(uint64_t mutations);
  // Makes the nth call of this kind fail.
  void FailDisk(storage::DiskOp op, uint64_t nth);
  void SetDiskCapacity(uint64_t bytes);
  bool disk_limited() const { return disk_limited_; }
  // Replaces the disk by an empty one. The process must be down.
  void Wipe();
  // Flips one random bit of the stored data. The process must be down. Spares the newest batch of
  // the log: until a later record declares that batch durable, recovery cannot distinguish damage
  // in it from a torn write.
  void FlipRandomBit();
  // After each later Die(), starts the process again after 50 ms plus an exponential time with this
  // mean. 0: no automatic restart.
  void RestartAutomatically(Duration mean) { restart_mean_ = mean; }
  // While set, Boot() does nothing.
  void StayDown(bool stay) { stay_down_ = stay; }
  // Ends the process at the end of the simulation, without notifying other nodes.
  void PowerOff() { Destroy(); }
  // Whether this node has applied, and has durably, a configuration with the current incarnation of
  // `member` (R12).
  bool HasBoundIncarnation(const SimNode& member) const;
  // The same for an incarnation of every member, whichever it is.
  bool HasBoundAllMembers() const;
  // Ends disk errors, stalls and the capacity limit.
  void StopDiskFaults();
  // Whether an injected fault is pending that makes the process fail.
  bool fault_planned() const { return fault_planned_; }

  enum Actor { kLoop, kLog, kSnapshots };
  void RunActor(Actor actor, uint64_t generation);

  // node::PeerTransport
  void Send(raft::NodeId to, std::vector<raft::Message> messages) override;
  void SetPeers(const std::vector<raft::Member>& peers) override;
  // node::Probe
  void AfterStep(const raft::Raft& raft) override;
  void BeforeSend(const raft::Message& message) override;
  void AfterApply(const raft::Entry& entry, uint64_t digest) override;
  void AfterRestore(const raft::SnapshotMeta& meta, uint64_t digest) override;
  void OnGrant(const std::string& job_id, queue::LeaseToken token) override;

 private:
  // The newest configuration that this node has applied and has durably. Requires up().
  std::optional<raft::Configuration> AppliedConfig() const;
  struct Schedule {
    Time at = Time::max();
    uint64_t generation = 0;
  };
  void ScheduleActor(Actor actor, Time at);
  void Wake(Actor actor);
  Duration ActorDelay(Actor actor);
  // The loop is busy for the estimated length of the turn that it had. A turn above the budget
  // breaks the rule "turn".
  void ChargeTurn();
  bool Poll(Actor actor);
  // For each log file, by base name: the offset of the first record that no header declares
  // durable.
  std::map<std::string, uint64_t> UnwitnessedOffsets();
  void Destroy();
  void BootFailed(const absl::Status& status);
  void CloseCleanly(Duration down);
  node::Env MakeEnv();

  World* world_;
  int number_;
  node::Options options_;
  raft::NodeId id_;
  RandomStream random_;
  std::unique_ptr<storage::FaultFileSystem> disk_;
  NodeClock clock_;
  DiskProfile disk_profile_;
  std::unique_ptr<node::Node> node_;
  node::StatusWatch watch_;  // of its keys
  std::unique_ptr<raft::Invariants> invariants_;
  raft::Incarnation incarnation_;
  uint64_t boots_ = 0;
  uint64_t generation_ = 0;
  std::array<Schedule, 3> schedules_;
  Time loop_busy_until_{};  // the loop is in a turn: it is deaf
  Time paused_until_{};
  Time log_stalled_until_{};
  Duration restart_mean_{};
  std::string fatal_;   // the last storage error
  bool dying_ = false;  // it reported a storage error, or is being destroyed
  bool broken_ = false;
  bool damaged_ = false;
  bool wiped_ = false;
  bool fault_planned_ = false;
  bool disk_limited_ = false;
  bool stay_down_ = false;
  bool restarting_ = false;  // a planned restart is in progress
};

}  // namespace dqueue::sim
