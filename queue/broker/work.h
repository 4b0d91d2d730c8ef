// A client's call that is carried out item by item: some items become commands of the log, some are
// decided at once, and the call is answered when every command is decided and, if anything was
// decided from the leader's own knowledge, a round has confirmed the leadership.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "queue/api/error_status.h"
#include "queue/api/validate.h"
#include "queue/broker/broker.h"
#include "queue/broker/refusals.h"
#include "queue/state/command_reader.h"
#include "queue/state/state_machine.h"
#include "raft/types.h"

namespace dqueue::queue {

class Work {
 public:
  // Why a part of the call was not carried out, in the order of which is told when there are
  // several.
  enum class Failure : uint8_t { kNone, kNotServing, kOverloaded, kDeadline, kShutdown, kUnknown };

  explicit Work(Time call_deadline) : deadline(call_deadline) {}
  virtual ~Work() = default;
  Work(const Work&) = delete;
  Work& operator=(const Work&) = delete;

  // The log has decided an item. newer: if it found the lease stale, whether that is because of a
  // later one.
  virtual void Set(uint32_t item, const CommandResult& result, bool newer) = 0;
  // Answers the caller, with what was set or with an error for all. Once, then the work is gone.
  virtual void Answer(std::optional<Error> error) = 0;

  const Time deadline;
  // Parts that are not decided: commands, and one for each round it waits for.
  uint32_t remaining = 0;
  // Commands in a batch that raft has, or had; with any, there may be an effect.
  uint32_t proposed = 0;
  bool applied = false;  // a command was applied
  Failure failure = Failure::kNone;
};

// A call for all jobs that match: it looks for them part by part, and counts those that its
// commands have changed.
class PickWork : public Work {
 public:
  PickWork(Time call_deadline, CommandKind command, const JobFilter& filter)
      : Work(call_deadline),
        kind(command),
        queue(filter.queue),
        type_(filter.type),
        error_contains_(filter.error_contains),
        error_fingerprint_(filter.error_fingerprint),
        states_(filter.states),
        access_(filter.access) {}

  JobFilter filter() const {
    return {.queue = queue,
            .type = type_,
            .states = states_,
            .error_contains = error_contains_,
            .access = access_,
            .error_fingerprint = error_fingerprint_};
  }
  void Set(uint32_t, const CommandResult& result, bool) override {
    // Else somebody else has deleted, retried, finished or replaced the job meanwhile.
    if (result.code == ResultCode::kOk) ++changed;
  }

  const CommandKind kind;  // kDelete or kRetry
  const std::string queue;
  size_t jobs_max = 0;
  size_t picked = 0;
  uint64_t changed = 0;
  bool more = false;
  std::optional<Error> refusal;
  // It looks at [begin, end), then comes round and looks at [0, begin).
  uint32_t begin = 0;
  uint32_t end = 0;
  uint32_t position = 0;
  bool came_round = false;

 private:
  const std::string type_;
  const std::string error_contains_;
  const std::optional<uint64_t> error_fingerprint_;
  const uint32_t states_;
  const QueueAccess* const access_;  // the call's, which outlives this
};

// One google.rpc.Status for each item. C is a Call whose response is only that.
template <class C>
class StatusWork : public Work {
 public:
  explicit StatusWork(C c) : Work(c.deadline), call(std::move(c)) {
    response.mutable_results()->Reserve(Size());
    for (int i = 0; i < Size(); ++i) response.add_results();
  }

  int Size() const {
    if constexpr (requires { call.request.items_size(); }) {
      return call.request.items_size();
    } else {
      return call.request.ids_size();
    }
  }
  const std::string& Id(int i) const {
    if constexpr (requires { call.request.items_size(); }) {
      return call.request.items(i).id();
    } else {
      return call.request.ids(i);
    }
  }
  void Refuse(int i, const Error& error) { *response.mutable_results(i) = ToRpcStatus(error); }
  bool Refused(int i) const { return response.results(i).code() != 0; }

  void Set(uint32_t item, const CommandResult& result, bool newer) override {
    const int i = static_cast<int>(item);
    switch (result.code) {
      case ResultCode::kOk:
      case ResultCode::kExisting:
        return;
      case ResultCode::kNotFound:
        return Refuse(i, JobNotFoundError(Id(i)));
      case ResultCode::kLeaseStale:
        return Refuse(i, LeaseStaleError(Id(i), newer));
      case ResultCode::kInvalidState:
        return Refuse(i, InvalidStateError(Id(i), result.state));
      default:
        CheckFailed(__FILE__, __LINE__, "a result that this command can have",
                    "result code " + std::to_string(static_cast<int>(result.code)));
    }
  }
  void Answer(std::optional<Error> error) override {
    if (error) return call.done(*std::move(error));
    call.done(std::move(response));
  }

  C call;
  typename C::ResponseType response;
  uint32_t worker = 0;  // who calls, if that is a worker: WorkerRegistry's number
};

// The work of a call, with its malformed items refused. Null if that answered the call: it was
// malformed as a whole, or no item is left.
template <class C>
std::unique_ptr<StatusWork<C>> CheckedWork(C call) {
  if (auto error = CheckRequest(call.request)) {
    call.done(*std::move(error));
    return nullptr;
  }
  auto work = std::make_unique<StatusWork<C>>(std::move(call));
  int refused = 0;
  for (int i = 0; i < work->Size(); ++i) {
    if (auto error = CheckItem(work->call.request, i)) {
      work->Refuse(i, *error);
      ++refused;
    }
  }
  if (refused < work->Size()) return work;
  work->Answer(std::nullopt);
  return nullptr;
}

class EnqueueWork : public Work {
 public:
  EnqueueWork(Time call_deadline, bool all_or_nothing, int jobs,
              std::function<void(Outcome<v1::EnqueueJobsResponse>)> done)
      : Work(call_deadline), all_or_nothing_(all_or_nothing), done_(std::move(done)) {
    response.mutable_results()->Reserve(jobs);
    for (int i = 0; i < jobs; ++i) response.add_results();
  }

  // Of an all-or-nothing call, `item` is 0 and stands for all.
  void Set(uint32_t item, const CommandResult& result, bool newer) override;
  void Answer(std::optional<Error> error) override {
    if (!error) error = std::move(rejected_);
    if (error) return done_(*std::move(error));
    done_(std::move(response));
  }

  v1::EnqueueJobsResponse response;

 private:
  const bool all_or_nothing_;
  std::function<void(Outcome<v1::EnqueueJobsResponse>)> done_;
  std::optional<Error> rejected_;
};

}  // namespace dqueue::queue
