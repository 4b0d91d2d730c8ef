#include "sim/sim_node.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "base/check.h"
#include "sim/checkers/violation.h"
#include "sim/world.h"
#include "storage/log/log.h"
#include "storage/log/record.h"

namespace dqueue::sim {
namespace {

constexpr Duration kBootRetry = 500ms;
constexpr Duration kTurnMax = 5ms;  // the budget of a turn
constexpr Duration kDrainLimit = 3s;

node::Options WithSeed(node::Options options, uint64_t seed) {
  options.seed = seed;
  return options;
}

std::string BaseName(const std::string& path) { return path.substr(path.rfind('/') + 1); }

}  // namespace

SimNode::SimNode(World* world, int number, const node::Options& options, uint64_t seed)
    : world_(world),
      number_(number),
      options_(options),
      id_(raft::NodeIdOf(options.name)),
      random_(seed, "node" + std::to_string(number)),
      disk_(std::make_unique<storage::FaultFileSystem>()),
      disk_profile_(world->profile().disk) {
  const ClockProfile& clock = world->profile().clock;
  if (clock.drift_ppm > 0) {
    clock_.SetDrift(world->now(),
                    static_cast<int>(random_.Between(-clock.drift_ppm, clock.drift_ppm)));
  }
  clock_.SetWallOffset(random_.Uniform(-clock.wall_spread, clock.wall_spread));
}

SimNode::~SimNode() { Destroy(); }

Time SimNode::LocalNow() const { return clock_.Local(world_->now()); }

node::Env SimNode::MakeEnv() {
  // Without wake_answers: the checkers compare an answer with the state at the moment when it is
  // given.
  node::Env env;
  env.fs = disk_.get();
  env.peers = this;
  env.probe = this;
  env.wall_ms = [this] { return clock_.WallMs(world_->now()); };
  env.wake_loop = [this] { Wake(kLoop); };
  env.wake_log = [this] { Wake(kLog); };
  env.wake_snapshots = [this] { Wake(kSnapshots); };
  env.fatal = [this](const absl::Status& status) {
    dying_ = true;
    fatal_ = status.ToString();
  };
  return env;
}

void SimNode::Boot() {
  if (node_ != nullptr || broken_ || stay_down_) return;
  ++boots_;
  // The monotonic clock gets a new origin with each process.
  clock_.Restart(world_->now(), Time(random_.Uniform(1s, 1000s)));
  paused_until_ = log_stalled_until_ = loop_busy_until_ = Time{};
  dying_ = false;
  absl::StatusOr<std::unique_ptr<node::Node>> node = absl::UnknownError("not opened");
  try {
    node = node::Node::Open(WithSeed(options_, random_.Next()), MakeEnv(), LocalNow());
  } catch (const CheckFailure& failure) {
    if (!fault_planned_ && !damaged_) Violate("DQ_CHECK at start", failure.text);
    node = absl::UnavailableError(failure.text);
  }
  if (!node.ok()) {
    BootFailed(node.status());
    return;
  }
  if (disk_->stopped()) {  // StopDiskAfter() took effect during the start
    node_ = *std::move(node);
    Die(Death::kPowerLoss, "power lost while starting");
    return;
  }
  node_ = *std::move(node);
  invariants_ = std::make_unique<raft::Invariants>();
  absl::StatusOr<storage::Identity> identity = storage::Log::ReadIdentity(*disk_, wal_directory());
  DQ_CHECK(identity.ok());
  incarnation_ = identity->incarnation;
  const raft::View view = node_->raft().GetView();
  world_->Note({.kind = TraceKind::kBoot,
                .node = static_cast<uint8_t>(number_),
                .a = view.status.term.value(),
                .b = view.last_index.value(),
                .c = view.snapshot_index.value()});
  world_->ledger().OnBoot(*this);
  world_->elections().OnBoot(*this);
  world_->commits().OnBoot(*this);
  for (Schedule& schedule : schedules_) schedule = Schedule();
  for (const Actor actor : {kLoop, kLog, kSnapshots}) Wake(actor);
  if (world_->profile().load.key_operators == 0) return;
  watch_ = node_->Watch([this](const node::NodeStatus& status) {
    if (!disk_->stopped()) world_->keys().OnPublished(*this, status.keys);
  });
}

void SimNode::BootFailed(const absl::Status& status) {
  const bool stopped = disk_->stopped();
  const bool excused = fault_planned_ || stopped;
  disk_->ClearFailures();
  fault_planned_ = false;
  if (stopped) disk_->Crash(random_.Next());
  if (damaged_) {
    broken_ = true;
    world_->Note({.kind = TraceKind::kRefused,
                  .node = static_cast<uint8_t>(number_),
                  .text = "its disk is damaged"});
    return;
  }
  const bool full = disk_limited_ && status.code() == absl::StatusCode::kResourceExhausted;
  if (!excused && !full) {
    Violate("restart",
            name() + " did not start on an undamaged disk: " + std::string(status.message()));
  }
  world_->Note({.kind = TraceKind::kRefused,
                .node = static_cast<uint8_t>(number_),
                .text = full ? "its disk is full" : "its disk failed"});
  world_->After(kBootRetry, [this] { Boot(); });
}

void SimNode::Destroy() {
  if (node_ == nullptr) return;
  // The destructors of a killed process must not write to its disk.
  dying_ = true;
  const bool stopped = disk_->stopped();
  if (!stopped) disk_->FailAll(storage::DiskOp::kAny, absl::UnavailableError("process killed"));
  watch_.Cancel();
  node_.reset();
  if (!stopped) disk_->ClearFailures();
}

void SimNode::Die(Death how, const char* why) {
  if (node_ == nullptr) return;
  world_->Note({.kind = TraceKind::kDown, .node = static_cast<uint8_t>(number_), .text = why});
  Destroy();
  if (how == Death::kPowerLoss || disk_->stopped()) disk_->Crash(random_.Next());
  fault_planned_ = false;
  dying_ = false;
  restarting_ = false;
  world_->ProcessEnded(number_);
  if (restart_mean_ > 0us) {
    world_->After(50ms + random_.Exponential(restart_mean_), [this] { Boot(); });
  }
}

void SimNode::Restart(Duration down) {
  if (!up() || restarting_) return;
  restarting_ = true;
  const uint64_t boot = boots_;
  const auto finish = [this, boot, down] {
    if (!up() || boots_ != boot || !restarting_) return;
    CloseCleanly(down);
  };
  node_->Drain([this, finish] { world_->After(1ms, finish); });
  world_->After(kDrainLimit, finish);
}

void SimNode::CloseCleanly(Duration down) {
  while (Poll(kLog)) {
  }
  const absl::Status status = up() ? node_->Close() : absl::UnavailableError(fatal_);
  if (!status.ok() && !fault_planned_ && !disk_limited_ && !disk_->stopped()) {
    Violate("close", name() + ": " + std::string(status.message()));
  }
  const Duration mean = std::exchange(restart_mean_, Duration(0));
  Die(disk_->stopped() ? Death::kPowerLoss : Death::kKill, "planned restart");
  restart_mean_ = mean;
  world_->After(down, [this] { Boot(); });
}

void SimNode::PauseUntil(Time until) {
  if (!up()) return;
  paused_until_ = std::max(paused_until_, until);
  world_->Note({.kind = TraceKind::kPaused,
                .node = static_cast<uint8_t>(number_),
                .a = static_cast<uint64_t>((until - world_->now()).count())});
}

void SimNode::StallLogUntil(Time until) {
  log_stalled_until_ = until;
  world_->Note({.kind = TraceKind::kDisk,
                .node = static_cast<uint8_t>(number_),
                .a = static_cast<uint64_t>((until - world_->now()) / 1ms),
                .text = "log stalls for ms:"});
}

void SimNode::StopDiskAfter(uint64_t mutations) {
  fault_planned_ = true;
  disk_->StopAfter(mutations);
  world_->Note({.kind = TraceKind::kDisk,
                .node = static_cast<uint8_t>(number_),
                .a = mutations,
                .text = "power will fail after mutations:"});
}

void SimNode::FailDisk(storage::DiskOp op, uint64_t nth) {
  fault_planned_ = true;
  disk_->FailNth(op, nth, absl::InternalError("injected disk error"));
  world_->Note({.kind = TraceKind::kDisk,
                .node = static_cast<uint8_t>(number_),
                .a = nth,
                .text = op == storage::DiskOp::kSync ? "sync error planned at call"
                                                     : "error planned at call"});
}

void SimNode::SetDiskCapacity(uint64_t bytes) {
  disk_limited_ = bytes != UINT64_MAX;
  disk_->SetCapacity(bytes);
  world_->Note({.kind = TraceKind::kDisk,
                .node = static_cast<uint8_t>(number_),
                .a = disk_limited_ ? bytes : 0,
                .text = disk_limited_ ? "capacity" : "has room again"});
}

void SimNode::Wipe() {
  DQ_CHECK(node_ == nullptr);
  disk_ = std::make_unique<storage::FaultFileSystem>();
  damaged_ = wiped_ = true;
  disk_limited_ = false;
  world_->Note({.kind = TraceKind::kDisk, .node = static_cast<uint8_t>(number_), .text = "wiped"});
}

std::optional<raft::Configuration> SimNode::AppliedConfig() const {
  const raft::View view = node_->raft().GetView();
  const raft::Index index = std::min(view.applied, view.durable_index);
  if (index < view.first_index.Prev()) return std::nullopt;
  return raft::DecodeConfiguration(node_->raft().EncodedConfigAt(index));
}

bool SimNode::HasBoundIncarnation(const SimNode& member) const {
  const auto config = AppliedConfig();
  const raft::Member* found = config ? config->Find(member.id()) : nullptr;
  return found != nullptr && found->incarnation == member.incarnation();
}

bool SimNode::HasBoundAllMembers() const {
  const auto config = AppliedConfig();
  if (!config) return false;
  const std::vector<raft::NodeId> ids = config->MemberIds();
  return std::all_of(ids.begin(), ids.end(), [&](raft::NodeId id) {
    return config->Find(id)->incarnation != raft::Incarnation();
  });
}

std::map<std::string, uint64_t> SimNode::UnwitnessedOffsets() {
  struct Record {
    std::string file;
    uint64_t offset;
    uint64_t end_lsn;
  };
  std::vector<Record> records;
  uint64_t durable = 0;
  const auto add = [&](const std::string& line) {  // "FILE:OFFSET description"
    const size_t colon = line.find(':');
    const std::string path = line.substr(0, colon);
    const uint64_t offset = std::strtoull(line.c_str() + colon + 1, nullptr, 10);
    const std::string bytes = disk_->Bytes(path);
    const auto header = storage::DecodeRecordHeader(std::string_view(bytes).substr(offset));
    if (!header) return;
    durable = std::max(durable, header->durable_lsn);
    records.push_back({path, offset, header->lsn + storage::RecordBytes(header->length)});
  };
  std::map<std::string, uint64_t> from;
  if (!storage::InspectLog(*disk_, wal_directory(), add).ok()) return from;
  for (const Record& record : records) {
    if (record.end_lsn > durable) from.try_emplace(BaseName(record.file), record.offset);
  }
  return from;
}

void SimNode::FlipRandomBit() {
  DQ_CHECK(node_ == nullptr);
  damaged_ = true;
  const std::map<std::string, uint64_t> unwitnessed = UnwitnessedOffsets();
  // Skips zero bytes: the zero-filled rest of a segment holds no data.
  std::vector<std::pair<std::string, uint64_t>> bytes;
  for (const std::string& path : disk_->Paths()) {
    const std::string content = disk_->Bytes(path);
    const auto from = unwitnessed.find(BaseName(path));
    const uint64_t end = from == unwitnessed.end() ? content.size() : from->second;
    for (uint64_t i = 0; i < end; ++i) {
      if (content[i] != 0) bytes.emplace_back(path, i);
    }
  }
  if (bytes.empty()) return;
  const auto& [path, offset] = bytes[random_.Below(bytes.size())];
  disk_->FlipBit(path, offset * 8 + random_.Below(8));
  world_->Note({.kind = TraceKind::kDisk,
                .node = static_cast<uint8_t>(number_),
                .a = offset,
                .text = "bit flipped at"});
}

void SimNode::StopDiskFaults() {
  if (!disk_->stopped()) disk_->ClearFailures();
  fault_planned_ = disk_->stopped();
  if (disk_limited_) SetDiskCapacity(UINT64_MAX);
  disk_profile_.stall = 0;
}

// ---- Actors

Duration SimNode::ActorDelay(Actor actor) {
  if (actor == kLoop) return random_.Uniform(5us, 60us);
  Duration delay = disk_profile_.sync_min + random_.Exponential(disk_profile_.sync_mean);
  if (random_.Chance(disk_profile_.stall)) delay += random_.Exponential(disk_profile_.stall_mean);
  return delay;
}

void SimNode::Wake(Actor actor) { ScheduleActor(actor, world_->now() + ActorDelay(actor)); }

void SimNode::ScheduleActor(Actor actor, Time at) {
  Schedule& schedule = schedules_[actor];
  if (at >= schedule.at) return;
  schedule.at = at;
  schedule.generation = ++generation_;
  world_->queue().Add(at, EventQueue::Kind::kActor, static_cast<uint32_t>(number_ * 4 + actor),
                      schedule.generation);
}

bool SimNode::Poll(Actor actor) {
  try {
    switch (actor) {
      case kLoop:
        return node_->Poll(LocalNow());
      case kLog:
        return node_->PollLog();
      case kSnapshots:
        return node_->PollSnapshots();
    }
  } catch (const CheckFailure& failure) {
    // A failing disk must end the process. A failed DQ_CHECK is one way to end it.
    if (!fault_planned_ && !disk_->stopped() && !damaged_) {
      Violate("DQ_CHECK", name() + ": " + failure.text);
    }
    dying_ = true;
  }
  return false;
}

void SimNode::ChargeTurn() {
  const Duration cost = node_->TurnCost();
  if (cost > kTurnMax) {
    Violate("turn", name() + " had a turn of " + std::to_string(cost.count()) +
                        " us (estimated); at most " + std::to_string(kTurnMax.count()) + " us");
  }
  loop_busy_until_ = world_->now() + cost;
}

void SimNode::RunActor(Actor actor, uint64_t generation) {
  Schedule& schedule = schedules_[actor];
  if (schedule.generation != generation || node_ == nullptr) return;
  schedule.at = Time::max();
  const Time blocked = actor == kLog    ? std::max(paused_until_, log_stalled_until_)
                       : actor == kLoop ? std::max(paused_until_, loop_busy_until_)
                                        : paused_until_;
  if (world_->now() < blocked) {
    const bool in_turn = actor == kLoop && blocked == loop_busy_until_;
    ScheduleActor(actor, in_turn ? blocked : blocked + random_.Uniform(0us, 300us));
    return;
  }
  const bool more = Poll(actor);
  if (actor == kLoop && node_ != nullptr && !dying_) ChargeTurn();
  if (disk_->stopped()) {
    Die(Death::kPowerLoss, "power lost between two disk operations");
    return;
  }
  if (dying_) {
    if (!fault_planned_ && !disk_limited_ && !damaged_) {
      Violate("fail-stop", name() + " reported a storage error without a fault: " + fatal_);
    }
    if (damaged_) broken_ = true;
    Die(random_.Chance(0.5) ? Death::kPowerLoss : Death::kKill, "its disk failed");
    return;
  }
  if (more) {
    Wake(actor);
  } else if (actor == kLoop) {
    constexpr Duration kFar = 60s;
    const Time local = LocalNow();
    const Time due = std::min(std::max(node_->Deadline(), local), local + kFar);
    ScheduleActor(kLoop, std::max(clock_.TrueTime(due), world_->now() + 1us));
  }
}

void SimNode::JumpWall(Duration by) {
  world_->clocks().BeforeJump(*this);
  clock_.JumpWall(by);
}

// ---- node::PeerTransport and node::Probe

void SimNode::Send(raft::NodeId to, std::vector<raft::Message> messages) {
  if (disk_->stopped() || dying_) return;
  const int number = world_->NumberOf(to);
  if (number == 0) Violate("addressee", name() + " sends to an id that is not a member");
  world_->network().Send(number_, number, messages);
}

void SimNode::SetPeers(const std::vector<raft::Member>& peers) {
  for (const raft::Member& peer : peers) {
    const int number = world_->NumberOf(peer.id);
    if (number == 0 || number == number_) Violate("peers", name() + " has a wrong peer");
  }
}

void SimNode::AfterStep(const raft::Raft& raft) {
  if (disk_->stopped()) return;
  invariants_->Check(raft);
  world_->elections().AfterStep(*this, raft);
  world_->commits().AfterStep(*this, raft);
}

void SimNode::BeforeSend(const raft::Message& message) {
  if (disk_->stopped()) return;
  world_->elections().BeforeSend(*this, message);
  world_->commits().BeforeSend(*this, message);
  world_->durability().BeforeSend(*this, message);
}

void SimNode::AfterApply(const raft::Entry& entry, uint64_t digest) {
  if (disk_->stopped()) return;
  world_->ledger().AfterApply(*this, entry, digest);
  world_->clocks().AfterApply(*this);
}

void SimNode::AfterRestore(const raft::SnapshotMeta& meta, uint64_t digest) {
  if (disk_->stopped()) return;
  world_->ledger().AfterRestore(*this, meta, digest);
}

void SimNode::OnGrant(const std::string& job_id, queue::LeaseToken token) {
  if (disk_->stopped()) return;
  world_->grants().OnGrant(*this, job_id, token);
}

}  // namespace dqueue::sim
