// Mutants of the log (base/mutant.h).
#pragma once

#include "base/mutant.h"

namespace dqueue::storage::mutants {

#define DQ_STORAGE_MUTANTS(M)                                                              \
  M(kDirectoryNotSynced, "the directory entry of a new segment is not synced")             \
  M(kSyncSkipped, "fdatasync is skipped")                                                  \
  M(kCutAcknowledged, "a damaged record below the durable position is cut as a torn tail") \
  M(kHardStateNotCarried, "the header of a new segment carries a stale hard state")

DQ_DECLARE_MUTANTS(kAll, DQ_STORAGE_MUTANTS)

}  // namespace dqueue::storage::mutants
