// DQ_CHECK tests a condition that only a bug or corrupt memory can make false. It is on in every
// build. A failed check prints file, line, condition and message, then aborts the process: a node
// in an impossible state must not send or store anything more. For errors that a caller can handle
// use absl::Status.
#pragma once

#include <functional>
#include <string>

namespace dqueue {

// Replaces the handler of a failed check; the default aborts. `handler` must not return: it throws
// or ends the process. Tests and the simulator throw, so that a failed check is reported with its
// seed. Not thread-safe: call before threads start.
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
