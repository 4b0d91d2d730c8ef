#include "cmd/cluster/local_cluster.h"

#include <arpa/inet.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <random>
#include <sstream>
#include <thread>
#include <utility>

#include "base/check.h"
#include "cmd/cluster/child_process.h"

namespace dqueue::cmd {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kStartLimit{20000};
constexpr milliseconds kLookAgain{20};
constexpr size_t kLogTailBytes = 2000;

absl::Status SystemError(const std::string& what) {
  return absl::InternalError(what + ": " + std::strerror(errno));
}

double Seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

// Ports below the kernel's range for outgoing connections, which could otherwise take a node's port
// while the node is down.
std::vector<int> FreePorts(int count) {
  std::random_device random;
  std::vector<int> ports;
  std::vector<int> sockets;
  for (int attempt = 0; attempt < 2000 && static_cast<int>(ports.size()) < count; ++attempt) {
    const int port = 15000 + static_cast<int>(random() % 16000);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) break;
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<uint16_t>(port));
    if (bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) {
      ports.push_back(port);
    }
    sockets.push_back(fd);
  }
  for (int fd : sockets) close(fd);
  return ports;
}

std::string Tail(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  const std::string all = text.str();
  return all.size() > kLogTailBytes ? all.substr(all.size() - kLogTailBytes) : all;
}

}  // namespace

absl::StatusOr<std::unique_ptr<TemporaryDirectory>> TemporaryDirectory::Make(
    const std::string& parent) {
  std::string path = parent + "/dqueue-XXXXXX";
  if (mkdtemp(path.data()) == nullptr) {
    return SystemError("cannot make a directory in " + parent);
  }
  return std::unique_ptr<TemporaryDirectory>(new TemporaryDirectory(std::move(path)));
}

TemporaryDirectory::~TemporaryDirectory() {
  if (keep_) return;
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

double OwnCpuSeconds() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return Seconds(usage.ru_utime) + Seconds(usage.ru_stime);
}

absl::StatusOr<std::unique_ptr<LocalCluster>> LocalCluster::Start(const Options& options) {
  if (access(options.program.c_str(), X_OK) != 0) return SystemError(options.program);
  const int ports_per_node = options.http ? 2 : 1;
  const std::vector<int> ports = FreePorts(options.nodes * ports_per_node);
  if (static_cast<int>(ports.size()) < options.nodes * ports_per_node) {
    return absl::ResourceExhaustedError("no free ports on 127.0.0.1");
  }
  std::string peers;
  for (int i = 0; i < options.nodes; ++i) {
    peers +=
        (i > 0 ? ",n" : "n") + std::to_string(i + 1) + "=127.0.0.1:" + std::to_string(ports[i]);
  }
  std::unique_ptr<LocalCluster> cluster(new LocalCluster);
  for (int i = 0; i < options.nodes; ++i) {
    Node& node = cluster->nodes_.emplace_back();
    node.name = "n" + std::to_string(i + 1);
    node.address = "127.0.0.1:" + std::to_string(ports[i]);
    node.log = options.directory + "/" + node.name + ".log";
    if (options.http) {
      node.http_address = "127.0.0.1:" + std::to_string(ports[options.nodes + i]);
    }
    node.arguments = {options.program,
                      "--id=" + node.name,
                      "--peers=" + peers,
                      "--bootstrap",
                      "--data-dir=" + options.directory + "/" + node.name,
                      "--grpc-addr=" + node.address,
                      "--http-addr=" + (options.http ? node.http_address : "off")};
    node.arguments.insert(node.arguments.end(), options.flags.begin(), options.flags.end());
    client::ClientOptions client_options;
    client_options.servers = {node.address};
    client_options.api_key = options.api_key;
    client_options.timeout = milliseconds(500);
    node.client = std::make_unique<client::Client>(client_options);
  }
  for (Node& node : cluster->nodes_) {
    if (absl::Status status = cluster->Spawn(&node); !status.ok()) return status;
  }
  absl::StatusOr<int> leader = cluster->FindLeader(kStartLimit);
  if (!leader.ok()) return leader.status();
  return cluster;
}

LocalCluster::~LocalCluster() {
  for (Node& node : nodes_) {
    if (node.pid > 0) kill(node.pid, SIGKILL);
  }
  for (Node& node : nodes_) Reap(&node);
}

std::vector<std::string> LocalCluster::servers() const {
  std::vector<std::string> result;
  for (const Node& node : nodes_) result.push_back(node.address);
  return result;
}

std::vector<std::string> LocalCluster::http_addresses() const {
  std::vector<std::string> result;
  for (const Node& node : nodes_) result.push_back(node.http_address);
  return result;
}

