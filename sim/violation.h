// What ends a run: a broken rule. Thrown by checkers (and by DQ_CHECK inside the product, through
// the check-failure handler) and caught by the runner, which prints it with the seed and the trace.
#pragma once

#include <string>
#include <utility>

namespace dqueue::sim {

struct Violation {
  std::string rule;    // e.g. "R1 election safety"
  std::string detail;  // what was seen, and what was expected
};

[[noreturn]] inline void Violate(std::string rule, std::string detail) {
  throw Violation{std::move(rule), std::move(detail)};
}

}  // namespace dqueue::sim
