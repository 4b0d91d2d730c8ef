// Checks calls whose caller has access to some queues only (queue::Call::access). Rule J29: a call
// is answered QUEUE_DENIED if and only if it names a queue without access. A job in such a queue is
// treated like a job that does not exist. Such a queue is never shown, counted or changed.
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
  // `queue` if the caller has no access to it, else an empty text.
  static std::string EmptyIfAllowed(const queue::QueueAccessPtr& access, const std::string& queue);
  // The first queue that the request names and the caller has no access to; empty if there is none.
  template <class Request>
  static std::string DeniedQueue(const queue::QueueAccessPtr& access, const Request& request) {
    if constexpr (requires { request.jobs(0).queue(); }) {
      for (const v1::JobSpec& job : request.jobs()) {
        std::string denied = EmptyIfAllowed(access, job.queue().empty() ? "default" : job.queue());
        if (!denied.empty()) return denied;
      }
    } else if constexpr (requires { request.queues(0); }) {
      if (request.queues().empty()) return EmptyIfAllowed(access, "default");
      for (const std::string& queue : request.queues()) {
        if (std::string denied = EmptyIfAllowed(access, queue); !denied.empty()) return denied;
      }
    } else if constexpr (requires { request.queue(); }) {
      if (!request.queue().empty()) return EmptyIfAllowed(access, request.queue());
    }
    return "";
  }
  void CheckDenial(const ServerCall& call, const std::string& denied, bool ok,
                   const std::string& reason) const;
  // job_sequence 0: any job with this id.
  void CheckItem(const ServerCall& call, const std::string& id, uint64_t job_sequence,
                 const google::rpc::Status& status) const;
  void CheckShown(const ServerCall& call, const v1::Job& job) const;
  void CheckCounted(const ServerCall& call, const v1::GetStatsResponse& stats) const;
  // Describes the node and the caller, for the text of a violation.
  std::string Describe(const ServerCall& call) const;

  World* world_;
};

}  // namespace dqueue::sim
