// DQ_CHECK: what must not be. On in every build; ends the process with file, line, condition and
// message, because a node that has seen the impossible must not answer anybody. For errors that a
// caller can handle use absl::Status.
#pragma once

#include <functional>
#include <string>

namespace dqueue {

// Called instead of abort() when set; must not return. The simulator throws from it, so that a seed
// that breaks a check is reported like any other violation. Set before threads start.
void SetCheckFailureHandler(std::function<void(const std::string&)> handler);

[[noreturn]] void CheckFailed(const char* file, int line, const char* condition,
                              const std::string& message);

}  // namespace dqueue

#define DQ_CHECK(condition)                                      \
  do {                                                           \
    if (!(condition)) [[unlikely]]                               \
      ::dqueue::CheckFailed(__FILE__, __LINE__, #condition, {}); \
  } while (0)

// `message` is a std::string expression, evaluated only on failure.
#define DQ_CHECK_MSG(condition, message)                                \
  do {                                                                  \
    if (!(condition)) [[unlikely]]                                      \
      ::dqueue::CheckFailed(__FILE__, __LINE__, #condition, (message)); \
  } while (0)
