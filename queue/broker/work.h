// Work is a client's call while it is carried out in parts: commands on their way through the log,
// and confirmation rounds that it waits for.
//
// A WorkPart is the ownership of one part. It is move-only, and lives in the command or round that
// decides the part. When the last part is decided, the call is answered and the work is freed. A
// part that is destroyed undecided counts as failed: kUnknown if a command of the call was
// proposed, else kNotServing. So a call is always answered, exactly once, and a work never leaks.
// Used on the loop's thread; the count of parts is not atomic.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "queue/api/error.h"
#include "queue/broker/admission.h"
#include "queue/broker/pace.h"
#include "queue/state/state_machine.h"
#include "raft/types.h"

namespace dqueue::queue {

class Work {
 public:
  // Why a part of the call was not carried out. If several parts fail, the call is answered with
  // the greatest of these values.
  enum class Failure : uint8_t { kNone, kNotServing, kOverloaded, kDeadline, kShutdown, kUnknown };

  // `admission` must outlive the work: it knows the leader when the call is answered.
  Work(Time deadline, const Admission& admission) : deadline_(deadline), admission_(admission) {}
  virtual ~Work() = default;
  Work(const Work&) = delete;
  Work& operator=(const Work&) = delete;

  // The log has decided an item, at `now`. newer: if it found the lease stale, whether that is
  // because of a later one.
  virtual void Set(Time now, uint32_t item, const CommandResult& result, bool newer) = 0;
  // Answers the caller, with what was set or with an error for the whole call. Called once.
  virtual void Answer(std::optional<Error> error) = 0;

  Time deadline() const { return deadline_; }

 private:
  friend class WorkPart;

  std::optional<Error> WholeError() const;

  const Time deadline_;
  const Admission& admission_;
  uint32_t parts_ = 0;     // undecided
  uint32_t proposed_ = 0;  // commands that raft has, or had: with any, there may be an effect
  bool applied_ = false;   // a command was applied
  Failure failure_ = Failure::kNone;
};

class WorkPart {
 public:
  // Of no work: an expiry, for which no caller waits.
  WorkPart() = default;
  // The first part of `work`.
  explicit WorkPart(std::unique_ptr<Work> work) : work_(work.release()) { ++work_->parts_; }
  WorkPart(WorkPart&& other) noexcept : work_(std::exchange(other.work_, nullptr)) {}
  WorkPart& operator=(WorkPart&& other) noexcept {
    WorkPart taken(std::move(other));
    std::swap(work_, taken.work_);
    return *this;
  }
  ~WorkPart() {
    if (work_ != nullptr) Drop();
  }

  explicit operator bool() const { return work_ != nullptr; }
  // One more part of the same work.
  WorkPart Another() const {
    WorkPart part;
    part.work_ = work_;
    ++work_->parts_;
    return part;
  }

  Time deadline() const { return work_->deadline_; }
  // True if a command of the call was proposed.
  bool proposed() const { return work_->proposed_ > 0; }
  // The command of this part was given to raft.
  void Propose() { ++work_->proposed_; }
  // Raft reported that it did not append the command.
  void Unpropose();

  // Each of these decides the part, after which it is of no work.
  void Done() {
    Work* const work = std::exchange(work_, nullptr);
    if (--work->parts_ == 0) Finish(work);
  }
  void Fail(Work::Failure failure);
  // The command of this part was applied, with this result for the item.
  void Applied(Time now, uint32_t item, const CommandResult& result, bool newer);

 private:
  void Drop();
  // The last part is decided.
  static void Finish(Work* work);

  Work* work_ = nullptr;
};

}  // namespace dqueue::queue
