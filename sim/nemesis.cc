#include "sim/nemesis.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "sim/sim_node.h"
#include "sim/world.h"

namespace dqueue::sim {

Nemesis::Nemesis(World* world, const FaultProfile& faults)
    : world_(world), faults_(faults), random_(world->seed(), "nemesis") {}

void Nemesis::Start() {
  for (int i = 1; i <= world_->size(); ++i) world_->node(i).RestartAutomatically(faults_.down_mean);
  Repeat(faults_.kill, &Nemesis::Kill);
  Repeat(faults_.power_loss, &Nemesis::PowerLoss);
  Repeat(faults_.power_loss_all, &Nemesis::PowerLossOfAll);
  Repeat(faults_.crash_in_write, &Nemesis::CrashInWrite);
  Repeat(faults_.planned_restart, &Nemesis::PlannedRestart);
  Repeat(faults_.pause, &Nemesis::Pause);
  Repeat(faults_.cut, &Nemesis::Cut);
  Repeat(faults_.flap, &Nemesis::Flap);
  Repeat(faults_.spurious_disconnect, &Nemesis::SpuriousDisconnect);
  Repeat(faults_.client_cut, &Nemesis::ClientCut);
  Repeat(faults_.wall_jump, &Nemesis::WallJump);
  Repeat(faults_.disk_full, &Nemesis::DiskFull);
  Repeat(faults_.sync_error, &Nemesis::SyncError);
  Repeat(faults_.read_error, &Nemesis::ReadError);
  Repeat(faults_.bit_rot, &Nemesis::BitRot);
  Repeat(faults_.wipe, &Nemesis::Wipe);
}

void Nemesis::Repeat(double rate, void (Nemesis::*fault)()) {
  if (rate <= 0) return;
  const Duration mean(static_cast<int64_t>(1e6 / rate));
  world_->After(1ms + random_.Exponential(mean), [this, rate, fault] {
    if (stopped_) return;
    (this->*fault)();
    Repeat(rate, fault);
  });
}

SimNode& Nemesis::AnyNode() {
  // Faults of a leader have the most effects.
  const int leader = world_->Leader();
  if (leader != 0 && random_.Chance(0.4)) return world_->node(leader);
  return world_->node(static_cast<int>(random_.Between(1, world_->size())));
}

bool Nemesis::MayDamage(const SimNode& victim) const {
  if (victim.damaged() || !world_->AllBound()) return false;
  int damaged = 0;
  for (int i = 1; i <= world_->size(); ++i) damaged += world_->node(i).damaged() ? 1 : 0;
  return damaged < (world_->size() - 1) / 2;
}

void Nemesis::Kill() { AnyNode().Die(Death::kKill, "killed"); }

void Nemesis::PowerLoss() { AnyNode().Die(Death::kPowerLoss, "power lost"); }

void Nemesis::PowerLossOfAll() {
  for (int i = 1; i <= world_->size(); ++i) {
    world_->node(i).Die(Death::kPowerLoss, "power lost everywhere");
  }
}

void Nemesis::CrashInWrite() {
  SimNode& node = AnyNode();
  if (node.up()) node.StopDiskAfter(random_.Below(random_.Chance(0.5) ? 6 : 60));
}

void Nemesis::PlannedRestart() { AnyNode().Restart(DrawDuration(faults_.down_mean)); }

void Nemesis::Pause() {
  SimNode& node = AnyNode();
  node.PauseUntil(world_->now() + DrawDuration(faults_.pause_mean));
}

void Nemesis::CutPairs(const std::function<bool(int, int)>& cut, bool one_way, Duration how_long) {
  std::vector<std::pair<int, int>> links;
  for (int a = 1; a <= world_->size(); ++a) {
    for (int b = 1; b <= world_->size(); ++b) {
      if (a == b || !cut(a, b)) continue;
      links.emplace_back(a, b);
      if (!one_way) links.emplace_back(b, a);
    }
  }
  for (const auto& [from, to] : links) world_->network().Cut(from, to);
  world_->After(how_long, [this, links] {
    for (const auto& [from, to] : links) world_->network().Heal(from, to);
  });
}

void Nemesis::Cut() {
  if (world_->size() == 1) return;
  const bool one_way = random_.Chance(0.3);
  const Duration how_long = DrawDuration(faults_.cut_mean);
  const int victim = AnyNode().number();
  switch (random_.Below(4)) {
    case 0:  // isolate one node
      CutPairs([victim](int a, int) { return a == victim; }, one_way, how_long);
      break;
    case 1: {  // partition into two sides
      const uint64_t sides = random_.Next();
      CutPairs([sides](int a, int b) { return (sides >> a & 1) == 0 && (sides >> b & 1) == 1; },
               one_way, how_long);
      break;
    }
    case 2: {  // a bridge: only the victim is connected to both sides
      const uint64_t sides = random_.Next();
      CutPairs(
          [sides, victim](int a, int b) {
            return a != victim && b != victim && (sides >> a & 1) == 0 && (sides >> b & 1) == 1;
          },
          one_way, how_long);
      break;
    }
    default: {  // cut one pair
      const int other = static_cast<int>(random_.Between(1, world_->size()));
      CutPairs([victim, other](int a, int b) { return a == victim && b == other; }, one_way,
               how_long);
    }
  }
}

void Nemesis::Flap() {
  if (world_->size() == 1) return;
  const int victim = AnyNode().number();
  Duration at{};
  const int64_t times = random_.Between(3, 12);
  for (int64_t i = 0; i < times; ++i) {
    world_->After(at, [this, victim] {
      if (stopped_) return;
      CutPairs([victim](int a, int) { return a == victim; }, false, random_.Uniform(5ms, 300ms));
    });
    at += random_.Uniform(50ms, 700ms);
  }
}

void Nemesis::SpuriousDisconnect() {
  const int a = AnyNode().number();
  const int b = static_cast<int>(random_.Between(1, world_->size()));
  if (a != b) world_->NotifyDisconnected(a, b);
}

void Nemesis::ClientCut() {
  const int victim = AnyNode().number();
  world_->CutClients(victim, true);
  world_->After(DrawDuration(faults_.cut_mean),
                [this, victim] { world_->CutClients(victim, false); });
}

void Nemesis::WallJump() {
  SimNode& node = AnyNode();
  Duration jump = random_.Uniform(-faults_.jump_max, faults_.jump_max);
  // One jump in twenty is up to an hour long, one in fifty up to a year.
  if (random_.Chance(0.05)) jump *= 360;
  if (random_.Chance(0.02)) jump *= 3'153'600;
  node.JumpWall(jump);
  world_->Note({.kind = TraceKind::kClock,
                .node = static_cast<uint8_t>(node.number()),
                .a = static_cast<uint64_t>(jump.count() / 1000)});
}

void Nemesis::DiskFull() {
  SimNode& node = AnyNode();
  if (node.disk_stopped()) return;
  node.SetDiskCapacity(node.disk().UsedBytes() + random_.Below(400 << 10));
  const int number = node.number();
  world_->After(DrawDuration(faults_.full_mean), [this, number] {
    if (world_->node(number).disk_limited()) world_->node(number).SetDiskCapacity(UINT64_MAX);
  });
}

void Nemesis::SyncError() {
  SimNode& node = AnyNode();
  if (!node.up() || node.disk_stopped()) return;
  const storage::DiskOp op = random_.Chance(0.6)   ? storage::DiskOp::kSync
                             : random_.Chance(0.5) ? storage::DiskOp::kWrite
                                                   : storage::DiskOp::kAnyMutation;
  node.FailDisk(op, 1 + random_.Below(20));
}

void Nemesis::ReadError() {
  SimNode& node = AnyNode();
  if (!node.up() || node.disk_stopped()) return;
  node.FailDisk(random_.Chance(0.7) ? storage::DiskOp::kRead : storage::DiskOp::kOpen,
                1 + random_.Below(5));
}

void Nemesis::BitRot() {
  SimNode& node = AnyNode();
  if (!MayDamage(node)) return;
  node.Die(Death::kPowerLoss, "power lost, before its disk rots");
  node.FlipRandomBit();
}

void Nemesis::Wipe() {
  SimNode& node = AnyNode();
  if (!MayDamage(node)) return;
  // A member that has not applied this node's incarnation would accept the wiped disk as a new
  // node. So wipe only a node whose incarnation all other members have applied.
  for (int i = 1; i <= world_->size(); ++i) {
    const SimNode& other = world_->node(i);
    if (other.broken()) continue;
    if (!other.up() || !other.HasBoundIncarnation(node)) return;
  }
  node.Die(Death::kPowerLoss, "power lost, before its disk is replaced");
  node.Wipe();
}

}  // namespace dqueue::sim
