#include "node/node.h"

#include <optional>
#include <utility>
#include <variant>

#include "base/check.h"
#include "node/disk/boots.h"
#include "node/disk/volume_fit.h"
#include "node/formation.h"
#include "node/memory_budget.h"
#include "node/node_impl.h"
#include "node/state_recovery.h"
#include "queue/broker/commands/prepared_enqueue.h"

namespace dqueue::node {

std::string Options::Problem() const {
  if (name.empty()) return "--id is required";
  if (data_dir.empty()) return "--data-dir is empty";
  if (std::string problem = raft.Problem(); !problem.empty()) return problem;
  if (std::string problem = broker.Problem(); !problem.empty()) return problem;
  if (snapshot_chunk_bytes == 0 || snapshot_chunk_bytes > (8u << 20)) {
    return "snapshot_chunk_bytes is " + std::to_string(snapshot_chunk_bytes) +
           "; must be 1 to 8388608";
  }
  if (log.max_entry_bytes < broker.max_batch_bytes) {
    return "log.max_entry_bytes (" + std::to_string(log.max_entry_bytes) +
           ") must be at least broker.max_batch_bytes (" + std::to_string(broker.max_batch_bytes) +
           ")";
  }
  return "";
}

absl::StatusOr<std::unique_ptr<Node>> Node::Open(const Options& options, const Env& env, Time now) {
  DQ_CHECK(env.fs != nullptr && env.wall_ms && env.fatal);
  if (std::string problem = options.Problem(); !problem.empty()) {
    return absl::InvalidArgumentError(problem);
  }
  Options fitted = options;
  if (options.reserve_bytes == 0 || options.snapshot_log_bytes == 0 ||
      options.log.segment_bytes == 0) {
    if (absl::Status s = env.fs->CreateDirectory(options.data_dir); !s.ok()) return s;
    absl::StatusOr<uint64_t> volume_bytes = env.fs->TotalBytes(options.data_dir);
    if (!volume_bytes.ok()) return volume_bytes.status();
    FitToVolume(*volume_bytes, &fitted);
    const std::string problem = VolumeProblem(*volume_bytes, fitted);
    const auto& log = env.log_warning ? env.log_warning : env.log_line;
    if (!problem.empty() && log) log(problem);
  }
  auto node = std::make_unique<NodeImpl>(fitted, env);
  if (absl::Status status = node->Start(now); !status.ok()) return status;
  return std::unique_ptr<Node>(std::move(node));
}

NodeImpl::NodeImpl(const Options& options, const Env& env)
    : options_(options),
      env_(env),
      self_(raft::NodeIdOf(options.name)),
      clock_(self_),
      meter_(env.turn_clock),
      standing_(raft::ClusterId(), options.raft.election_max),
      memory_(options.memory_limit) {}

NodeImpl::~NodeImpl() {
  broker_.reset();
  while (answers_.RunOne()) {  // each call is answered once
  }
}

absl::Status NodeImpl::Start(Time now) {
  now_ = now;
  opened_at_ = now;
  storage::FileSystem& fs = *env_.fs;
  if (absl::Status status = fs.CreateDirectory(options_.data_dir); !status.ok()) return status;
  absl::StatusOr<std::unique_ptr<storage::FileLock>> lock = fs.Lock(options_.data_dir + "/LOCK");
  if (!lock.ok()) return lock.status();
  lock_ = *std::move(lock);

  if (absl::Status s = CheckWentBack(fs, options_.data_dir); !s.ok()) return s;

  const uint64_t incarnation_seed =
      options_.seed ^ (static_cast<uint64_t>(env_.wall_ms()) * 0x9e3779b97f4a7c15ULL);
  absl::StatusOr<OpenedLog> opened = OpenOrFormLog(options_, fs, incarnation_seed);
  if (!opened.ok()) return opened.status();
  log_ = std::move(opened->log);
  const storage::RecoveredLog& recovered = opened->recovered;
  standing_ = Standing(recovered.raft.cluster, options_.raft.election_max);
  absl::StatusOr<std::vector<raft::Boot>> boots =
      AddBoot(fs, options_.data_dir, recovered.raft.incarnation, incarnation_seed);
  if (!boots.ok()) return boots.status();
  opened->recovered.raft.boots = *std::move(boots);

  absl::StatusOr<std::unique_ptr<storage::SnapshotStore>> store =
      storage::SnapshotStore::Open(fs, options_.data_dir + "/snap");
  if (!store.ok()) return store.status();
  absl::StatusOr<RecoveredState> state = RecoverState(store->get(), &opened->recovered.raft);
  if (!state.ok()) return state.status();
  for (const std::string& warning : state->warnings) LogWarning(warning);
  state_ = std::move(state->state);
  snapshot_bytes_ = state->snapshot_bytes;
  recovered_last_ = recovered.raft.last_index;
  recovered_term_ = recovered.raft.hard_state.term;
  const raft::SnapshotMeta& meta = recovered.raft.snapshot;
  snapshot_index_ = meta.index;

  actor_ = std::make_unique<SnapshotActor>(&fs, options_.data_dir, *std::move(store), log_.get(),
                                           options_.snapshot_chunk_bytes, env_.wake_snapshots,
                                           ActorCallbacks());
  log_->OnWork([this] {
    if (env_.wake_log) env_.wake_log();
  });
  log_->OnDurable([this](raft::Token token) {
    if (inbox_.AddDurable(token)) RunLoop();
  });
  raft::Options raft_options = options_.raft;
  raft_options.formation_wait = 2 * options_.raft.election_max;
  raft_ = std::make_unique<raft::Raft>(raft_options, recovered.raft, log_.get(),
                                       options_.seed ^ self_.value(), now);
  status_ = raft_->status();
  MakeBroker(0);
  next_space_check_ = now;
  UpdatePeers();
  MaybePublishStatus();
  std::string line = opened->formed ? "formed a new cluster" : "recovered";
  line += ": last index " + std::to_string(recovered.raft.last_index.value()) + ", term " +
          std::to_string(recovered.raft.hard_state.term.value()) + ", snapshot at " +
          std::to_string(meta.index.value());
  if (recovered.torn_bytes > 0) {
    line += ", cut " + std::to_string(recovered.torn_bytes) +
            " torn bytes at the end of the log, none of them acknowledged";
  }
  LogLine(line);
  return absl::OkStatus();
}

void NodeImpl::MakeBroker(uint64_t salt) {
  queue::JobTimes times;
  if (broker_ != nullptr) times = broker_->times();
  broker_ = std::make_unique<queue::Broker>(options_.broker, state_.get(),
                                            options_.seed ^ (self_.value() + salt));
  broker_->SetTimes(std::move(times));
  broker_->SetHint(Hint());
  broker_->SetLowSpace(low_space_);
  UpdateLowMemory();
  if (draining_) broker_->Drain();
  if (env_.wake_answers) {
    broker_->AnswerElsewhere([this](Answers::Work work) { RunElsewhere(std::move(work)); });
  }
  if (env_.probe != nullptr) {
    broker_->OnGrant(
        [this](const std::string& id, queue::LeaseToken token) { env_.probe->OnGrant(id, token); });
  }
}

void NodeImpl::Post(std::function<void(Time)> task) {
  if (inbox_.AddTask(std::move(task)) && env_.wake_loop) env_.wake_loop();
}

void NodeImpl::RunElsewhere(Answers::Work work) {
  if (!env_.wake_answers) return work();
  if (answers_.Add(std::move(work))) env_.wake_answers();
}

void NodeImpl::RunLoop() {
  if (env_.run_loop) {
    env_.run_loop();
  } else if (env_.wake_loop) {
    env_.wake_loop();
  }
}

void NodeImpl::Submit(queue::AnyCall call) {
  const bool well_formed =
      std::visit([this](auto& c) { return queue::Prepare(options_.broker, &c); }, call);
  if (!well_formed) return;
  std::optional<queue::Error> refused;
  if (inbox_.AddCall(call, options_.inbox, &refused)) RunLoop();
  if (refused) std::visit([&](auto& c) { c.done(*std::move(refused)); }, call);
}

void NodeImpl::Receive(std::vector<raft::Message> messages) {
  if (messages.empty() || !inbox_.AddMessages(std::move(messages))) return;
  if (env_.run_loop_and_log) {
    env_.run_loop_and_log();
  } else {
    RunLoop();
  }
}

void NodeImpl::PeerDisconnected(raft::NodeId peer) {
  Post([this, peer](Time now) { Step(now, raft::PeerUnreachable{peer}); });
}

void NodeImpl::RequestView(std::function<void(const NodeView&)> done) {
  Post([this, done = std::move(done)](Time) {
    RunElsewhere([done, view = MakeView()] { done(view); });
  });
}

void NodeImpl::RequestMetrics(std::function<void(const NodeMetrics&)> done) {
  Post([this, done = std::move(done)](Time) {
    NodeMetrics metrics = metrics_;
    metrics.view = MakeView();
    metrics.times = broker_->times();
    metrics.turns = meter_.times();
    const StateFigures figures = before_restore_ ? *before_restore_ : Figures();
    metrics.queues = figures.queues;
    metrics.forgotten_queues = figures.forgotten_queues;
    metrics.used_request_ids = figures.used_request_ids;
    metrics.state_level = figures.level;
    metrics.memory = MemoryInUse();
    if (const int64_t time_ms = clock_.NowMs(now_); time_ms != 0) {
      metrics.clock_offset_ms = time_ms - env_.wall_ms();
    }
    RunElsewhere([done, metrics = std::move(metrics)] { done(metrics); });
  });
}

StatusWatch NodeImpl::Watch(StatusWatcher watcher) { return board_.Watch(std::move(watcher)); }

void NodeImpl::MaybePublishStatus() {
  // While a snapshot is restored there are no keys; those known before stay valid.
  queue::KeyTablePtr keys = before_restore_ ? published_keys_ : state_->api_keys();
  if (published_config_ != nullptr && keys == published_keys_ && serving_ == published_serving_ &&
      excluded_ == published_excluded_ && status_.role == published_status_.role &&
      status_.term == published_status_.term && status_.leader == published_status_.leader) {
    return;
  }
  if (published_config_ == nullptr) {
    published_config_ = std::make_shared<const raft::Configuration>(raft_->config());
  }
  published_status_ = status_;
  published_serving_ = serving_;
  published_excluded_ = excluded_;
  published_keys_ = std::move(keys);
  const queue::LeaderHint hint = Hint();
  board_.Publish({.role = status_.role,
                  .term = status_.term,
                  .leader_name = hint.leader_id,
                  .leader_address = hint.leader_address,
                  .serving = serving_,
                  .config = published_config_,
                  .keys = published_keys_,
                  .excluded = excluded_});
}

queue::LeaderHint NodeImpl::Hint() const {
  queue::LeaderHint hint;
  hint.term = status_.term.value();
  if (status_.leader == raft::NodeId()) return hint;
  if (const raft::Member* member = raft_->config().Find(status_.leader)) {
    hint.leader_id = member->name;
    hint.leader_address = member->address;
  }
  // --peers has the current addresses. The log has those from the forming of the cluster.
  for (const MemberSpec& spec : options_.members) {
    if (raft::NodeIdOf(spec.name) == status_.leader) hint.leader_address = spec.address;
  }
  return hint;
}

NodeView NodeImpl::MakeView() const {
  NodeView view;
  view.name = options_.name;
  view.cluster = log_->identity().cluster;
  view.raft = raft_->GetView();
  const queue::LeaderHint hint = Hint();
  view.leader_name = hint.leader_id;
  view.leader_address = hint.leader_address;
  view.applied_index = state_->applied_index().value();
  view.digest = state_->Digest();
  view.jobs = state_->job_count();
  if (before_restore_) {
    view.applied_index = before_restore_->applied_index;
    view.digest = before_restore_->digest;
    view.jobs = before_restore_->jobs;
  }
  view.broker = broker_->gauges();
  view.log = log_->stats();
  view.snapshot_index = snapshot_index_.value();
  view.excluded = excluded_;
  return view;
}

bool NodeImpl::PollLog() {
  if (failed_.load(std::memory_order_relaxed)) return false;
  absl::StatusOr<bool> did = log_->Poll();
  if (did.ok()) return *did;
  Fatal(did.status());
  return false;
}

bool NodeImpl::PollSnapshots() {
  if (failed_.load(std::memory_order_relaxed)) return false;
  return actor_->Poll();
}

bool NodeImpl::PollAnswers() { return answers_.RunOne(); }

Duration NodeImpl::TurnCost() const { return Duration(shares_.SpentNs() / 1000); }

absl::Status NodeImpl::Close() {
  if (failed_.load(std::memory_order_relaxed)) {
    return absl::FailedPreconditionError("not closed: a storage error was reported before");
  }
  return log_->Close();
}

void NodeImpl::Fatal(const absl::Status& status) {
  if (!failed_.exchange(true)) env_.fatal(status);
}

void NodeImpl::LogLine(const std::string& line) const {
  if (env_.log_line) env_.log_line(line);
}

void NodeImpl::LogWarning(const std::string& line) const {
  if (env_.log_warning) {
    env_.log_warning(line);
  } else {
    LogLine(line);
  }
}

}  // namespace dqueue::node
