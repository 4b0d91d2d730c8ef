#include "cmd/worker/command_runner.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "cmd/worker/session.h"

namespace dqueue::cmd {
namespace {

using Clock = std::chrono::steady_clock;

// Polling interval for the end of a session, and of a process on kernels without pidfd.
constexpr int kLookAgainMs = 50;
constexpr Millis kGiveUpAfterKill{5000};

class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() { Close(); }
  void Close() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }
  int get() const { return fd_; }
  bool open() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

struct Pipe {
  Descriptor read;
  Descriptor write;
};

std::optional<Pipe> MakePipe() {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return std::nullopt;
  return Pipe{Descriptor(fds[0]), Descriptor(fds[1])};
}

void DoNotBlock(const Descriptor& descriptor) {
  fcntl(descriptor.get(), F_SETFL, fcntl(descriptor.get(), F_GETFL) | O_NONBLOCK);
}

// This process's variables, with those of `added` replaced or added.
std::vector<std::string> Variables(const std::map<std::string, std::string>& added) {
  std::vector<std::string> result;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string text = *entry;
    if (!added.contains(text.substr(0, text.find('=')))) result.push_back(text);
  }
  for (const auto& [name, value] : added) {
    // A variable ends at its first zero byte.
    result.push_back(name + "=" + value.substr(0, value.find('\0')));
  }
  return result;
}

// The command begins when a line comes through this descriptor, and not at all if it closes.
constexpr int kGate = 3;
char kShell[] = "sh";
char kShellOption[] = "-c";
char kWaitAtGate[] = "read -r dqueue_gate <&3 || exit 1; exec 3<&-; exec /bin/sh -c \"$1\"";

class RunningCommand {
 public:
  RunningCommand(const CommandRequest& request, ChildTable* children, CommandGuard* guard,
                 CommandOutcome* outcome)
      : request_(request), children_(children), guard_(guard), outcome_(outcome) {}
  ~RunningCommand() {
    if (guard_ != nullptr && pid_ > 0) guard_->Ended(pid_);
  }

  // False: outcome->start_error has the reason.
  bool Start() {
    std::optional<Pipe> input = MakePipe();
    std::optional<Pipe> output = MakePipe();
    std::optional<Pipe> error = MakePipe();
    std::optional<Pipe> gate = MakePipe();
    stop_event_ = Descriptor(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!input || !output || !error || !gate || !stop_event_.open()) return Refused("pipe", errno);
    int failed = 0;
    pid_ = children_->Start([&] {
      pid_t pid = -1;
      failed =
          Spawn(input->read.get(), output->write.get(), error->write.get(), gate->read.get(), &pid);
      return failed == 0 ? pid : -1;
    });
    if (failed != 0) return Refused("sh", failed);
    // The guard knows the session before the command begins, so no moment is left in which a death
    // of this process would let the command live on.
    guarded_ = guard_ == nullptr || guard_->Started(pid_);
    [[maybe_unused]] const ssize_t ignored = write(gate->write.get(), "\n", 1);
    input_ = std::move(input->write);
    output_ = std::move(output->read);
    error_ = std::move(error->read);
    for (const Descriptor* stream : {&input_, &output_, &error_}) DoNotBlock(*stream);
    // Debian 12's <sys/pidfd.h> does not compile as C++.
    ended_ = Descriptor(static_cast<int>(syscall(SYS_pidfd_open, pid_, 0)));
    outcome_->started = true;
    return true;
  }

  bool guarded() const { return guarded_; }

  // From any thread.
  void WakeToStop() {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t ignored = write(stop_event_.get(), &one, sizeof one);
  }

  // Returns when the command has ended, and if it was stopped also the rest of its session.
  void Serve(const std::stop_token& stop) {
    if (request_.input.empty()) input_.Close();
    while (!Ended() || !SessionEnded()) {
      if (stop.stop_requested() && !outcome_->stopped) {
        outcome_->stopped = true;
        kill_at_ = Clock::now() + request_.kill_after;
        SignalSession(pid_, SIGTERM);
      }
      if (kill_at_ && Clock::now() >= *kill_at_) SignalSession(pid_, SIGKILL);
      Wait();
      WriteInput();
      ReadOutput();
      ReadError();
    }
    // The pipes may still hold output. A background process can keep them open, so this reads only
    // the available bytes.
    ReadOutput();
    ReadError();
  }

 private:
  bool Refused(const char* what, int error) {
    outcome_->start_error =
        std::string("cannot start the command: ") + what + ": " + std::strerror(error);
    return false;
  }

  // Returns 0 or an error number.
  int Spawn(int input, int output, int error, int gate, pid_t* pid) {
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, error, STDERR_FILENO);
    posix_spawn_file_actions_adddup2(&actions, gate, kGate);
    posix_spawn_file_actions_addclosefrom_np(&actions, kGate + 1);

    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    // A new session, so that the command's children are stopped too and no terminal signals them.
    // Signals have their defaults.
    posix_spawnattr_setflags(&attributes,
                             POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    sigset_t none;
    sigset_t all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);

