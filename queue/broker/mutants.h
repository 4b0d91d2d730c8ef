// Deliberate bugs of the broker (base/mutant.h).
#pragma once

#include "base/mutant.h"

namespace dqueue::queue::mutants {

#define DQ_BROKER_MUTANTS(M)                                                      \
  M(kGrantWithoutConfirmation, "leases are granted without a confirmation round") \
  M(kAckingNotGuarded, "a job whose completion is in flight can be leased again") \
  M(kAnswerBeforeCommit, "enqueues are answered when proposed")                   \
  M(kExpiryNotLogged, "an expired lease is not counted")                          \
  M(kDeletingNotGuarded, "a job whose deletion is in flight can be leased")       \
  M(kAccessNotCheckedOnComplete,                                                  \
    "completions of jobs in queues that the caller may not see are accepted")     \
  M(kAccessNotCheckedInStats, "totals count queues that the caller may not see")

DQ_DECLARE_MUTANTS(kOfBroker, DQ_BROKER_MUTANTS)

}  // namespace dqueue::queue::mutants
