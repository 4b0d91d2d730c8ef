// Calls with one google.rpc.Status for each item: complete, fail, extend, release, cancel, retry
// and delete. ItemWork holds such a call; ItemCalls does what all of them have in common.
//
// An item becomes a command of the log, or is decided at once from the leader's own knowledge. In
// the second case the call also waits for a confirmation round: a deposed leader's knowledge is out
// of date.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/check.h"
#include "queue/api/error_status.h"
#include "queue/api/validate.h"
#include "queue/broker/admission.h"
#include "queue/broker/confirmations.h"
#include "queue/broker/log_clock.h"
#include "queue/broker/refusals.h"
#include "queue/broker/reports/worker_registry.h"
#include "queue/broker/work.h"

namespace dqueue::queue {

// C is a Call whose response is one status for each item.
template <class C>
class ItemWork : public Work {
 public:
  ItemWork(C c, const Admission& admission) : Work(c.deadline, admission), call(std::move(c)) {
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

  void Set(Time, uint32_t item, const CommandResult& result, bool newer) override {
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
  uint32_t worker = 0;  // WorkerRegistry's number of the calling worker; 0: none
};

class ItemCalls {
 public:
  ItemCalls(const Admission& admission, const LogClock& clock, WorkerRegistry& workers,
            Confirmations& confirmations)
      : admission_(admission), clock_(clock), workers_(workers), confirmations_(confirmations) {}

  // Carries out a call whose items may become commands. propose(work, part, i) appends a command
  // with part.Another() and returns true, or decides item i at once and returns false.
  template <class C, class F>
  void Propose(Time now, C call, const F& propose) {
    std::unique_ptr<ItemWork<C>> owned = Checked(std::move(call));
    if (owned == nullptr) return;
    ItemWork<C>& work = *owned;
    if (auto error = admission_.AdmitCommands(now, work.deadline(), work.Size(),
                                              work.call.request.GetCachedSize())) {
      return work.Answer(std::move(error));
    }
    NoteWorker(now, &work);
    WorkPart part(std::move(owned));
    bool decided_here = false;
    for (int i = 0; i < work.Size(); ++i) {
      if (work.Refused(i)) continue;
      if (!propose(work, part, i)) decided_here = true;
    }
    if (decided_here) confirmations_.AddPart(part.Another());
    part.Done();
  }

  // Carries out a call that is decided here alone. decide(work, i) returns why item i is refused;
  // nullopt: it is done.
  template <class C, class F>
  void Decide(Time now, C call, const F& decide) {
    std::unique_ptr<ItemWork<C>> owned = Checked(std::move(call));
    if (owned == nullptr) return;
    ItemWork<C>& work = *owned;
    if (auto error = admission_.AdmitWork(now, work.deadline())) {
      return work.Answer(std::move(error));
    }
    NoteWorker(now, &work);
    for (int i = 0; i < work.Size(); ++i) {
      if (work.Refused(i)) continue;
      if (auto error = decide(work, i)) work.Refuse(i, *error);
    }
    confirmations_.AddPart(WorkPart(std::move(owned)));
  }

 private:
  // The work of a call, with its malformed items refused. Null if that answered the call: the
  // request was malformed as a whole, or every item was.
  template <class C>
  std::unique_ptr<ItemWork<C>> Checked(C call) {
    if (auto error = CheckRequest(call.request)) {
      call.done(*std::move(error));
      return nullptr;
    }
    auto work = std::make_unique<ItemWork<C>>(std::move(call), admission_);
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

  template <class C>
  void NoteWorker(Time now, ItemWork<C>* work) {
    if constexpr (requires { work->call.request.worker_id(); }) {
      work->worker = workers_.Heard(work->call.request.worker_id(), now, clock_.wall_ms());
    }
  }

  const Admission& admission_;
  const LogClock& clock_;
  WorkerRegistry& workers_;
  Confirmations& confirmations_;
};

}  // namespace dqueue::queue
