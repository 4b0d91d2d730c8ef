// Calls that a node answers itself.
#include "cmd/hostile/attacks/attacks.h"
#include "cmd/hostile/attacks/stock.h"

namespace dqueue::cmd {
namespace {

class ClusterViews : public Attack {
 public:
  void Round(Caller& caller) override {
    // An empty message is a HealthCheckRequest, too.
    const Request calls[] = {
        Request("/dqueue.v1.ClusterService/GetCluster", v1::GetClusterRequest()),
        Request("/grpc.health.v1.Health/Check", v1::GetClusterRequest())};
    caller.CallAtOnce(calls, 250);
  }
};

}  // namespace

std::unique_ptr<Attack> MakeClusterViews() { return Make<ClusterViews>(); }

}  // namespace dqueue::cmd
