// The wires between members: each direction of each pair delays, loses, repeats and reorders frames
// on its own, and can be cut. Frames are the bytes of node/peer_codec.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "raft/message.h"
#include "sim/profile.h"
#include "sim/random_stream.h"

namespace dqueue::sim {

class World;

class Network {
 public:
  Network(World* world, const NetworkProfile& profile, int nodes, uint64_t seed);

  void Send(int from, int to, const std::vector<raft::Message>& messages);
  // The frame in `slot` has arrived.
  void Deliver(uint64_t slot);

  // One direction. Frames under way pass or not, by chance.
  void Cut(int from, int to);
  void Heal(int from, int to);
  void HealAll();
  bool IsCut(int from, int to) const { return At(from, to).cut; }
  // Stops all faults but the delays.
  void Calm();

 private:
  struct Link {
    bool cut = false;
    Time last_arrival{};
  };
  struct Frame {
    int from = 0;
    int to = 0;
    std::string bytes;
  };
  const Link& At(int from, int to) const {
    return links_[static_cast<size_t>(from * (nodes_ + 1) + to)];
  }
  Link& At(int from, int to) { return links_[static_cast<size_t>(from * (nodes_ + 1) + to)]; }
  void Schedule(int from, int to, const std::string& bytes);

  World* world_;
  NetworkProfile profile_;
  int nodes_;
  RandomStream random_;
  std::vector<Link> links_;
  std::vector<Frame> frames_;
  std::vector<uint64_t> free_;
};

}  // namespace dqueue::sim
