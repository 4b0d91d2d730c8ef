// Injects the faults of a random run. Each kind of fault has its own rate and picks a random node.
#pragma once

#include <functional>

#include "sim/profile.h"
#include "sim/random_stream.h"

namespace dqueue::sim {

class World;
class SimNode;

class Nemesis {
 public:
  Nemesis(World* world, const FaultProfile& faults);
  void Start();
  // Injects no new faults. Faults in effect remain.
  void Stop() { stopped_ = true; }

 private:
  void Repeat(double rate, void (Nemesis::*fault)());

  SimNode& AnyNode();
  // Whether an undamaged majority that can elect remains if bit rot or a wipe damages `victim` too.
  bool MayDamage(const SimNode& victim) const;
  Duration DrawDuration(Duration mean) { return 10ms + random_.Exponential(mean); }

  void Kill();
  void PowerLoss();
  void PowerLossOfAll();
  void CrashInWrite();
  void PlannedRestart();
  void Pause();
  void Cut();
  void Flap();
  void SpuriousDisconnect();
  void ClientCut();
  void WallJump();
  void DiskFull();
  void SyncError();
  void ReadError();
  void BitRot();
  void Wipe();
  // Cuts the link from a to b for each pair with cut(a, b), and unless `one_way` the link from b to
  // a too. Heals the links after `how_long`.
  void CutPairs(const std::function<bool(int, int)>& cut, bool one_way, Duration how_long);

  World* world_;
  const FaultProfile faults_;
  RandomStream random_;
  bool stopped_ = false;
};

}  // namespace dqueue::sim
