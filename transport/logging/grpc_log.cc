#include "transport/logging/grpc_log.h"

#include <grpc/support/log.h>
#include <spdlog/spdlog.h>

#include <cstring>
#include <mutex>

#include "transport/logging/escape.h"
#include "transport/logging/log_sample.h"

namespace dqueue::transport {
namespace {

void Log(gpr_log_func_args* args) {
  static LogSample sample;
  if (std::strstr(args->message, "assertion failed") != nullptr) {
    spdlog::critical("gRPC: {} ({}:{})", EscapeText(args->message), args->file, args->line);
    return;
  }
  if (const uint64_t count = sample.Count()) {
    spdlog::warn("gRPC: {} ({} such lines since the start)", EscapeText(args->message), count);
  }
}

}  // namespace

void RouteGrpcLogOnce() {
  static std::once_flag once;
  std::call_once(once, [] { gpr_set_log_function(Log); });
}

}  // namespace dqueue::transport
