// One machine: a production node::Node on its own disk and clocks, polled by the world, that can be
// killed, paused, damaged and started again.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
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
  kKill,       // the process only: what was written stays in the page cache
  kPowerLoss,  // what was not synced is kept, lost or torn
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
  // The machine has stopped in the middle of something and only looks alive.
  bool disk_stopped() const { return disk_->stopped(); }
  // Starts of the process so far.
  uint64_t boots() const { return boots_; }
  // Refused to start because of damage; stays down.
  bool broken() const { return broken_; }
  // Bit rot or a wipe: not a member that the others can count on any more.
  bool damaged() const { return damaged_; }
  // It has lost its vote for ever (R12).
  bool wiped() const { return wiped_; }
  node::Node& node() { return *node_; }
  const node::Node& node() const { return *node_; }
  storage::FaultFileSystem& disk() { return *disk_; }
  NodeClock& clock() { return clock_; }
  const NodeClock& clock() const { return clock_; }
  const node::Options& options() const { return options_; }
  Time LocalNow() const;
  std::string wal_directory() const { return options_.data_dir + "/wal"; }

  // Starts the process if it is down. If the disk makes that impossible for now, it tries again
  // later by itself.
  void Boot();
  void Die(Death how, const char* why);
  // Hands leadership over if it can, closes the log and ends; starts again after `down`.
  void Restart(Duration down);
  void PauseUntil(Time until);
  // Writes to the log take until then.
  void StallLogUntil(Time until);
  // The disk will stop after that many more mutations; then power is lost.
  void StopDiskAfter(uint64_t mutations);
  // One call of this kind will fail.
  void FailDisk(storage::DiskOp op, uint64_t nth);
  void SetDiskCapacity(uint64_t bytes);
  bool disk_limited() const { return disk_limited_; }
  // An empty disk, under the same name. The process must be down.
  void Wipe();
  // Flips one random bit of what is on the disk. The process must be down. Spares the log's newest
  // batch: as long as no later record says that it was durable, damage in it cannot be told from a
  // torn write.
  void Rot();
  // From now on a death is followed by a start after a random time around `mean`; 0: not.
  void RestartAutomatically(Duration mean) { restart_mean_ = mean; }
  // Does not start again, whoever asks.
  void StayDown(bool stay) { stay_down_ = stay; }
  // Ends the process without anybody being told: the simulation is over.
  void PowerOff() { Destroy(); }
  // Whether this node's log, as far as it is committed and durable, binds the incarnation of
  // `member` (R12).
  bool Knows(const SimNode& member) const;
  // No more disk errors or stalls; unlimited capacity.
  void CalmDisk();
  // Whether a failure of the product is what an injected fault must lead to.
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
  struct Schedule {
    Time at = Time::max();
    uint64_t generation = 0;
  };
  void ScheduleActor(Actor actor, Time at);
  void Wake(Actor actor);
  Duration ActorDelay(Actor actor);
  bool Poll(Actor actor);
  // By file name: where the records begin that no other record calls durable.
  std::map<std::string, uint64_t> UnwitnessedFrom();
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
  std::unique_ptr<raft::Invariants> invariants_;
  raft::Incarnation incarnation_;
  uint64_t boots_ = 0;
  uint64_t generation_ = 0;
  std::array<Schedule, 3> schedules_;
  Time paused_until_{};
  Time log_stalled_until_{};
  Duration restart_mean_{};
  std::string fatal_;   // the last storage error
  bool dying_ = false;  // reported a storage error, or the machine stopped
  bool broken_ = false;
  bool damaged_ = false;
  bool wiped_ = false;
  bool fault_planned_ = false;
  bool disk_limited_ = false;
  bool stay_down_ = false;
  bool restarting_ = false;  // a planned restart runs
};

}  // namespace dqueue::sim
