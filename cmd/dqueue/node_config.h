// The flags of dqueue and the rules between them. No side effects: node_process.cc checks files,
// directories and ports.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cmd/flags/flags.h"
#include "cmd/flags/log_setup.h"
#include "cmd/flags/program.h"
#include "node/node.h"
#include "transport/listeners/tls.h"

namespace dqueue::cmd {

struct NodeConfig {
  node::Options node;
  std::string grpc_listen;
  std::string client_listen;  // empty: clients use grpc_listen
  std::string http_listen;    // empty: no HTTP
  bool http_read_only = false;
  std::vector<std::string> http_hosts;     // host names accepted in HTTP requests; "*": any
  std::string advertise_addr;              // host:port by which others reach this node
  std::optional<transport::TlsFiles> tls;  // none: plain text
  uint64_t memory_limit = 0;               // 0: the default, of memory_limit.h
  bool reflection = false;
  bool core_dumps = false;
  bool auth = false;           // callers need API keys
  std::string admin_key_file;  // empty: no file
  std::string log_level = "info";
  LogFormat log_format = LogFormat::kText;
  // To be logged at the start. Warnings: settings that are valid but probably unintended.
  std::vector<std::string> warnings;
  std::vector<std::string> notes;
};

// Parses "id1=host:port,id2=host:port", 1 to 7 members. INVALID_ARGUMENT names the wrong part and
// the reason.
absl::StatusOr<std::vector<node::MemberSpec>> ParsePeers(std::string_view text);

struct NodeCommand {
  Start start;
  NodeConfig config;  // complete if start.kind is kRun
};
NodeCommand ReadNodeCommand(const std::vector<std::string>& args, const Environment& environment);

std::string NodeHelp();

}  // namespace dqueue::cmd
