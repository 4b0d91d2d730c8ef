#include "sim/profile.h"

#include <algorithm>
#include <cstdio>

#include "sim/random_stream.h"

namespace dqueue::sim {
namespace {

template <class T>
T Choose(RandomStream& random, std::initializer_list<T> values) {
  return values.begin()[random.Below(values.size())];
}

void DrawSizes(RandomStream& random, node::Options* o) {
  raft::Options& r = o->raft;
  switch (random.Below(4)) {
    case 0:
      r.heartbeat = 20ms, r.election_min = 100ms, r.election_max = 200ms;
      break;
    case 1:
      r.heartbeat = 100ms, r.election_min = 500ms, r.election_max = 1000ms;
      break;
    default:
      break;
  }
  r.max_append_entries = Choose<uint64_t>(random, {1, 2, 5, 64});
  r.max_append_bytes = Choose<uint64_t>(random, {256, 1024, 8192});
  r.window_entries = std::max(r.max_append_entries, Choose<uint64_t>(random, {2, 8, 64, 1024}));
  r.window_bytes = std::max(r.max_append_bytes, Choose<uint64_t>(random, {1024, 16384, 1 << 20}));
  r.cache_bytes = Choose<uint64_t>(random, {1, 4096, 1 << 20});
  r.max_apply_bytes = Choose<uint64_t>(random, {1, 1024, 1 << 20});
  r.max_uncommitted_entries = Choose<uint64_t>(random, {8, 64, 4096});
  o->log.prepared_segments = static_cast<int>(random.Between(1, 2));
  o->snapshot_log_bytes = Choose<uint64_t>(random, {2 << 10, 8 << 10, 32 << 10, 1 << 20});
  o->trailing_log_bytes = Choose<uint64_t>(random, {0, 1 << 10, 16 << 10});
  o->snapshot_chunk_bytes = Choose<size_t>(random, {500, 4096, 65536});
  o->broker.max_batch_commands = Choose<size_t>(random, {1, 3, 16, 256});
  o->broker.max_waiting_calls = Choose<size_t>(random, {4, 64, 1000});
  o->broker.lease_timeout = Choose<Duration>(random, {1s, 2s, 5s});
  o->broker.max_retries = static_cast<int32_t>(random.Between(0, 3));
}

class Swarm {
 public:
  Swarm(RandomStream& random, double chance) : random_(random), chance_(chance) {}
  // low … high with probability chance_, else 0.
  double Maybe(double low, double high) {
    const bool on = random_.Chance(chance_);
    const double x = low + (high - low) * random_.Fraction();
    return on ? x : 0;
  }

