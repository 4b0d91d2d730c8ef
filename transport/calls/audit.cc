#include "transport/calls/audit.h"

#include <spdlog/spdlog.h>

#include <string_view>

#include "queue/api/validate.h"
#include "transport/logging/escape.h"

namespace dqueue::transport {
namespace {

constexpr size_t kSubjectBytesMax = 400;

}  // namespace

bool IsAudited(const RpcMethod& method) {
  constexpr uint32_t kAudited =
      queue::ScopeBit(Scope::kQueuesManage) | queue::ScopeBit(Scope::kKeysCreate) |
      queue::ScopeBit(Scope::kKeysRevoke) | queue::ScopeBit(Scope::kClusterManage);
  return (queue::ScopeBit(method.scope) & kAudited) != 0;
}

void WriteAudit(const RpcMethod& method, const Caller& caller, const std::string& source,
                const std::string& subject, const std::string& outcome) {
  const std::string_view path = method.path;
  spdlog::info("audit: {} by key {} of \"{}\" from {}: {{{}}}: {}",
               path.substr(path.rfind('/') + 1), caller.key_id.empty() ? "-" : caller.key_id,
               EscapeText(caller.owner_id), source, queue::CutUtf8(subject, kSubjectBytesMax),
               outcome);
}

}  // namespace dqueue::transport
