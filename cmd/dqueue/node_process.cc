#include "cmd/dqueue/node_process.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "cmd/dqueue/first_keys.h"
#include "cmd/dqueue/memory_limit.h"
#include "cmd/flags/flag_values.h"
#include "cmd/flags/process_start.h"
#include "cmd/flags/program.h"
#include "node/memory_budget.h"
#include "node/runner.h"
#include "storage/files/file_system.h"
#include "transport/http/http_facade.h"
#include "transport/peers/peer_links.h"
#include "transport/server/server.h"

namespace dqueue::cmd {
namespace {

// For listeners, peers, log segments and a few hundred clients. The transport raises its own need.
constexpr uint64_t kOpenFilesMin = 256;
constexpr Duration kDrainLimit = std::chrono::seconds(10);

int Refuse(ExitCode code, const std::string& message) {
  spdlog::error("cannot start: {}", message);
  return code;
}

std::string Text(const absl::Status& status) { return std::string(status.message()); }

ExitCode ExitOfOpen(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kFailedPrecondition:
      return kExitConfig;
    case absl::StatusCode::kDataLoss:
    case absl::StatusCode::kUnimplemented:
      return kExitData;
    default:
      return kExitIo;
  }
}

// Creates the directory and tries its lock, so that each failure has its own exit status.
std::optional<int> CheckDataDirectory(const std::string& directory) {
  storage::FileSystem& fs = storage::PosixFileSystem();
  if (absl::Status status = fs.CreateDirectory(directory); !status.ok()) {
    return Refuse(kExitIo, "--data-dir: " + Text(status));
  }
  const auto lock = fs.Lock(directory + "/LOCK");
  if (lock.ok()) return std::nullopt;
  if (lock.status().code() == absl::StatusCode::kFailedPrecondition) {
    return Refuse(kExitLocked, "the data directory is in use: " + Text(lock.status()));
  }
  return Refuse(kExitIo, "--data-dir: " + Text(lock.status()));
}

// Delayed jobs run by the wall clock. A clock that is probably wrong gets a warning.
std::optional<int> CheckClock() {
  const std::time_t now = std::time(nullptr);
  if (now < 0) return Refuse(kExitConfig, "the machine's clock is before 1970; set the clock");
  constexpr std::time_t k2024 = 1'704'067'200;
  constexpr std::time_t k2100 = 4'102'444'800;
  if (now < k2024 || now > k2100) {
    spdlog::warn("the machine's clock says {}; delayed jobs will run at the wrong time",
                 FormatTime(std::chrono::system_clock::now()));
  }
  return std::nullopt;
}

// Logs the notes of the configuration and prepares the process. Returns an exit status if the node
// cannot start.
std::optional<int> PrepareToStart(const NodeConfig& config) {
  for (const std::string& note : config.notes) spdlog::info("{}", note);
  for (const std::string& warning : config.warnings) spdlog::warn("{}", warning);
  if (geteuid() == 0) spdlog::warn("running as root is not needed; use a dedicated account");
  if (!config.core_dumps) ForbidCoreDumps();
  if (auto exit_code = CheckClock()) return *exit_code;
  if (absl::Status status = RaiseOpenFileLimit(kOpenFilesMin); !status.ok()) {
    return Refuse(kExitConfig, Text(status));
  }
  return std::nullopt;
}

// Sets the memory limit: the flag's, or the default for this process.
void ResolveMemoryLimit(const NodeConfig& config, node::Options* options) {
  const MemoryLimit allowed = DefaultMemoryLimit(ReadSystemMemory());
  uint64_t bytes = config.memory_limit;
  if (bytes == 0) {
    bytes = allowed.bytes;
    if (bytes == UINT64_MAX) {
      spdlog::warn("the memory of this machine is not known; set --memory-limit");
      return;
    }
    if (bytes < node::kMemoryLimitMin) {
      spdlog::warn("a node needs {} of memory, and may use {}: {}; large calls may end it",
                   FormatBytes(node::kMemoryLimitMin), FormatBytes(bytes), allowed.source);
    } else {
      spdlog::info("memory limit {}: {}; --memory-limit sets it", FormatBytes(bytes),
                   allowed.source);
    }
  } else if (bytes > allowed.bytes) {
    spdlog::warn("--memory-limit {} is more than this process should use, {}: {}",
                 FormatBytes(bytes), FormatBytes(allowed.bytes), allowed.source);
  }
  node::SetMemoryLimit(bytes, options);
}

transport::ServerOptions ServerOptionsOf(const NodeConfig& config,
                                         std::shared_ptr<transport::TlsStore> tls,
                                         transport::FirstKeys first_keys) {
  transport::ServerOptions options;
  options.listen = config.grpc_listen;
  options.client_listen = config.client_listen;
  options.tls = std::move(tls);
  options.node_name = config.node.name;
  options.reflection = config.reflection;
  options.keep_poller_in_reserve = true;
  options.auth = config.auth;
  options.first_keys = std::move(first_keys);
  // The limit is that of the gRPC and HTTP ports together.
  if (!config.http_listen.empty()) {
    options.max_connections_hint += static_cast<int>(transport::HttpLimits().connections);
  }
  return options;
}

// Reads the TLS files again, on SIGHUP.
void Reload(const NodeConfig& config, transport::TlsStore* tls) {
  std::string done = "no TLS files to read";
  if (tls != nullptr) {
    // A set that cannot be used is logged as such, and the old one stays in use.
    done = tls->Look() ? "new TLS files are in use"
                       : "the TLS files in use are those that were read last";
  }
  if (!config.admin_key_file.empty()) {
    const absl::StatusOr<std::string> secret = ReadAdminKeyFile(config.admin_key_file);
    done += secret.ok() ? "" : "; --admin-key-file: " + Text(secret.status());
  }
  spdlog::info(
      "SIGHUP: {}; flags, the log level and the limits among them, and a new key in "
      "--admin-key-file need a restart; the log goes to standard error, so there is no file to "
      "reopen",
      done);
}

// Returns the signal that ends the node.
int ServeUntilStopped(const NodeConfig& config, transport::TlsStore* tls) {
  int signal = WaitForStopSignal();
  for (; signal == SIGHUP; signal = WaitForStopSignal()) Reload(config, tls);
  return signal;
}

}  // namespace