 private:
  RandomStream& random_;
  double chance_;
};

void DrawNetwork(RandomStream& random, NetworkProfile* n) {
  Swarm swarm(random, 0.5);
  n->delay_min = random.Uniform(20us, 500us);
  n->delay_mean = Choose<Duration>(random, {100us, 500us, 2ms, 10ms});
  n->tail = swarm.Maybe(0.001, 0.05);
  n->tail_mean = random.Uniform(10ms, 400ms);
  n->loss = swarm.Maybe(0.001, 0.15);
  n->duplicate = swarm.Maybe(0.01, 0.3);
  n->fifo = random.Chance(0.4);
  n->disconnect_notice = Choose<double>(random, {0, 0.5, 1});
  n->client_loss = swarm.Maybe(0.01, 0.15);
}

void DrawDisk(RandomStream& random, DiskProfile* d) {
  Swarm swarm(random, 0.4);
  d->sync_min = random.Uniform(20us, 300us);
  d->sync_mean = Choose<Duration>(random, {50us, 300us, 2ms, 15ms});
  d->stall = swarm.Maybe(0.0005, 0.01);
  d->stall_mean = random.Uniform(50ms, 3s);
}

void DrawFaults(RandomStream& random, int nodes, FaultProfile* f) {
  Swarm swarm(random, 0.45);
  f->kill = swarm.Maybe(0.05, 0.6);
  f->power_loss = swarm.Maybe(0.05, 0.6);
  f->power_loss_all = swarm.Maybe(0.02, 0.15);
  f->crash_in_write = swarm.Maybe(0.05, 0.6);
  f->planned_restart = swarm.Maybe(0.02, 0.3);
  f->pause = swarm.Maybe(0.05, 0.5);
  f->cut = swarm.Maybe(0.05, 0.5);
  f->flap = swarm.Maybe(0.02, 0.2);
  f->spurious_disconnect = swarm.Maybe(0.05, 1);
  f->client_cut = swarm.Maybe(0.02, 0.1);
  f->wall_jump = swarm.Maybe(0.05, 0.4);
  Swarm rarely(random, 0.25);
  f->disk_full = rarely.Maybe(0.02, 0.15);
  f->sync_error = rarely.Maybe(0.02, 0.2);
  f->read_error = rarely.Maybe(0.02, 0.2);
  f->bit_rot = rarely.Maybe(0.05, 0.3);
  f->wipe = rarely.Maybe(0.02, 0.1);
  f->down_mean = random.Uniform(200ms, 5s);
  f->pause_mean = random.Uniform(100ms, 3s);
  f->cut_mean = random.Uniform(500ms, 6s);
  f->full_mean = random.Uniform(1s, 6s);
  if (nodes == 1) f->wipe = f->bit_rot = 0;
}

void DrawLoad(RandomStream& random, LoadProfile* l) {
  Swarm swarm(random, 0.6);
  l->producers = static_cast<int>(random.Between(1, 3));
  l->workers = static_cast<int>(random.Between(1, 5));
  l->operators = static_cast<int>(random.Between(0, 2));
  l->think_mean = Choose<Duration>(random, {60ms, 200ms, 500ms, 1s});
  l->queues = static_cast<int>(random.Between(1, 3));
  l->batch_max = static_cast<int>(random.Between(1, 5));
  l->payload_max = Choose<uint64_t>(random, {0, 60, 300, 1500});
  l->own_ids = random.Fraction();
  l->request_ids = random.Fraction();
  l->all_or_nothing = swarm.Maybe(0.1, 0.5);
  l->repeat = swarm.Maybe(0.05, 0.3);
  l->conflict = swarm.Maybe(0.02, 0.1);
  l->idempotency = swarm.Maybe(0.1, 0.5);
  l->delayed = swarm.Maybe(0.1, 0.4);
  l->expiring = swarm.Maybe(0.05, 0.2);
  l->prioritised = swarm.Maybe(0.2, 0.8);
  l->short_retention = swarm.Maybe(0.2, 0.8);
  l->limited_retries = swarm.Maybe(0.2, 0.8);
  l->invalid = swarm.Maybe(0.01, 0.05);
  l->retry_unknown = 0.5 + random.Fraction() / 2;
  l->lease = Choose<Duration>(random, {1s, 1500ms, 3s});
  l->hold_mean = Choose<Duration>(random, {20ms, 200ms, 800ms});
  l->lease_batch_max = static_cast<int>(random.Between(1, 6));
  l->wait_max = Choose<Duration>(random, {0us, 300ms, 3s});
  l->fail = swarm.Maybe(0.05, 0.4);
  l->reject = swarm.Maybe(0.05, 0.3);
  l->release = swarm.Maybe(0.05, 0.2);
  l->extend = swarm.Maybe(0.1, 0.5);
  l->abandon = swarm.Maybe(0.02, 0.3);
  l->zombie = swarm.Maybe(0.02, 0.3);
  l->complete_twice = swarm.Maybe(0.05, 0.4);
  l->repeat_lease_call = swarm.Maybe(0.2, 1);
  l->wrong_token = swarm.Maybe(0.01, 0.1);
  l->cancel = swarm.Maybe(0.5, 2);
  l->retry = swarm.Maybe(0.5, 2);
  l->pause = swarm.Maybe(0.1, 0.6);
  l->resume = 3 * l->pause;
  l->remove = swarm.Maybe(0.3, 1.5);
  l->purge = swarm.Maybe(0.05, 0.3);
  l->redrive = swarm.Maybe(0.1, 0.5);
}

Profile DrawSwarm(RandomStream& random) {
  Profile p;
  p.node = SmallNodeOptions();
  const uint64_t size = random.Below(10);
  p.nodes = size == 0 ? 1 : size <= 2 ? 5 : 3;
  p.safety = random.Uniform(10s, 40s);
  DrawSizes(random, &p.node);
  DrawNetwork(random, &p.network);
  DrawDisk(random, &p.disk);
  Swarm half(random, 0.5);
  p.clock.drift_ppm = static_cast<int>(half.Maybe(100, 50000));
  p.clock.wall_spread = Duration(static_cast<int64_t>(half.Maybe(1e3, 5e6)));
  DrawFaults(random, p.nodes, &p.faults);
  DrawLoad(random, &p.load);
  return p;
}

// Many elections and many small uncommitted entries, so that logs of different lengths compete.
void MakeElections(Profile* p) {
  p->nodes = 5;
  p->node.raft.heartbeat = 20ms;
  p->node.raft.election_min = 100ms;
  p->node.raft.election_max = 200ms;
  p->faults.cut = 2;
  p->faults.cut_mean = 600ms;
  p->faults.kill = 0.5;
  p->faults.power_loss = 0.5;
  p->faults.down_mean = 500ms;
  p->load.think_mean = 60ms;
}

// Deposed leaders that receive late answers while another leader serves.
void MakeReads(Profile* p) {
  const Profile plain;
  p->nodes = 3;
  p->node.raft.heartbeat = 20ms;
  p->node.raft.election_min = 100ms;
  p->node.raft.election_max = 200ms;
  p->network = plain.network;
  p->network.tail = 0.1;
  p->network.tail_mean = 300ms;
  p->network.fifo = false;
  p->network.drop_in_flight = 0;
  p->network.disconnect_notice = 0;
  p->faults = plain.faults;
  p->faults.cut = 1.5;
  p->faults.cut_mean = 500ms;
  p->faults.pause = 0.5;
  p->faults.pause_mean = 300ms;
  p->load.think_mean = 60ms;
  p->load.operators = 3;
  p->load.wait_max = 0us;
}

// Ids that are reused as soon as their job is purged, while commands about the old job are in
// flight: many cancels, slow disks, short retentions.
void MakeReuse(Profile* p) {
  const Profile plain;
  p->faults = plain.faults;
  p->faults.kill = 0.2;
  p->disk.stall = 0.05;
  p->disk.stall_mean = 300ms;
  p->load.think_mean = 60ms;
  p->load.own_ids = 1;
  p->load.repeat = 0.6;
  p->load.short_retention = 1;
  p->load.operators = 3;
  p->load.cancel = 8;
  p->load.remove = 2;
  p->load.pause = p->load.resume = p->load.purge = p->load.redrive = 0;
  p->load.workers = 5;
  p->load.hold_mean = 100ms;
  p->load.zombie = 0.3;
}

// API keys and callers restricted to some queues, with all faults of the swarm.
void MakeTenants(RandomStream& random, Profile* p) {
  p->load.queues = 3;
  p->load.key_operators = static_cast<int>(random.Between(1, 2));
  p->load.tenants = static_cast<int>(random.Between(1, 3));
  p->load.restricted = random.Fraction();
  p->load.operators = std::max(p->load.operators, 1);
}

// Few finished jobs and idempotency keys are kept: the leader trims all the time, with all faults
// of the swarm.
void MakeTrims(RandomStream& random, Profile* p) {
  p->node.broker.keep.count = Choose<uint64_t>(random, {1, 3, 10, 30});
  p->node.broker.keep.bytes = Choose<uint64_t>(random, {0, 3000});
  p->load.idempotency = 0.4;
  p->load.fail = std::max(p->load.fail, 0.2);
  p->load.reject = 0.2;
  p->load.operators = std::max(p->load.operators, 1);
  p->load.retry = 1;
}

// Concurrent purges and redrives with slow disks: jobs change state while a command about them is
// in flight. Many dead jobs, for GroupDeadJobs.
void MakeSweeps(Profile* p) {
  const Profile plain;
  p->faults = plain.faults;
  p->faults.kill = 0.2;
  p->disk.stall = 0.05;
  p->disk.stall_mean = 300ms;
  p->load.think_mean = 60ms;
  p->load.operators = 3;
  p->load.delayed = 0.4;
  p->load.fail = p->load.reject = 0.4;
  p->load.limited_retries = 1;
  p->load.retry = 2;
  p->load.purge = 3;
  p->load.redrive = 3;
  p->load.remove = 0.3;
  p->load.pause = p->load.resume = 0;
}

}  // namespace

node::Options SmallNodeOptions() {
  node::Options o;
  o.log.segment_bytes = 64 << 10;
  o.log.prepared_segments = 1;
  o.log.max_entry_bytes = 32 << 10;
  o.broker.max_batch_bytes = 8 << 10;
  o.broker.max_pending_bytes = 256 << 10;
  o.broker.lease_timeout = 2s;
  o.raft.max_append_bytes = 8 << 10;
  o.raft.window_bytes = 64 << 10;
  o.raft.max_uncommitted_bytes = 1 << 20;
  o.raft.max_apply_bytes = 64 << 10;
  o.raft.cache_bytes = 64 << 10;
  o.snapshot_log_bytes = 32 << 10;
  o.trailing_log_bytes = 8 << 10;
  o.snapshot_chunk_bytes = 4096;
  o.reserve_bytes = 256 << 10;
  return o;
}

const std::vector<std::string_view>& ProfileNames() {
  static const std::vector<std::string_view> names = {
      "swarm",  "calm",  "elections", "network", "disk",    "leases", "snapshots",
      "single", "reads", "reuse",     "sweeps",  "tenants", "trims"};
  return names;
}

std::optional<Profile> MakeProfile(std::string_view name, uint64_t seed) {
  RandomStream random(seed, "profile");
  Profile p = DrawSwarm(random);
  const Profile plain;
  if (name == "calm") {
    p.faults = plain.faults;
    p.network = plain.network;
    p.disk = plain.disk;
  } else if (name == "elections") {
    MakeElections(&p);
  } else if (name == "network") {
    p.faults = plain.faults;
    p.faults.cut = 0.5;
    p.faults.flap = 0.2;
  } else if (name == "disk") {
    p.network = plain.network;
    p.faults.power_loss = p.faults.crash_in_write = 0.5;
    p.faults.sync_error = p.faults.disk_full = p.faults.bit_rot = 0.1;
    p.durability_check = 0.2;
  } else if (name == "leases") {
    p.faults = plain.faults;
    p.faults.pause = 0.4;
    p.load.lease = 1s;
    p.load.abandon = p.load.zombie = 0.2;
    p.load.workers = 5;
  } else if (name == "snapshots") {
    p.node.snapshot_log_bytes = 2 << 10;
    p.node.trailing_log_bytes = 0;
    p.faults.kill = 0.3;
    p.faults.down_mean = 3s;
    p.load.think_mean = 60ms;
  } else if (name == "reads") {
    MakeReads(&p);
  } else if (name == "reuse") {
    MakeReuse(&p);
  } else if (name == "tenants") {
    MakeTenants(random, &p);
  } else if (name == "sweeps") {
    MakeSweeps(&p);
  } else if (name == "trims") {
    MakeTrims(random, &p);
  } else if (name == "single") {
    p.nodes = 1;
    p.faults.wipe = p.faults.bit_rot = 0;
  } else if (name != "swarm") {
    return std::nullopt;
  }
  p.name = std::string(name);
  return p;
}

std::string Profile::Summary() const {
  std::string out = name + ": " + std::to_string(nodes) + " nodes";
  const auto add = [&out](const char* what, double rate) {
    if (rate <= 0) return;
    char text[64];
    std::snprintf(text, sizeof(text), ", %s %.2g", what, rate);
    out += text;
  };
  add("loss", network.loss);
  add("duplicate", network.duplicate);
  add("tail", network.tail);
  add("client loss", network.client_loss);
  add("stall", disk.stall);
  add("drift ppm", clock.drift_ppm);
  add("kill", faults.kill);
  add("power loss", faults.power_loss);
  add("power loss of all", faults.power_loss_all);
  add("crash in write", faults.crash_in_write);
  add("planned restart", faults.planned_restart);
  add("pause", faults.pause);
  add("cut", faults.cut);
  add("flap", faults.flap);
  add("client cut", faults.client_cut);
  add("wall jump", faults.wall_jump);
  add("disk full", faults.disk_full);
  add("sync error", faults.sync_error);
  add("read error", faults.read_error);
  add("bit rot", faults.bit_rot);
  add("wipe", faults.wipe);
  add("key operators", load.key_operators);
  add("tenants", load.tenants);
  return out;
}

}  // namespace dqueue::sim
