#include "cmd/dqueue/node_config.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <random>
#include <set>
#include <utility>

#include "node/memory_budget.h"
#include "queue/api/limits.h"

namespace dqueue::cmd {
namespace {

using std::chrono::duration_cast;

constexpr DurationRange kTimerRange{Millis(5), std::chrono::minutes(10)};
constexpr int kMembersMax = 7;
constexpr char kGrpcPort[] = ":9090";
constexpr char kHttpPort[] = ":8080";
constexpr char kLoopback[] = "127.0.0.1";

// The values of the flags, initialised with their defaults.
struct NodeFlags {
  std::string id;
  std::string peers;
  bool bootstrap = false;
  std::string data_dir = "./data";
  std::string grpc_addr;  // empty: kGrpcPort
  std::string client_addr;
  std::string http_addr;  // used if http_given, else kHttpPort
  bool http_given = false;
  bool http_read_only = false;
  std::vector<std::string> http_allowed_hosts;
  std::string tls_cert;
  std::string tls_key;
  std::string tls_ca;
  bool insecure = false;
  std::string advertise_addr;
  Millis lease_timeout{30000};
  int64_t max_retries = 3;
  Millis heartbeat{50};
  Millis election_timeout{300};
  uint64_t snapshot_log_bytes = 256 << 20;
  uint64_t reserve_bytes = 256 << 20;
  uint64_t memory_limit = 0;
  int64_t keep_finished = 500000;
  std::string recover;
  std::string auth = "auto";
  std::string admin_key_file;
  bool reflection = false;
  bool core_dumps = false;
  std::string log_level = "info";
  std::string log_format = "text";
};

void AddNodeFlags(NodeFlags* flags, FlagTable* table) {
  table->Text("id", &flags->id, "NAME", "name of this node, unique in the cluster (required)");
  table->Text("peers", &flags->peers, "ID=HOST:PORT,…",
              "all members, this node included, the same on every node; none: one node alone");
  table->Bool("bootstrap", &flags->bootstrap,
              "create a new cluster if the data directory is empty; set it on every member");
  table->Text("data-dir", &flags->data_dir, "DIR", "directory of this node's log and snapshots");
  table
      ->Text("grpc-addr", &flags->grpc_addr, "HOST:PORT",
             "listening address for clients and peers (gRPC)")
      .Default("127.0.0.1:9090; :9090 with --tls-cert or --insecure");
  table->Text("client-addr", &flags->client_addr, "HOST:PORT",
              "separate listening address for clients; --grpc-addr then serves peers only");
  table->Text("http-addr", &flags->http_addr, "HOST:PORT|off", "listening address for HTTP")
      .AllowEmpty()
      .Default("127.0.0.1:8080; :8080 with --tls-cert or --insecure");
  table->Bool("http-read-only", &flags->http_read_only, "refuse changes over HTTP");
  table
      ->List("http-allowed-hosts", &flags->http_allowed_hosts, "HOST,…",
             "host names accepted in HTTP requests, besides localhost and IP addresses; *: any")
      .Default("the host of --advertise-addr");
  table
      ->Text("advertise-addr", &flags->advertise_addr, "HOST:PORT",
             "address by which peers and clients reach this node")
      .Default("from --peers, else 127.0.0.1 and the port of --grpc-addr");
  table->Text(
      "tls-cert", &flags->tls_cert, "FILE",
      "this node's certificate (PEM), then its intermediate CAs; turns on TLS on all ports");
  table->Text("tls-key", &flags->tls_key, "FILE",
              "private key of --tls-cert; only its owner may have access to it");
  table->Text("tls-ca", &flags->tls_ca, "FILE",
              "CA of the peers' certificates, each of which names a member (docs/tls.md)");
  table->Bool("insecure", &flags->insecure,
              "allow plain text on addresses that other machines can reach");
  table->Duration(
      "lease-timeout", &flags->lease_timeout,
      {Millis(queue::kLeaseMsMin), Millis(queue::kLeaseMsMax)},
      "default lease: a job whose worker is silent for this long is leased again (1s to 12h)");
  table->Integer(
      "max-retries", &flags->max_retries, 0, queue::kRetriesMax,
      "retries of a failed job before it is dead, unless the job sets its own (0 to 1000)");
  table->Duration("heartbeat", &flags->heartbeat, kTimerRange,
                  "interval of the leader's heartbeats (5ms to 10m)");
  table->Duration(
      "election-timeout", &flags->election_timeout, kTimerRange,
      "a follower starts an election one to two times this after the last heartbeat (5ms to 10m)");
  table->Bytes("snapshot-log-bytes", &flags->snapshot_log_bytes, 1 << 20, uint64_t{1} << 40,
               "log growth that triggers a snapshot (1MiB to 1024GiB)");
  table->Bytes("reserve-bytes", &flags->reserve_bytes, 1 << 20, uint64_t{1} << 40,
               "free disk space below which new jobs are refused (1MiB to 1024GiB)");
  table
      ->Bytes("memory-limit", &flags->memory_limit, node::kMemoryLimitMin, uint64_t{1} << 44,
              "memory that this node may use; new jobs are refused from 60% of it on (128MiB to "
              "16384GiB)")
      .Default("from the cgroup, the process limits or the machine");
  table->Integer(
      "keep-finished", &flags->keep_finished, 0, 1'000'000'000,
      "finished jobs kept at most, dead ones apart; the oldest go before their retention "
      "ends; 0: as many as a tenth of --memory-limit holds (0 to 1000000000)");
  table->Choice("recover", &flags->recover, {"peers"},
                "if the log is damaged, fetch the lost part from the other members");
  table->Choice("auth", &flags->auth, {"on", "off", "auto"},
                "require API keys; auto: on if other machines can reach this node");
  table->Text(
      "admin-key-file", &flags->admin_key_file, "FILE",
      "admin key to make valid; if there is no such file and the cluster has no keys, a key "
      "is made and written to it");
  table->Bool("reflection", &flags->reflection, "serve gRPC reflection, for tools such as grpcurl");
  table->Bool("core-dumps", &flags->core_dumps,
              "allow core dumps, which write payloads and secrets to disk");
  table->Choice("log-level", &flags->log_level, {"trace", "debug", "info", "warn", "error", "off"},
                "lowest severity that is logged");
  table->Choice("log-format", &flags->log_format, {"text", "json"}, "format of log lines");
  table->AddVariables();
}

absl::Status Bad(const std::string& message) { return absl::InvalidArgumentError(message); }

// Why `name` cannot be a member's name; empty if it can.
std::string NameProblem(std::string_view name) {
  if (name.empty()) return "is empty";
  if (name.size() > queue::kNameBytesMax) {
    return "is longer than " + std::to_string(queue::kNameBytesMax) + " bytes";
  }
  for (char c : name) {
    const bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '-' || c == '_' || c == '.';
    if (!good) {
      return "has the character " + Quoted(std::string_view(&c, 1)) +
             "; letters, digits, '-', '_' and '.' are allowed";
    }
  }
  return "";
}

absl::Status ResolveTls(const NodeFlags& flags, NodeConfig* config) {
  if (flags.tls_cert.empty()) {
    for (const auto& [name, value] :
         {std::pair{"--tls-key", flags.tls_key}, std::pair{"--tls-ca", flags.tls_ca}}) {
      if (!value.empty()) return Bad(std::string(name) + " needs --tls-cert");
    }
    return absl::OkStatus();
  }
  if (flags.tls_key.empty()) return Bad("--tls-cert needs --tls-key");
  if (flags.tls_ca.empty() && !flags.peers.empty()) {
    return Bad("--tls-cert with --peers needs --tls-ca, the CA of the peers' certificates");
  }
  config->tls = transport::TlsFiles{
      .cert = flags.tls_cert, .key = flags.tls_key, .ca = flags.tls_ca, .node_name = flags.id};
  return absl::OkStatus();
}

// Sets the listening addresses. Their ports must differ, and plain text must be allowed.
absl::Status ResolveListeners(const NodeFlags& flags, NodeConfig* config) {
  const std::string host = config->tls || flags.insecure ? "" : kLoopback;
  config->grpc_listen = flags.grpc_addr.empty() ? host + kGrpcPort : flags.grpc_addr;
  config->client_listen = flags.client_addr;
  if (!flags.http_given) {
    config->http_listen = host + kHttpPort;
  } else if (flags.http_addr != "off") {
    config->http_listen = flags.http_addr;
  }
  struct Listener {
    const char* flag;
    std::string text;
  };
  std::vector<Listener> listeners;
  for (const Listener& each : {Listener{"--grpc-addr", config->grpc_listen},
                               Listener{"--client-addr", config->client_listen},
                               Listener{"--http-addr", config->http_listen}}) {
    if (!each.text.empty()) listeners.push_back(each);
  }
  for (size_t i = 0; i < listeners.size(); ++i) {
    // SyntaxProblem() has checked that it parses.
    const HostPort a = *ParseHostPort(listeners[i].text);
    for (size_t j = i + 1; j < listeners.size(); ++j) {
      const HostPort b = *ParseHostPort(listeners[j].text);
      if (a.port != b.port || (a.host != b.host && !a.IsWildcard() && !b.IsWildcard())) continue;
      return Bad(std::string(listeners[i].flag) + " " + listeners[i].text + " and " +
                 listeners[j].flag + " " + listeners[j].text + " are the same port");
    }
    if (config->tls || a.IsLoopback()) continue;
    if (!flags.insecure) {
      return Bad(std::string(listeners[i].flag) + " " + listeners[i].text +
                 " is reached by other machines, and plain text lets others read and change the "
                 "traffic; give --tls-cert and --tls-key, or listen on 127.0.0.1, or accept the "
                 "risk with --insecure");
    }
    config->warnings.push_back(std::string(listeners[i].flag) + " " + listeners[i].text +
                               " is in plain text (--insecure): others can read and change the "
                               "traffic; use it only in a trusted network");
  }
  return absl::OkStatus();
}

// Messages between members must not cross a network in plain text, unless --insecure allows it.
absl::Status CheckPeerAddresses(const NodeFlags& flags, NodeConfig* config) {
  if (config->tls) return absl::OkStatus();
  for (const node::MemberSpec& member : config->node.members) {
    if (ParseHostPort(member.address)->IsLoopback()) continue;
    if (!flags.insecure) {
      return Bad("--peers: " + Quoted(member.name) + " at " + member.address +
                 " is on another machine, and plain text lets others read and change the members' "
                 "messages; give --tls-cert, --tls-key and --tls-ca, or accept the risk with "
                 "--insecure");
    }
    config->warnings.push_back("members speak plain text (--insecure): any machine that reaches " +
                               config->grpc_listen +
                               " can impersonate a member; use it only in a trusted network");
    break;
  }
  return absl::OkStatus();
}

// Decides whether callers need API keys.
void ResolveKeys(const NodeFlags& flags, NodeConfig* config) {
  bool beyond = false;
  for (const std::string& listen :
       {config->grpc_listen, config->client_listen, config->http_listen}) {
    beyond = beyond || (!listen.empty() && !ParseHostPort(listen)->IsLoopback());
  }
  config->auth = flags.auth == "on" || (flags.auth == "auto" && beyond);
  config->admin_key_file = flags.admin_key_file;
  if (!config->auth && beyond) {
    config->warnings.push_back(
        "--auth off: any caller that reaches this node can read and change all jobs");
  }
}

// The members are those of --peers, and this node is one of them.
absl::Status ResolvePeers(const NodeFlags& flags, NodeConfig* config) {
  absl::StatusOr<std::vector<node::MemberSpec>> peers = ParsePeers(flags.peers);
  if (!peers.ok()) return Bad("--peers: " + std::string(peers.status().message()));
  std::vector<node::MemberSpec>& members = config->node.members;
  members = *std::move(peers);
  const auto self = std::find_if(members.begin(), members.end(), [&](const node::MemberSpec& each) {
    return each.name == flags.id;
  });
  if (self == members.end()) {
    return Bad("--peers does not name this node, " + Quoted(flags.id) +
               "; it lists all members, this one included");
  }
  if (!flags.advertise_addr.empty() && flags.advertise_addr != self->address) {
    return Bad("--advertise-addr " + flags.advertise_addr +
               " and this node's address in --peers, " + self->address +
               ", differ; the other members use the address in --peers");
  }
  config->advertise_addr = self->address;
  if (absl::Status status = CheckPeerAddresses(flags, config); !status.ok()) return status;
  if (ParseHostPort(self->address)->port != ParseHostPort(config->grpc_listen)->port) {
    config->warnings.push_back("--peers says that this node is at " + self->address +
                               ", but it listens at " + config->grpc_listen +
                               "; that works only if the port is forwarded");
  }
  if (const size_t size = members.size(); size % 2 == 0) {
    config->warnings.push_back("--peers names " + std::to_string(size) +
                               " members; an even number survives no more failures than " +
                               std::to_string(size - 1) + " and needs more acknowledgements");
  }
  return absl::OkStatus();
}

// Without --peers this node is the only member.
absl::Status ResolveOnlyMember(const NodeFlags& flags, NodeConfig* config) {
  HostPort own = *ParseHostPort(config->grpc_listen);
  if (own.IsWildcard()) own = HostPort{"127.0.0.1", own.port, false};
  if (!flags.advertise_addr.empty()) own = *ParseHostPort(flags.advertise_addr);
  if (own.IsWildcard()) {
    return Bad("--advertise-addr " + flags.advertise_addr +
               " is a wildcard address, which no node can connect to; name a host");
  }
  config->advertise_addr = own.ToString();
  config->node.members = {{flags.id, config->advertise_addr}};
  return absl::OkStatus();
}

absl::Status ResolveTimers(const NodeFlags& flags, node::Options* options) {
  if (flags.election_timeout < 4 * flags.heartbeat) {
    return Bad("--election-timeout " + FormatDuration(flags.election_timeout) +
               " must be at least 4 times --heartbeat " + FormatDuration(flags.heartbeat) +
               "; otherwise one late heartbeat can cause an election");
  }
  options->raft.heartbeat = flags.heartbeat;
  options->raft.election_min = flags.election_timeout;
  options->raft.election_max = 2 * flags.election_timeout;
  return absl::OkStatus();
}

// Absolute: a later change of the working directory must not change where the data is.
absl::Status ResolveDataDirectory(const NodeFlags& flags, node::Options* options) {
  options->data_dir = flags.data_dir;
  if (options->data_dir.front() == '/') return absl::OkStatus();
  char* here = get_current_dir_name();
  if (here == nullptr) return Bad("--data-dir is relative, and the working directory was removed");
  options->data_dir = std::string(here) + "/" + flags.data_dir;
  free(here);
  return absl::OkStatus();
}

// The options of the node's own layers.
absl::Status ResolveNode(const NodeFlags& flags, node::Options* options) {
  options->bootstrap = flags.bootstrap;
  if (absl::Status status = ResolveTimers(flags, options); !status.ok()) return status;
  options->broker.lease_timeout = flags.lease_timeout;
  options->broker.max_retries = static_cast<int32_t>(flags.max_retries);
  options->snapshot_log_bytes = flags.snapshot_log_bytes;
  options->reserve_bytes = flags.reserve_bytes;
  options->broker.keep.count = static_cast<uint64_t>(flags.keep_finished);
  if (flags.recover == "peers") {
    if (options->members.size() < 2) {
      return Bad("--recover=peers needs other members to fetch from; --peers names none");
    }
    options->log.recover_from_peers = true;
  }
  if (std::string problem = options->raft.Problem(); !problem.empty()) return Bad(problem);
  if (absl::Status status = ResolveDataDirectory(flags, options); !status.ok()) return status;
  std::random_device random;
  options->seed = (uint64_t{random()} << 32) | random();
  return absl::OkStatus();
}

// Checks the rules between the flags. Fills config.
absl::Status Resolve(const NodeFlags& flags, NodeConfig* config) {
  if (std::string problem = NameProblem(flags.id); !problem.empty()) {
    return Bad("--id " + Quoted(flags.id) + " " + problem);
  }
  config->node.name = flags.id;
  if (absl::Status status = ResolveTls(flags, config); !status.ok()) return status;
  if (absl::Status status = ResolveListeners(flags, config); !status.ok()) return status;
  const absl::Status members =
      flags.peers.empty() ? ResolveOnlyMember(flags, config) : ResolvePeers(flags, config);
  if (!members.ok()) return members;
  if (absl::Status status = ResolveNode(flags, &config->node); !status.ok()) return status;

  ResolveKeys(flags, config);
  config->http_hosts = flags.http_allowed_hosts;
  config->http_hosts.push_back(ParseHostPort(config->advertise_addr)->host);
  config->memory_limit = flags.memory_limit;
  config->reflection = flags.reflection;
  config->http_read_only = flags.http_read_only;
  config->core_dumps = flags.core_dumps;
  config->log_level = flags.log_level;
  config->log_format = flags.log_format == "json" ? LogFormat::kJson : LogFormat::kText;
  return absl::OkStatus();
}

// Values that are wrong whatever the other flags are.
std::optional<UsageProblem> SyntaxProblem(const NodeFlags& flags) {
  const auto usage = [](const std::string& message) { return UsageProblem{kExitUsage, message}; };
  if (flags.id.empty()) return usage("--id is required: the name of this node");
  const auto check = [&](const char* name,
                         const std::string& value) -> std::optional<UsageProblem> {
    absl::StatusOr<HostPort> address = ParseHostPort(value);
    if (address.ok()) return std::nullopt;
    return usage(std::string(name) + ": " + std::string(address.status().message()));
  };
  if (!flags.grpc_addr.empty()) {
    if (auto problem = check("--grpc-addr", flags.grpc_addr)) return problem;
  }
  for (const std::string& host : flags.http_allowed_hosts) {
    if (host == "*" || host.find_first_of(":/*[]") == std::string::npos) continue;
    return usage("--http-allowed-hosts: " + Quoted(host) +
                 " must be a name alone, without scheme, port or path; or \"*\"");
  }
  if (!flags.client_addr.empty()) {
    if (auto problem = check("--client-addr", flags.client_addr)) return problem;
  }
  if (!flags.http_addr.empty() && flags.http_addr != "off") {
    if (auto problem = check("--http-addr", flags.http_addr)) return problem;
  }
  if (!flags.advertise_addr.empty()) {
    if (auto problem = check("--advertise-addr", flags.advertise_addr)) return problem;
  }
  return std::nullopt;
}

}  // namespace

absl::StatusOr<std::vector<node::MemberSpec>> ParsePeers(std::string_view text) {
  if (text.empty()) return Bad("is empty");
  std::vector<node::MemberSpec> members;
  std::set<std::string> names;
  std::set<std::string> addresses;
  for (const std::string& part : SplitCommas(text)) {
    if (part.empty()) {
      return Bad(text.back() == ',' ? "has a comma at the end" : "has an empty item");
    }
    if (part.find_first_of(" \t\r\n") != std::string::npos) {
      return Bad(Quoted(part) + " has white space; the form is id1=host:port,id2=host:port");
    }
    const size_t equals = part.find('=');
    if (equals == std::string::npos) {
      return Bad(Quoted(part) + " has no \"=\"; the form is id1=host:port,id2=host:port");
    }
    node::MemberSpec member{part.substr(0, equals), part.substr(equals + 1)};
    if (std::string problem = NameProblem(member.name); !problem.empty()) {
      return Bad("the id " + Quoted(member.name) + " " + problem);
    }
    absl::StatusOr<HostPort> address = ParseHostPort(member.address);
    if (!address.ok()) {
      return Bad("the address of " + Quoted(member.name) + ": " +
                 std::string(address.status().message()));
    }
    if (address->host.empty()) {
      return Bad("the address of " + Quoted(member.name) +
                 " has no host: " + Quoted(member.address));
    }
    if (address->IsWildcard()) {
      return Bad("the address of " + Quoted(member.name) + ", " + member.address +
                 ", means every interface and cannot be connected to; name a host");
    }
    if (!names.insert(member.name).second) {
      return Bad("the id " + Quoted(member.name) + " is there twice");
    }
    if (!addresses.insert(member.address).second) {
      return Bad("the address " + Quoted(member.address) + " is there twice");
    }
    members.push_back(std::move(member));
  }
  if (members.size() > kMembersMax) {
    return Bad("names " + std::to_string(members.size()) + " members; the maximum is " +
               std::to_string(kMembersMax));
  }
  return members;
}

NodeCommand ReadNodeCommand(const std::vector<std::string>& args, const Environment& environment) {
  NodeFlags flags;
  FlagTable table;
  AddNodeFlags(&flags, &table);
  NodeCommand command;
  // Positional arguments are refused below, with a hint.
  command.start = ReadCommandLine(args, environment, /*positionals_max=*/SIZE_MAX, &table);
  if (command.start.kind != Start::Kind::kRun) return command;
  flags.http_given = table.Given("http-addr");

  const auto problem = [&](UsageProblem p) {
    command.start = {Start::Kind::kProblem, table.Attributed(std::move(p))};
    return command;
  };
  if (!table.positionals().empty()) {
    const std::string& word = table.positionals().front();
    const bool boolean = word == "true" || word == "false";
    return problem({kExitUsage, "unexpected argument " + Quoted(word) +
                                    (boolean ? "; a boolean is written --flag=" + word
                                             : "; all settings are flags, see --help")});
  }
  if (std::optional<UsageProblem> syntax = SyntaxProblem(flags)) return problem(*syntax);
  command.config.warnings = table.warnings();
  command.config.notes = table.notes();
  if (absl::Status status = Resolve(flags, &command.config); !status.ok()) {
    return problem({kExitConfig, std::string(status.message())});
  }
  return command;
}

std::string NodeHelp() {
  NodeFlags flags;
  FlagTable table;
  AddNodeFlags(&flags, &table);
  return "dqueue: one node of a replicated job queue\n\n"
         "usage: dqueue --id NAME [flags]\n\n"
         "  One node, for development:\n"
         "    dqueue --id dev --bootstrap\n"
         "  The first of three (the others with their own --id, --data-dir and addresses):\n"
         "    dqueue --id n1 --bootstrap --data-dir /var/lib/dqueue \\\n"
         "        --peers n1=10.0.0.1:9090,n2=10.0.0.2:9090,n3=10.0.0.3:9090 \\\n"
         "        --tls-cert n1.crt --tls-key n1.key --tls-ca ca.crt --admin-key-file admin.key\n\n"
         "flags (the variable in brackets sets a flag too; the command line overrides it):\n" +
         table.Help() +
         "  --help, --version\n\n"
         "SIGTERM, SIGINT and SIGQUIT transfer leadership, finish running calls and exit. A "
         "second\n"
         "signal exits at once. SIGHUP reads the TLS files again. SIGUSR1 and SIGUSR2 have no "
         "effect.\n\n"
         "exit status: 0 stopped by a signal; 2 usage; 65 damaged data or data of an unknown\n"
         "version; 69 the data directory is in use; 74 the system refused a file, directory or\n"
         "socket; 78 a malformed variable, or settings that contradict each other or the data\n"
         "directory\n";
}

}  // namespace dqueue::cmd
