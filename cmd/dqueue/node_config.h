// The flags of dqueue, and what they mean together. No side effects: what the machine says (is the
// directory there, is the port free) is found out by node_process.
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
  std::vector<std::string> http_hosts;     // as whom HTTP may be addressed; "*": as anybody
  std::string advertise_addr;              // host:port told to others
  std::optional<transport::TlsFiles> tls;  // none: plain text
  bool reflection = false;
  bool core_dumps = false;
  bool auth = false;           // callers need API keys
  std::string admin_key_file;  // empty: none
  std::string log_level = "info";
  LogFormat log_format = LogFormat::kText;
  // For the operator, in the log at the start: odd, but it can work.
  std::vector<std::string> warnings;
  std::vector<std::string> notes;
};

// "id1=host:port,id2=host:port". The error says which part is wrong and why.
absl::StatusOr<std::vector<node::MemberSpec>> ParsePeers(std::string_view text);

struct NodeCommand {
  Start start;
  NodeConfig config;  // complete if start.kind is kRun
};
NodeCommand ReadNodeCommand(const std::vector<std::string>& args, const Environment& environment);

std::string NodeHelp();

}  // namespace dqueue::cmd
