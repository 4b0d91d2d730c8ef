// Lease tokens in API messages and in log messages.
#pragma once

#include <cstdint>

#include "dqueue/v1/command.pb.h"
#include "dqueue/v1/job.pb.h"
#include "queue/state/state_machine.h"

namespace dqueue::queue {

inline LeaseToken ToToken(const v1::LeaseToken& token) { return {token.term(), token.sequence()}; }

inline void SetToken(LeaseToken token, uint64_t job_sequence, log::v1::Token* out) {
  out->set_term(token.term);
  out->set_sequence(token.sequence);
  out->set_job_sequence(job_sequence);
}

}  // namespace dqueue::queue
