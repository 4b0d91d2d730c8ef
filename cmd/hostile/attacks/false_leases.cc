// Verdicts on leases that nobody has: one a call and 10,000 a call.
#include "cmd/hostile/attacks/attacks.h"
#include "cmd/hostile/attacks/stock.h"

namespace dqueue::cmd {
namespace {

class FalseLeases : public Attack {
 public:
  void Round(Caller& caller) override {
    if (!stock_.Ready(caller)) return;
    if (++round_ % 4 == 0) {
      const Request large[] = {Complete(caller, 10000),
                               Verdict<v1::FailJobsRequest>(caller, "FailJobs", 10000),
                               Verdict<v1::ExtendLeasesRequest>(caller, "ExtendLeases", 10000),
                               Verdict<v1::ReleaseJobsRequest>(caller, "ReleaseJobs", 10000)};
      caller.CallAtOnce(large, 1);
    } else {
      const Request small[] = {Complete(caller, 1),
                               Verdict<v1::FailJobsRequest>(caller, "FailJobs", 1),
                               Verdict<v1::ExtendLeasesRequest>(caller, "ExtendLeases", 1),
                               Verdict<v1::ReleaseJobsRequest>(caller, "ReleaseJobs", 1)};
      caller.CallAtOnce(small, 100);
    }
  }

 private:
  static constexpr int kJobs = 1000;

  template <class Message>
  static Request Verdict(Caller& caller, std::string_view method, int items) {
    Message message;
    for (int i = 0; i < items; ++i) {
      auto& item = *message.add_items();
      item.set_id(caller.queue() + "-" + std::to_string(caller.random()() % (2 * kJobs)));
      item.mutable_token()->set_term(1);
      item.mutable_token()->set_sequence(caller.random()());
      item.mutable_token()->set_job(1);
    }
    return WorkerCall(method, message);
  }
  static Request Complete(Caller& caller, int items) {
    return Verdict<v1::CompleteJobsRequest>(caller, "CompleteJobs", items);
  }

  Stock stock_{kJobs, 0};
  int round_ = 0;
};

}  // namespace

std::unique_ptr<Attack> MakeFalseLeases() { return Make<FalseLeases>(); }

}  // namespace dqueue::cmd