int RunNode(const NodeConfig& config) {
  node::Options options = config.node;
  if (auto exit_code = PrepareToStart(config)) return *exit_code;
  ResolveMemoryLimit(config, &options);
  std::shared_ptr<transport::TlsStore> tls;
  if (config.tls) {
    auto opened = transport::TlsStore::Open(*config.tls);
    if (!opened.ok()) return Refuse(kExitConfig, Text(opened.status()));
    tls = *std::move(opened);
  }
  if (auto exit_code = CheckDataDirectory(options.data_dir)) return *exit_code;

  auto first_keys = PlanFirstKeys(config);
  if (!first_keys.ok()) {
    return Refuse(absl::IsUnavailable(first_keys.status()) ? kExitIo : kExitConfig,
                  "--admin-key-file: " + Text(first_keys.status()));
  }
  if (!config.auth) {
    spdlog::warn("callers need no API key; --auth on requires keys");
  } else if (first_keys->keys.empty()) {
    spdlog::info("callers need API keys; --admin-key-file makes the first key of a cluster");
  }

  const std::unique_ptr<transport::PeerLinks> links =
      transport::PeerLinks::Create(options.name, tls);
  auto runner = node::NodeRunner::Start(options, storage::PosixFileSystem(), links.get());
  if (!runner.ok()) return Refuse(ExitOfOpen(runner.status()), Text(runner.status()));
  node::Node& node = (*runner)->node();
  links->Attach(&node);

  // Stopped in the reverse order of their start.
  std::unique_ptr<transport::Server> server;
  std::unique_ptr<transport::HttpFacade> http;
  const auto stop = [&] {
    http.reset();
    server.reset();
    links->Stop();
    runner->reset();
  };

  auto started =
      transport::Server::Start(ServerOptionsOf(config, tls, *std::move(first_keys)), &node);
  if (!started.ok()) {
    stop();
    return Refuse(kExitIo, Text(started.status()));
  }
  server = *std::move(started);
  if (!config.http_listen.empty()) {
    transport::HttpFacadeOptions http_options;
    http_options.read_only = config.http_read_only;
    http_options.limits.hosts.emplace(config.http_hosts);
    auto listening =
        transport::HttpFacade::Start(config.http_listen, server.get(), http_options, tls);
    if (!listening.ok()) {
      stop();
      return Refuse(kExitIo, "--http-addr: " + Text(listening.status()));
    }
    http = *std::move(listening);
  }

  const std::string clients = config.client_listen.empty()
                                  ? config.grpc_listen
                                  : config.grpc_listen + ", clients at " + config.client_listen;
  spdlog::info("dqueue {} node {} serves gRPC at {}, {}, {}, advertised as {}, data in {}",
               ProgramVersion(), options.name, clients,
               http ? "HTTP at " + config.http_listen : "no HTTP",
               tls ? "with TLS" : "in plain text", config.advertise_addr, options.data_dir);
  const int signal = ServeUntilStopped(config, tls.get());
  spdlog::info("{}: transferring leadership and stopping", SignalName(signal));
  (*runner)->Drain(kDrainLimit);
  stop();
  spdlog::info("stopped");
  return kExitOk;
}

}  // namespace dqueue::cmd
