#include "sim/network.h"

#include <algorithm>
#include <utility>

#include "node/peer_codec.h"
#include "sim/checkers/violation.h"
#include "sim/world.h"

namespace dqueue::sim {

Network::Network(World* world, const NetworkProfile& profile, int nodes, uint64_t seed)
    : world_(world),
      profile_(profile),
      nodes_(nodes),
      random_(seed, "network"),
      links_(static_cast<size_t>((nodes + 1) * (nodes + 1))) {}

void Network::Send(int from, int to, const std::vector<raft::Message>& messages) {
  if (At(from, to).cut || random_.Chance(profile_.loss)) {
    world_->Note({.kind = TraceKind::kLost,
                  .node = static_cast<uint8_t>(from),
                  .peer = static_cast<uint8_t>(to)});
    return;
  }
  const std::string bytes = node::EncodeFrame(messages);
  Schedule(from, to, bytes);
  if (random_.Chance(profile_.duplicate)) Schedule(from, to, bytes);
}

void Network::Schedule(int from, int to, const std::string& bytes) {
  Duration delay = profile_.delay_min + random_.Exponential(profile_.delay_mean);
  if (random_.Chance(profile_.tail)) delay += random_.Exponential(profile_.tail_mean);
  Time at = world_->now() + delay;
  Link& link = At(from, to);
  if (profile_.fifo) at = link.last_arrival = std::max(at, link.last_arrival);
  uint64_t slot = frames_.size();
  if (free_.empty()) {
    frames_.push_back({from, to, bytes});
  } else {
    slot = free_.back();
    free_.pop_back();
    frames_[slot] = {from, to, bytes};
  }
  world_->queue().Add(at, EventQueue::Kind::kPacket, 0, slot);
}

void Network::Deliver(uint64_t slot) {
  const Frame frame = std::exchange(frames_[slot], Frame());
  free_.push_back(slot);
  if (At(frame.from, frame.to).cut && random_.Chance(profile_.drop_in_flight)) return;
  SimNode& target = world_->node(frame.to);
  if (!target.up()) return;
  absl::StatusOr<std::vector<raft::Message>> messages = node::DecodeFrame(frame.bytes);
  if (!messages.ok()) {
    Violate("codec", "a frame that a member sent does not decode: " +
                         std::string(messages.status().message()));
  }
  for (const raft::Message& message : *messages) {
    world_->trace().AddMessage(world_->now(), frame.from, frame.to, message);
  }
  target.node().Receive(*std::move(messages));
}

void Network::Cut(int from, int to) {
  Link& link = At(from, to);
  if (link.cut) return;
  link.cut = true;
  world_->Note({.kind = TraceKind::kLink,
                .node = static_cast<uint8_t>(from),
                .peer = static_cast<uint8_t>(to)});
  if (random_.Chance(profile_.disconnect_notice)) world_->NotifyDisconnected(from, to);
}

void Network::Heal(int from, int to) {
  Link& link = At(from, to);
  if (!link.cut) return;
  link.cut = false;
  world_->Note({.kind = TraceKind::kLink,
                .node = static_cast<uint8_t>(from),
                .peer = static_cast<uint8_t>(to),
                .sub = 1});
}

void Network::HealAll() {
  for (int from = 1; from <= nodes_; ++from) {
    for (int to = 1; to <= nodes_; ++to) Heal(from, to);
  }
}

void Network::StopFaults() {
  profile_.loss = 0;
  profile_.duplicate = 0;
  profile_.tail = 0;
}

}  // namespace dqueue::sim
