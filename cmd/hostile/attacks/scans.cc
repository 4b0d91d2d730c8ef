// Filters that make the leader look at every job and find nothing.
#include "cmd/hostile/attacks/attacks.h"
#include "cmd/hostile/attacks/stock.h"

namespace dqueue::cmd {
namespace {

class Scans : public Attack {
 public:
  void Round(Caller& caller) override {
    v1::ListJobsRequest list;
    list.set_type("no-job-has-this-type");
    list.set_state(v1::JOB_STATE_DEAD);
    list.set_page_size(1000);
    list.set_page_token(token_);
    v1::GroupDeadJobsRequest groups;
    groups.set_type("no-job-has-this-type");
    const Request calls[] = {JobCall("ListJobs", list), JobCall("GroupDeadJobs", groups)};
    caller.CallAtOnce(calls, 10);
    v1::ListJobsResponse page;
    token_ = caller.Call(calls[0], &page) ? page.next_page_token() : "";
  }

 private:
  std::string token_;
};

}  // namespace

std::unique_ptr<Attack> MakeScans() { return Make<Scans>(); }

}  // namespace dqueue::cmd