    std::vector<std::string> variables = Variables(request_.environment);
    std::vector<char*> variable_pointers;
    for (std::string& variable : variables) variable_pointers.push_back(variable.data());
    variable_pointers.push_back(nullptr);
    std::string command = request_.command;
    std::array<char*, 6> arguments = {kShell, kShellOption,   kWaitAtGate,
                                      kShell, command.data(), nullptr};
    const int failed = posix_spawn(pid, "/bin/sh", &actions, &attributes, arguments.data(),
                                   variable_pointers.data());
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return failed;
  }

  bool Ended() {
    if (has_ended_) return true;
    const std::optional<int> status = children_->Collect(pid_);
    if (!status) return false;
    has_ended_ = true;
    outcome_->exited = WIFEXITED(*status);
    outcome_->exit_code = WIFEXITED(*status) ? WEXITSTATUS(*status) : 0;
    outcome_->signal = WIFSIGNALED(*status) ? WTERMSIG(*status) : 0;
    return true;
  }

  // After the end of the command: no process of a stopped session is left, or none can be ended.
  bool SessionEnded() {
    if (!outcome_->stopped) return true;
    const size_t left = SignalSession(pid_, 0);
    if (left > 0 && Clock::now() < *kill_at_ + kGiveUpAfterKill) return false;
    outcome_->left_running = left;
    return true;
  }

  void Wait() {
    // A negative descriptor is ignored by poll().
    std::array<pollfd, 5> waits = {{{has_ended_ ? -1 : ended_.get(), POLLIN, 0},
                                    {outcome_->stopped ? -1 : stop_event_.get(), POLLIN, 0},
                                    {input_.get(), POLLOUT, 0},
                                    {output_.get(), POLLIN, 0},
                                    {error_.get(), POLLIN, 0}}};
    int64_t limit = ended_.open() && !has_ended_ ? -1 : kLookAgainMs;
    if (kill_at_) {
      const auto left = std::chrono::duration_cast<Millis>(*kill_at_ - Clock::now()).count() + 1;
      // SIGKILL is repeated, because a process can have been forked meanwhile.
      const int64_t until = left > 0 ? left : kLookAgainMs;
      limit = limit < 0 ? until : std::min(limit, until);
    }
    poll(waits.data(), waits.size(), static_cast<int>(limit));
  }

  void WriteInput() {
    while (input_.open()) {
      if (written_ == request_.input.size()) {
        input_.Close();
        return;
      }
      const ssize_t n =
          write(input_.get(), request_.input.data() + written_, request_.input.size() - written_);
      if (n > 0) {
        written_ += static_cast<size_t>(n);
      } else if (errno == EAGAIN) {
        return;
      } else if (errno != EINTR) {
        input_.Close();  // EPIPE: the command has closed its input
      }
    }
  }

  // Reads the available bytes and passes them to take().
  template <class Take>
  static void ReadAll(Descriptor& stream, Take take) {
    std::array<char, 65536> buffer;
    // Bounded, so that endless output on one stream does not starve the others.
    for (int i = 0; i < 16 && stream.open(); ++i) {
      const ssize_t n = read(stream.get(), buffer.data(), buffer.size());
      if (n > 0) {
        take(std::string_view(buffer.data(), static_cast<size_t>(n)));
      } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        stream.Close();
      } else if (errno == EAGAIN) {
        return;
      }
    }
  }

  void ReadOutput() {
    ReadAll(output_, [this](std::string_view bytes) {
      const size_t room = request_.output_bytes_max - outcome_->output.size();
      outcome_->output += bytes.substr(0, room);
      if (bytes.size() > room) outcome_->output_truncated = true;
    });
  }

  void ReadError() {
    ReadAll(error_, [this](std::string_view bytes) {
      outcome_->error_bytes += bytes.size();
      std::string& tail = outcome_->error_tail;
      tail += bytes;
      if (tail.size() > request_.error_tail_bytes) {
        tail.erase(0, tail.size() - request_.error_tail_bytes);
      }
    });
  }

  const CommandRequest& request_;
  ChildTable* const children_;
  CommandGuard* const guard_;
  CommandOutcome* const outcome_;
  pid_t pid_ = -1;  // and the number of the session
  bool guarded_ = true;
  bool has_ended_ = false;
  std::optional<Clock::time_point> kill_at_;  // of a stopped command
  size_t written_ = 0;
  Descriptor input_;
  Descriptor output_;
  Descriptor error_;
  Descriptor stop_event_;
  Descriptor ended_;
};

}  // namespace

CommandOutcome CommandRunner::Run(const CommandRequest& request, std::stop_token stop) {
  CommandOutcome outcome;
  RunningCommand running(request, &children_, guard_, &outcome);
  if (!running.Start()) return outcome;
  if (!running.guarded() && !guard_loss_seen_.exchange(true)) guard_lost_.store(true);
  // Runs at once if the stop was requested already.
  const std::stop_callback wake(stop, [&running] { running.WakeToStop(); });
  running.Serve(stop);
  return outcome;
}

}  // namespace dqueue::cmd