absl::Status LocalCluster::Spawn(Node* node) {
  const absl::StatusOr<pid_t> pid =
      StartChild({.arguments = node->arguments, .output = node->log, .errors = node->log});
  if (!pid.ok()) return pid.status();
  node->pid = *pid;
  return absl::OkStatus();
}

void LocalCluster::Reap(Node* node) {
  if (node->pid <= 0) return;
  rusage usage = {};
  int status = 0;
  while (wait4(node->pid, &status, 0, &usage) < 0 && errno == EINTR) {
  }
  ended_cpu_seconds_ += Seconds(usage.ru_utime) + Seconds(usage.ru_stime);
  node->pid = -1;
}

void LocalCluster::Kill(int node) {
  DQ_CHECK(running(node));
  kill(nodes_[node].pid, SIGKILL);
  Reap(&nodes_[node]);
}

absl::Status LocalCluster::Restart(int node) {
  DQ_CHECK(!running(node));
  return Spawn(&nodes_[node]);
}

absl::Status LocalCluster::CheckAlive() {
  for (Node& node : nodes_) {
    int status = 0;
    rusage usage = {};
    if (node.pid <= 0 || wait4(node.pid, &status, WNOHANG, &usage) != node.pid) continue;
    node.pid = -1;
    return absl::InternalError("node " + node.name + " ended by itself (" + HowItEnded(status) +
                               "); the end of its log:\n" + Tail(node.log));
  }
  return absl::OkStatus();
}

absl::StatusOr<int> LocalCluster::FindLeader(milliseconds limit) {
  const Clock::time_point end = Clock::now() + limit;
  do {
    if (absl::Status status = CheckAlive(); !status.ok()) return status;
    int leader = -1;
    uint64_t leader_term = 0;
    for (int i = 0; i < size(); ++i) {
      if (!running(i)) continue;
      const auto view = nodes_[i].client->GetCluster(nodes_[i].address);
      // A deposed leader may still call itself leader; its term is smaller.
      if (view.ok() && view.value.role == "leader" && view.value.term > leader_term) {
        leader = i;
        leader_term = view.value.term;
      }
    }
    if (leader >= 0) return leader;
    std::this_thread::sleep_for(kLookAgain);
  } while (Clock::now() < end);
  return absl::UnavailableError("no leader after " + std::to_string(limit.count()) + " ms");
}

absl::Status LocalCluster::WaitUntilEqual(milliseconds limit) {
  const Clock::time_point end = Clock::now() + limit;
  std::string last;
  do {
    if (absl::Status status = CheckAlive(); !status.ok()) return status;
    std::vector<client::ClusterView> views;
    last.clear();
    for (const Node& node : nodes_) {
      auto view = node.client->GetCluster(node.address);
      last += " " + node.name + ": ";
      last += view.ok() ? "applied " + std::to_string(view.value.applied_index) + " of " +
                              std::to_string(view.value.commit_index)
                        : view.status.message;
      if (view.ok() && !view.value.leader_id.empty()) views.push_back(std::move(view.value));
    }
    const auto differs = [&](auto field) {
      return std::any_of(views.begin(), views.end(), [&](const client::ClusterView& view) {
        return view.*field != views[0].*field;
      });
    };
    if (views.size() == nodes_.size() && !differs(&client::ClusterView::applied_index) &&
        !differs(&client::ClusterView::leader_id)) {
      if (!differs(&client::ClusterView::state_digest)) return absl::OkStatus();
      return absl::InternalError("the digests of the nodes differ at index " +
                                 std::to_string(views[0].applied_index));
    }
    std::this_thread::sleep_for(kLookAgain);
  } while (Clock::now() < end);
  return absl::DeadlineExceededError("the nodes did not reach the same index:" + last);
}

uint64_t LocalCluster::PeakMemoryBytes(int node) const {
  std::ifstream in("/proc/" + std::to_string(nodes_[node].pid) + "/status");
  std::string name;
  while (in >> name) {
    uint64_t kib = 0;
    if (name == "VmHWM:" && in >> kib) return kib * 1024;
    in.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  }
  return 0;
}

double LocalCluster::CpuSeconds() const {
  double total = ended_cpu_seconds_;
  const double ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
  for (const Node& node : nodes_) {
    if (node.pid <= 0) continue;
    std::ifstream in("/proc/" + std::to_string(node.pid) + "/stat");
    std::string line;
    std::getline(in, line);
    // The second field, the name in parentheses, may contain spaces: fields are counted after it.
    const size_t name_end = line.rfind(')');
    if (name_end == std::string::npos) continue;
    std::istringstream fields(line.substr(name_end + 1));
    std::string field;
    double user = 0;
    double system = 0;
    for (int i = 3; i <= 13; ++i) fields >> field;
    fields >> user >> system;  // the 14th and 15th
    total += (user + system) / ticks;
  }
  return total;
}

}  // namespace dqueue::cmd
