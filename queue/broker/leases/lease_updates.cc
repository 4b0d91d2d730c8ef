#include "queue/broker/leases/lease_updates.h"

#include <chrono>
#include <optional>
#include <utility>

#include "queue/api/proto_time.h"
#include "queue/broker/refusals.h"

namespace dqueue::queue {

void LeaseUpdates::Submit(Time now, ExtendCall call) {
  const Duration duration =
      call.request.has_lease_duration()
          ? Duration(std::chrono::milliseconds(DurationMs(call.request.lease_duration())))
          : options_.lease_timeout;
  items_.Decide(
      now, std::move(call),
      [this, duration](Time at, const ItemWork<ExtendCall>& work, int i) -> std::optional<Error> {
        Claim claim;
        const auto& item = work.call.request.items(i);
        if (auto error = grants_.FindClaim(item, work.call.access, &claim)) return error;
        if (IsFinished(claim.view.state)) {
          return InvalidStateError(claim.view.id, claim.view.state);
        }
        return grants_.Extend(at, clock_.wall_ms(), claim, work.worker, at + duration);
      });
}

void LeaseUpdates::Submit(Time now, ReleaseCall call) {
  items_.Decide(now, std::move(call),
                [this](Time at, const ItemWork<ReleaseCall>& work, int i) -> std::optional<Error> {
                  Claim claim;
                  const auto& item = work.call.request.items(i);
                  if (auto error = grants_.FindClaim(item, work.call.access, &claim)) return error;
                  if (IsFinished(claim.view.state)) {
                    return InvalidStateError(claim.view.id, claim.view.state);
                  }
                  return grants_.Release(at, claim, work.worker, item.delivery());
                });
}

}  // namespace dqueue::queue
