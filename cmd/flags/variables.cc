#include "cmd/flags/variables.h"

#include <unistd.h>

#include <algorithm>

namespace dqueue::cmd {
namespace {

constexpr std::string_view kPrefix = "DQUEUE_";

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

Environment ProcessEnvironment() {
  Environment result;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const size_t equals = text.find('=');
    if (equals == std::string_view::npos || !text.starts_with(kPrefix)) continue;
    result.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return result;
}

std::string VariableOf(std::string_view flag) {
  std::string out(kPrefix);
  for (const char c : flag) {
    out += c == '-' ? '_' : (c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c);
  }
  return out;
}

const std::vector<std::string>& KnownVariables() {
  static const std::vector<std::string> known = {
      // dqueue.
      "DQUEUE_ADMIN_KEY_FILE", "DQUEUE_ADVERTISE_ADDR", "DQUEUE_AUTH", "DQUEUE_BOOTSTRAP",
      "DQUEUE_CLIENT_ADDR", "DQUEUE_CORE_DUMPS", "DQUEUE_DATA_DIR", "DQUEUE_ELECTION_TIMEOUT",
      "DQUEUE_GRPC_ADDR", "DQUEUE_HEARTBEAT", "DQUEUE_HTTP_ADDR", "DQUEUE_HTTP_ALLOWED_HOSTS",
      "DQUEUE_HTTP_READ_ONLY", "DQUEUE_ID", "DQUEUE_INSECURE", "DQUEUE_KEEP_FINISHED",
      "DQUEUE_LEASE_TIMEOUT", "DQUEUE_LOG_FORMAT", "DQUEUE_LOG_LEVEL", "DQUEUE_MAX_RETRIES",
      "DQUEUE_MEMORY_LIMIT", "DQUEUE_PEERS", "DQUEUE_RECOVER", "DQUEUE_REFLECTION",
      "DQUEUE_RESERVE_BYTES", "DQUEUE_SNAPSHOT_LOG_BYTES", "DQUEUE_TLS_CA", "DQUEUE_TLS_CERT",
      "DQUEUE_TLS_KEY",
      // Clients. DQUEUE_ENDPOINT and DQUEUE_TOKEN are older names.
      "DQUEUE_API_KEY", "DQUEUE_API_KEY_FILE", "DQUEUE_CA", "DQUEUE_CERT", "DQUEUE_ENDPOINT",
      "DQUEUE_KEY", "DQUEUE_OUTPUT", "DQUEUE_SERVER", "DQUEUE_SERVER_NAME", "DQUEUE_TIMEOUT",
      "DQUEUE_TLS", "DQUEUE_TOKEN",
      // dqueue-worker.
      "DQUEUE_CONCURRENCY", "DQUEUE_DRAIN_LIMIT", "DQUEUE_EXEC", "DQUEUE_LEASE_DURATION",
      "DQUEUE_QUEUE", "DQUEUE_TYPE", "DQUEUE_WORKER_ID",
      // Commands of dqueue-worker.
      "DQUEUE_ATTEMPT", "DQUEUE_FENCE", "DQUEUE_JOB_ID",
      // Scripts and tests.
      "DQUEUE_BIN", "DQUEUE_SLOW_SYNC_MS"};
  return known;
}

bool IsServiceVariable(std::string_view name, std::string_view value) {
  if (!name.starts_with(kPrefix)) return false;
  // Each part follows a "_" of the prefix or of the service's name.
  if (name.ends_with("_SERVICE_HOST") || name.find("_SERVICE_PORT") != std::string_view::npos) {
    return true;
  }
  if (name.ends_with("_PORT") && value.find("://") != std::string_view::npos) return true;
  const size_t port = name.find("_PORT_");
  if (port == std::string_view::npos) return false;
  std::string_view rest = name.substr(port + 6);
  const auto digits = std::find_if_not(rest.begin(), rest.end(), IsDigit) - rest.begin();
  rest.remove_prefix(static_cast<size_t>(digits));
  return digits > 0 &&
         (rest.starts_with("_TCP") || rest.starts_with("_UDP") || rest.starts_with("_SCTP"));
}

}  // namespace dqueue::cmd
