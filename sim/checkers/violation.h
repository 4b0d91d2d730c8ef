// Exceptions that end a run. Checkers throw Violation. A failed DQ_CHECK in the product throws
// CheckFailure, by the check-failure handler. RunSeed() catches both; the seed and the trace are
// printed with them.
#pragma once

#include <exception>
#include <string>
#include <utility>

namespace dqueue::sim {

struct Violation : std::exception {
  Violation(std::string broken_rule, std::string observed)
      : rule(std::move(broken_rule)),
        detail(std::move(observed)),
        text("VIOLATED " + rule + ": " + detail) {}
  const char* what() const noexcept override { return text.c_str(); }

  std::string rule;    // e.g. "R1 election safety"
  std::string detail;  // the observed and the expected value
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
