#include "storage/testing/log_crash.h"

#include <utility>

namespace dqueue::storage {
namespace {

constexpr size_t kMaxPayload = 16 << 10;

std::string Text(uint64_t n) { return std::to_string(n); }

}  // namespace

Identity CrashIdentity() {
  return {{0x1111, 0x2222}, raft::NodeId(7), raft::Incarnation(99), "alpha"};
}

LogOptions CrashOptions() {
  LogOptions options;
  options.segment_bytes = 64 << 10;
  options.max_entry_bytes = kMaxPayload;
  options.prepared_segments = 1;
  return options;
}

CrashWorkload::CrashWorkload(FaultFileSystem* fs, uint64_t seed, int batches)
    : fs_(*fs), writes_(seed, kMaxPayload), seed_(seed), batches_(batches) {}

bool CrashWorkload::Open() {
  RecoveredLog recovered;
  absl::StatusOr<std::unique_ptr<Log>> log =
      Log::Open(fs_, kCrashDirectory, CrashOptions(), &recovered);
  if (!log.ok()) {
    if (absl::IsDataLoss(log.status())) violation_ = std::string(log.status().message());
    return false;
  }
  log_ = *std::move(log);
  log_->OnDurable([this](raft::Token token) {
    if (token.value() <= last_durable_) violation_ = "token " + Text(token.value()) + " again";
    last_durable_ = token.value();
    acknowledged_ = positions_.at(token.value());
  });
  const ModelState state = StateOf(recovered, *log_);
  if (!(state == model_.now())) {
    violation_ = "opened with " + Describe(state) + " instead of " + Describe(model_.now());
  }
  return violation_.empty();
}

void CrashWorkload::Run() {
  const raft::HardState first{raft::Term(1), raft::NodeId(), raft::Index(1)};
  const std::vector<raft::Entry> entries = {MakeEntry(1, 1, "config", raft::EntryKind::kConfig)};
  model_ = LogModel(first, entries);
  if (!Log::Format(fs_, kCrashDirectory, CrashIdentity(), first, entries, CrashOptions()).ok()) {
    return;
  }
  formatted_ = true;
  if (!Open()) return;
  for (int batch = 0; batch < batches_; ++batch) {
    const uint64_t submissions = 1 + (seed_ + static_cast<uint64_t>(batch)) % 3;
    for (uint64_t i = 0; i < submissions; ++i) {
      LogWrite write = writes_.Next(model_.now());
      write.token = raft::Token(++token_);
      model_.Add(write);
      positions_[token_] = model_.position();
      log_->Submit(std::move(write));
    }
    if (batch % 3 == 0 && !log_->PrepareSegments().ok()) return;
    if (!log_->Poll().ok()) return;
    if (acknowledged_ != model_.position()) violation_ = "a batch was not reported durable";
    if (batch % 40 == 39) {
      if (!log_->Close().ok()) return;
      log_.reset();
      if (!Open()) return;
    }
  }
  finished_ = true;
}

std::string CheckAfterCrash(FaultFileSystem& fs, const CrashWorkload& workload) {
  if (!workload.violation().empty()) return workload.violation();
  RecoveredLog recovered;
  absl::StatusOr<std::unique_ptr<Log>> log =
      Log::Open(fs, kCrashDirectory, CrashOptions(), &recovered);
  if (!workload.formatted() && absl::IsNotFound(log.status())) {
    const absl::StatusOr<bool> exists = Log::Exists(fs, kCrashDirectory);
    return exists.ok() && !*exists ? "" : "Exists() is true, but Open() finds no log";
  }
  if (!log.ok()) return std::string(log.status().message());
  const ModelState state = StateOf(recovered, **log);
  const ptrdiff_t position = workload.model().Find(state, workload.acknowledged());
  if (position < 0) {
    return "found " + Describe(state) + "; acknowledged was position " +
           Text(workload.acknowledged()) + " of " + Text(workload.model().position()) + ", " +
           Describe(workload.model().now());
  }
  if (recovered.damaged_from) return "damage was reported";
  if ((*log)->identity() != CrashIdentity()) return "another identity";

  LogModel model = workload.model();
  model.Rewind(static_cast<size_t>(position));
  RandomWrites more(17, kMaxPayload);
  uint64_t durable = 0;
  (*log)->OnDurable([&durable](raft::Token token) { durable = token.value(); });
  for (uint64_t token = 1; token <= 5; ++token) {
    LogWrite write = more.Next(model.now());
    model.Add(write);
    write.token = raft::Token(token);
    (*log)->Submit(std::move(write));
  }
  const absl::StatusOr<bool> polled = (*log)->Poll();
  if (!polled.ok()) return "writing after recovery: " + std::string(polled.status().message());
  if (durable != 5) return "writing after recovery: not reported durable";
  log->reset();
  fs.CrashKeeping(false);
  log = Log::Open(fs, kCrashDirectory, CrashOptions(), &recovered);
  if (!log.ok()) return "second start: " + std::string(log.status().message());
  const ModelState second = StateOf(recovered, **log);
  if (!(second == model.now())) {
    return "second start: found " + Describe(second) + " instead of " + Describe(model.now());
  }
  return {};
}

std::string CrashEverywhere(uint64_t workload_seed, int batches, uint64_t crashes) {
  for (uint64_t n = 0;; ++n) {
    FaultFileSystem fs;
    fs.StopAfter(n);
    CrashWorkload workload(&fs, workload_seed, batches);
    workload.Run();
    for (uint64_t seed = 0; seed < crashes; ++seed) {
      std::unique_ptr<FaultFileSystem> crashed = fs.Clone();
      if (seed < 2) {
        crashed->CrashKeeping(seed == 1);
      } else {
        crashed->Crash(n * 100 + seed);
      }
      const std::string violation = CheckAfterCrash(*crashed, workload);
      if (!violation.empty()) {
        return "workload " + Text(workload_seed) + ", stopped after operation " + Text(n) +
               ", crash " + Text(seed) + ": " + violation;
      }
    }
    if (workload.finished()) return {};
  }
}

}  // namespace dqueue::storage
