#include "sim/world.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "sim/checkers/violation.h"

namespace dqueue::sim {
namespace {

constexpr uint64_t kEventsPerSecondMax = 2'000'000;

void ThrowCheckFailure(const std::string& text) { throw CheckFailure(text); }

}  // namespace

World::World(uint64_t seed, const Profile& profile, bool print_trace)
    : seed_(seed),
      profile_(profile),
      trace_(print_trace),
      network_(this, profile.network, profile.nodes, seed),
      jobs_(profile.node.broker),
      ledger_(this),
      elections_(this),
      clocks_(this),
      commits_(this),
      durability_(this, seed),
      grants_(this),
      answers_(this),
      client_random_(seed, "clients"),
      client_loss_(profile.network.client_loss),
      client_cut_(static_cast<size_t>(profile.nodes + 1)) {
  SetCheckFailureHandler(ThrowCheckFailure);
  std::vector<node::MemberSpec> members;
  for (int number = 1; number <= profile.nodes; ++number) {
    const std::string name = "n" + std::to_string(number);
    members.push_back({name, name + ":1"});
  }
  for (int number = 1; number <= profile.nodes; ++number) {
    node::Options options = profile.node;
    options.name = members[static_cast<size_t>(number - 1)].name;
    options.data_dir = "/data";
    options.members = members;
    options.bootstrap = true;
    nodes_.push_back(std::make_unique<SimNode>(this, number, options, seed));
  }
  for (const auto& node : nodes_) node->Boot();
}

World::~World() { PowerOff(); }

void World::PowerOff() {
  for (const auto& node : nodes_) node->PowerOff();
}

int World::NumberOf(raft::NodeId id) const {
  for (const auto& node : nodes_) {
    if (node->id() == id) return node->number();
  }
  return 0;
}

int World::NumberOf(const std::string& name) const {
  for (const auto& node : nodes_) {
    if (node->name() == name) return node->number();
  }
  return 0;
}

bool World::AllBound() const {
  return std::any_of(nodes_.begin(), nodes_.end(),
                     [](const auto& node) { return node->up() && node->HasBoundAllMembers(); });
}

int World::Leader() const {
  int leader = 0;
  raft::Term term;
  for (const auto& node : nodes_) {
    if (!node->up()) continue;
    const raft::Status status = node->node().raft().status();
    if (status.role == raft::Role::kLeader && status.serving && status.term > term) {
      leader = node->number();
      term = status.term;
    }
  }
  return leader;
}

void World::Partition(std::initializer_list<int> left, std::initializer_list<int> right) {
  for (const int a : left) {
    for (const int b : right) {
      network_.Cut(a, b);
      network_.Cut(b, a);
    }
  }
}

void World::Isolate(int number) {
  for (int other = 1; other <= size(); ++other) {
    if (other == number) continue;
    network_.Cut(number, other);
    network_.Cut(other, number);
  }
}

void World::NotifyDisconnected(int number, int peer) {
  SimNode& target = node(number);
  if (target.up()) target.node().PeerDisconnected(node(peer).id());
}

void World::ProcessEnded(int number) {
  for (const auto& other : nodes_) {
    if (other->number() == number || !other->up()) continue;
    if (client_random_.Chance(profile_.network.disconnect_notice)) {
      const int peer = other->number();
      After(200us, [this, peer, number] { NotifyDisconnected(peer, number); });
    }
  }
}

void World::StopFaults() {
  network_.StopFaults();
  client_loss_ = 0;
  std::fill(client_cut_.begin(), client_cut_.end(), false);
}

void World::Note(TraceEvent event) {
  event.at = now();
  trace_.Add(event);
}

void World::Run(Duration duration) {
  RunUntil([] { return false; }, duration);
}

bool World::RunUntil(const std::function<bool()>& done, Duration limit) {
  const Time until = now() + limit;
  while (!queue_.empty() && queue_.next_time() <= until) {
    RunOne();
    if (done()) return true;
  }
  queue_.AdvanceTo(until);
  return false;
}

void World::RunOne() {
  const EventQueue::Event event = queue_.Pop();
  const int64_t second = now().time_since_epoch() / 1s;
  if (second != second_) {
    second_ = second;
    events_in_second_ = 0;
  }
  if (++events_in_second_ > kEventsPerSecondMax) {
    Violate("livelock",
            "more than " + std::to_string(kEventsPerSecondMax) + " events in one virtual second");
  }
  switch (event.kind) {
    case EventQueue::Kind::kActor:
      node(static_cast<int>(event.actor / 4))
          .RunActor(static_cast<SimNode::Actor>(event.actor % 4), event.id);
      break;
    case EventQueue::Kind::kPacket:
      network_.Deliver(event.id);
      break;
    case EventQueue::Kind::kClosure:
      queue_.TakeClosure(event.id)();
      break;
  }
}

}  // namespace dqueue::sim
