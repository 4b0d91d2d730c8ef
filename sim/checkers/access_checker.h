// Callers that may see some queues only (queue::Call::access). Rule J29: what names another queue
// is denied, and only that; a job in one cannot be told from one that never was; and nothing of it
// is shown, counted or changed.
#pragma once

#include <string>

#include "dqueue/v1/service.pb.h"
#include "google/rpc/status.pb.h"
#include "queue/api/error.h"
#include "queue/api/key.h"
#include "sim/checkers/grant_checker.h"

namespace dqueue::sim {

class World;

class AccessChecker {
 public:
  explicit AccessChecker(World* world) : world_(world) {}

  template <class Request, class Response>
  void Check(const ServerCall& call, const Request& request,
             const queue::Outcome<Response>& outcome) const {
    CheckDenial(call, DeniedQueue(call.access, request), outcome.ok(), outcome.error.reason);
    if (call.access == nullptr || !outcome.ok()) return;
    if constexpr (requires { request.items(0).token(); }) {
      for (int i = 0; i < request.items_size(); ++i) {
        CheckItem(call, request.items(i).id(), request.items(i).token().job(),
                  outcome.value.results(i));
      }
    } else if constexpr (requires { request.ids(0).size(); }) {
      for (int i = 0; i < request.ids_size(); ++i) {
        CheckItem(call, request.ids(i), 0, outcome.value.results(i));
      }
    } else if constexpr (requires { outcome.value.job().queue(); }) {
      CheckShown(call, outcome.value.job());
    } else if constexpr (requires { outcome.value.jobs(0).queue(); }) {
      for (const v1::Job& job : outcome.value.jobs()) CheckShown(call, job);
    } else if constexpr (requires { outcome.value.total(); }) {
      CheckCounted(call, outcome.value);
    }
  }

 private:
  // The first queue that the request names and the caller may not see; empty: none.
  static std::string FirstDenied(const queue::QueueAccessPtr& access, const std::string& queue);
  template <class Request>
  static std::string DeniedQueue(const queue::QueueAccessPtr& access, const Request& request) {
    if constexpr (requires { request.jobs(0).queue(); }) {
      for (const v1::JobSpec& job : request.jobs()) {
        std::string denied = FirstDenied(access, job.queue().empty() ? "default" : job.queue());
        if (!denied.empty()) return denied;
      }
    } else if constexpr (requires { request.queues(0); }) {
      if (request.queues().empty()) return FirstDenied(access, "default");
      for (const std::string& queue : request.queues()) {
        if (std::string denied = FirstDenied(access, queue); !denied.empty()) return denied;
      }
    } else if constexpr (requires { request.queue(); }) {
      if (!request.queue().empty()) return FirstDenied(access, request.queue());
    }
    return "";
  }
  void CheckDenial(const ServerCall& call, const std::string& denied, bool ok,
                   const std::string& reason) const;
  // job_sequence 0: whichever has the id.
  void CheckItem(const ServerCall& call, const std::string& id, uint64_t job_sequence,
                 const google::rpc::Status& status) const;
  void CheckShown(const ServerCall& call, const v1::Job& job) const;
  void CheckCounted(const ServerCall& call, const v1::GetStatsResponse& stats) const;
  std::string Who(const ServerCall& call) const;

  World* world_;
};

}  // namespace dqueue::sim
