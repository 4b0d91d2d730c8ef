// What ends a run: a broken rule. Thrown by checkers (and by DQ_CHECK inside the product, through
// the check-failure handler) and caught by the runner, which prints it with the seed and the trace.
#pragma once

#include <exception>
#include <string>
#include <utility>

namespace dqueue::sim {

struct Violation : std::exception {
  Violation(std::string broken_rule, std::string what_was_seen)
      : rule(std::move(broken_rule)),
        detail(std::move(what_was_seen)),
        text("VIOLATED " + rule + ": " + detail) {}
  const char* what() const noexcept override { return text.c_str(); }

  std::string rule;    // e.g. "R1 election safety"
  std::string detail;  // what was seen, and what was expected
  std::string text;
};

[[noreturn]] inline void Violate(std::string rule, std::string detail) {
  throw Violation(std::move(rule), std::move(detail));
}

// Thrown by DQ_CHECK while a simulation runs.
struct CheckFailure : std::exception {
  explicit CheckFailure(std::string failure) : text(std::move(failure)) {}
  const char* what() const noexcept override { return text.c_str(); }
  std::string text;
};

}  // namespace dqueue::sim
