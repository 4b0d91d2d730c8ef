// The network between members. Each direction of each pair of members is a link of its own. A link
// delays, loses, duplicates and reorders frames, and can be cut. Frames are encoded by
// node/peer_codec, as in production.
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
  // Delivers the frame in `slot` to its receiver.
  void Deliver(uint64_t slot);

  // Cuts or heals one direction. A cut drops a frame in flight with probability drop_in_flight.
  void Cut(int from, int to);
  void Heal(int from, int to);
  void HealAll();
  bool IsCut(int from, int to) const { return At(from, to).cut; }
  // Ends loss, duplication and long delays. Normal delays and cuts remain.
  void StopFaults();

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
