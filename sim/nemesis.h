// The faults of a random run: each kind comes at its own rate and picks its victim by chance.
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
  // From now on.
  void Start();
  // No new faults; what is broken stays broken.
  void Stop() { stopped_ = true; }

 private:
  void Repeat(double rate, void (Nemesis::*fault)());

  SimNode& AnyNode();
  // Bit rot and wipes together must leave a majority unharmed.
  bool MayDamage(const SimNode& victim) const;
  Duration About(Duration mean) { return 10ms + random_.Exponential(mean); }

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
  // Which pairs of nodes lose each other; applied to both or to one direction.
  void CutPairs(const std::function<bool(int, int)>& cut, bool one_way, Duration how_long);

  World* world_;
  const FaultProfile faults_;
  RandomStream random_;
  bool stopped_ = false;
};

}  // namespace dqueue::sim
