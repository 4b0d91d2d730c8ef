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
#include "queue/broker/pace.h"
#include "queue/broker/partial_calls.h"
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
            Confirmations& confirmations, PartialCalls& partial)
      : admission_(admission),
        clock_(clock),
        workers_(workers),
        confirmations_(confirmations),
        partial_(partial) {}

  // Carries out a call whose items may become commands. propose(now, work, part, i) appends a
  // command with part.Another() and returns true, or decides item i at once and returns false.
  template <class C, class F>
  void Propose(Time now, C call, F propose) {
    Begin(now, std::move(call), /*appends=*/true,
          [this, propose = std::move(propose)](Time at, ItemWork<C>& work, const WorkPart& part,
                                               int i) {
            admission_.pace().Spend(kFindNs);
            return propose(at, work, part, i);
          });
  }

  // Carries out a call that is decided here alone. decide(now, work, i) returns why item i is
  // refused; nullopt: it is done.
  template <class C, class F>
  void Decide(Time now, C call, F decide) {
    Begin(now, std::move(call), /*appends=*/false,
          [this, decide = std::move(decide)](Time at, ItemWork<C>& work, const WorkPart&, int i) {
            admission_.pace().Spend(kFindNs);
            if (auto error = decide(at, work, i)) work.Refuse(i, *error);
            return false;
          });
  }

 private:
  // A call with very many items, which takes several turns: checks all items, is admitted, then
  // carries out one item after the other. `carry_out` returns true if it appended a command.
  template <class C, class F>
  class Items final : public PartialCall {
   public:
    Items(ItemCalls& calls, std::unique_ptr<ItemWork<C>> work, bool appends, F carry_out)
        : calls_(calls),
          appends_(appends),
          unadmitted_(std::move(work)),
          carry_out_(std::move(carry_out)) {}
    // The leadership is over before the call was admitted.
    ~Items() override {
      if (unadmitted_ != nullptr) unadmitted_->Answer(calls_.admission_.NotServing());
    }

    bool Continue(Time now) override {
      Pace& pace = calls_.admission_.pace();
      if (unadmitted_ != nullptr) {
        ItemWork<C>& work = *unadmitted_;
        for (; checked_ < work.Size(); ++checked_) {
          if (pace.Exhausted()) return false;
          pace.Spend(kResultNs / 2);
          if (auto error = CheckItem(work.call.request, checked_)) {
            work.Refuse(checked_, *error);
            ++refused_;
          }
        }
        if (!Admit(now)) return true;
      }
      for (; next_ < work_->Size(); ++next_) {
        if (work_->Refused(next_)) continue;
        if (pace.Exhausted()) return false;
        if (!carry_out_(now, *work_, part_, next_)) decided_here_ = true;
      }
      if (decided_here_) calls_.confirmations_.AddPart(part_.Another());
      part_.Done();
      return true;
    }

   private:
    // All items are checked. False: the call is answered.
    bool Admit(Time now) {
      std::unique_ptr<ItemWork<C>> work = std::move(unadmitted_);
      if (refused_ == work->Size()) {
        work->Answer(std::nullopt);
        return false;
      }
      const Admission& admission = calls_.admission_;
      std::optional<Error> error =
          appends_ ? admission.AdmitCommands(now, work->deadline(), work->Size(),
                                             work->call.request.GetCachedSize())
                   : admission.AdmitWork(now, work->deadline());
      if (error) {
        work->Answer(std::move(error));
        return false;
      }
      calls_.NoteWorker(now, work.get());
      work_ = work.get();
      part_ = WorkPart(std::move(work));
      return true;
    }

    ItemCalls& calls_;
    const bool appends_;
    std::unique_ptr<ItemWork<C>> unadmitted_;
    ItemWork<C>* work_ = nullptr;  // once admitted; kept alive by part_
    WorkPart part_;
    const F carry_out_;
    int checked_ = 0;
    int refused_ = 0;
    int next_ = 0;
    bool decided_here_ = false;
  };

  template <class C, class F>
  void Begin(Time now, C call, bool appends, F carry_out) {
    if (auto error = CheckRequest(call.request)) return call.done(*std::move(error));
    auto work = std::make_unique<ItemWork<C>>(std::move(call), admission_);
    partial_.Run(
        now, std::make_unique<Items<C, F>>(*this, std::move(work), appends, std::move(carry_out)));
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
  PartialCalls& partial_;
};

}  // namespace dqueue::queue
