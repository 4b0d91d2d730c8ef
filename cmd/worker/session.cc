#include "cmd/worker/session.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dqueue::cmd {
namespace {

using Clock = std::chrono::steady_clock;

struct Process {
  pid_t pid = 0;
  pid_t group = 0;
  pid_t session = 0;
  char state = '?';
  bool living() const { return state != 'Z' && state != 'X'; }
};

// nullopt: there is no such process.
std::optional<Process> ReadProcess(pid_t pid) {
  const std::string path = "/proc/" + std::to_string(pid) + "/stat";
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return std::nullopt;
  std::array<char, 1024> text{};
  const ssize_t n = read(fd, text.data(), text.size() - 1);
  close(fd);
  if (n <= 0) return std::nullopt;
  // The second field, the name in parentheses, may contain spaces and parentheses.
  const char* fields = std::strrchr(text.data(), ')');
  Process process{.pid = pid};
  int parent = 0;
  if (fields == nullptr || std::sscanf(fields + 1, " %c %d %d %d", &process.state, &parent,
                                       &process.group, &process.session) != 4) {
    return std::nullopt;
  }
  return process;
}

// nullptr: /proc cannot be read.
std::shared_ptr<const std::vector<Process>> ReadAllProcesses() {
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir("/proc"), closedir);
  if (directory == nullptr) return nullptr;
  auto processes = std::make_shared<std::vector<Process>>();
  while (const dirent* entry = readdir(directory.get())) {
    const std::string_view name = entry->d_name;
    pid_t pid = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (error != std::errc() || end != name.data() + name.size()) continue;
    if (const std::optional<Process> process = ReadProcess(pid)) processes->push_back(*process);
  }
  // At least this process is there if /proc is mounted.
  return processes->empty() ? nullptr : processes;
}

// Processes as read after the begin of the call. A thread that waited for the reading of another
// one uses the next reading together with all that wait.
std::shared_ptr<const std::vector<Process>> Processes() {
  static std::mutex mutex;
  static Clock::time_point read_at;
  static std::shared_ptr<const std::vector<Process>> last;
  const Clock::time_point asked_at = Clock::now();
  const std::lock_guard lock(mutex);
  if (last == nullptr || read_at < asked_at) {
    read_at = Clock::now();
    last = ReadAllProcesses();
  }
  return last;
}

// The number of a process that has ended may belong to another one, so the process is held while
// its session is read again.
void SignalMember(const Process& member, int signal) {
  const auto held = static_cast<int>(syscall(SYS_pidfd_open, member.pid, 0));
  if (held < 0) return;
  const std::optional<Process> now = ReadProcess(member.pid);
  if (now && now->session == member.session) {
    syscall(SYS_pidfd_send_signal, held, signal, nullptr, 0);
  }
  close(held);
}

}  // namespace

size_t SignalSession(pid_t session, int signal) {
  const auto processes = Processes();
  if (processes == nullptr) return kill(-session, signal) == 0 ? 1 : 0;
  std::vector<Process> members;
  for (const Process& process : *processes) {
    if (process.session == session && process.living()) members.push_back(process);
  }
  if (signal == 0 || members.empty()) return members.size();
  // One call reaches the whole group, also processes that are being forked. While the session has
  // a member, its number cannot belong to another group.
  kill(-session, signal);
  for (const Process& member : members) {
    if (member.group != session) SignalMember(member, signal);
  }
  return members.size();
}

}  // namespace dqueue::cmd
