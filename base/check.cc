#include "base/check.h"

#include <cstdio>
#include <cstdlib>
#include <utility>

namespace dqueue {
namespace {
std::function<void(const std::string&)>& Handler() {
  static std::function<void(const std::string&)> handler;
  return handler;
}
}  // namespace

void SetCheckFailureHandler(std::function<void(const std::string&)> handler) {
  Handler() = std::move(handler);
}

void CheckFailed(const char* file, int line, const char* condition, const std::string& message) {
  std::string text =
      std::string(file) + ":" + std::to_string(line) + ": check failed: " + condition;
  if (!message.empty()) text += ": " + message;
  if (Handler()) Handler()(text);
  std::fprintf(stderr, "%s\n", text.c_str());
  std::abort();
}

}  // namespace dqueue
