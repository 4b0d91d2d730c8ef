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

#include "base/check.h"

namespace dqueue::cmd {
namespace {

using Clock = std::chrono::steady_clock;

// Polling interval for the end of the process on kernels without pidfd.
constexpr int kLookAgainMs = 50;

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

class RunningCommand {
 public:
  RunningCommand(const CommandRequest& request, CommandOutcome* outcome)
      : request_(request), outcome_(outcome) {}

  // False: outcome->start_error has the reason.
  bool Start() {
    std::optional<Pipe> input = MakePipe();
    std::optional<Pipe> output = MakePipe();
    std::optional<Pipe> error = MakePipe();
    stop_event_ = Descriptor(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!input || !output || !error || !stop_event_.open()) return Refused("pipe", errno);
    if (const int failed = Spawn(input->read.get(), output->write.get(), error->write.get())) {
      return Refused("sh", failed);
    }
    input_ = std::move(input->write);
    output_ = std::move(output->read);
    error_ = std::move(error->read);
    for (const Descriptor* stream : {&input_, &output_, &error_}) DoNotBlock(*stream);
    // Debian 12's <sys/pidfd.h> does not compile as C++.
    ended_ = Descriptor(static_cast<int>(syscall(SYS_pidfd_open, pid_, 0)));
    outcome_->started = true;
    return true;
  }

  // From any thread.
  void WakeToStop() {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t ignored = write(stop_event_.get(), &one, sizeof one);
  }

  // Returns when the command has ended.
  void Serve(const std::stop_token& stop) {
    if (request_.input.empty()) input_.Close();
    std::optional<Clock::time_point> kill_at;
    bool killed = false;
    while (!Ended()) {
      if (stop.stop_requested() && !outcome_->stopped) {
        outcome_->stopped = true;
        kill_at = Clock::now() + request_.kill_after;
        kill(-pid_, SIGTERM);
      }
      if (kill_at && !killed && Clock::now() >= *kill_at) {
        killed = true;
        kill(-pid_, SIGKILL);
      }
      Wait(killed ? std::nullopt : kill_at);
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

  int Spawn(int input, int output, int error) {
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, error, STDERR_FILENO);
    posix_spawn_file_actions_addclosefrom_np(&actions, 3);

    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    // A new process group, so that the command's children are stopped too. Signals have their
    // defaults.
    posix_spawnattr_setflags(
        &attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setpgroup(&attributes, 0);
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
    char shell[] = "sh";
    char option[] = "-c";
    std::array<char*, 4> arguments = {shell, option, command.data(), nullptr};
    const int failed = posix_spawn(&pid_, "/bin/sh", &actions, &attributes, arguments.data(),
                                   variable_pointers.data());
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return failed;
  }

  bool Ended() {
    int status = 0;
    const pid_t got = waitpid(pid_, &status, WNOHANG);
    if (got == 0 || (got < 0 && errno == EINTR)) return false;
    DQ_CHECK_MSG(got == pid_, "another waitpid() has taken the command's status");
    outcome_->exited = WIFEXITED(status);
    outcome_->exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
    outcome_->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    return true;
  }

  void Wait(std::optional<Clock::time_point> until) {
    // A negative descriptor is ignored by poll().
    std::array<pollfd, 5> waits = {{{ended_.get(), POLLIN, 0},
                                    {outcome_->stopped ? -1 : stop_event_.get(), POLLIN, 0},
                                    {input_.get(), POLLOUT, 0},
                                    {output_.get(), POLLIN, 0},
                                    {error_.get(), POLLIN, 0}}};
    int64_t limit = ended_.open() ? -1 : kLookAgainMs;
    if (until) {
      const auto left = std::chrono::duration_cast<Millis>(*until - Clock::now()).count() + 1;
      limit = limit < 0 ? left : std::min<int64_t>(limit, left);
      limit = std::max<int64_t>(limit, 0);
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
      std::string& tail = outcome_->error_tail;
      tail += bytes;
      if (tail.size() > request_.error_tail_bytes) {
        tail.erase(0, tail.size() - request_.error_tail_bytes);
      }
    });
  }

  const CommandRequest& request_;
  CommandOutcome* outcome_;
  pid_t pid_ = -1;
  size_t written_ = 0;
  Descriptor input_;
  Descriptor output_;
  Descriptor error_;
  Descriptor stop_event_;
  Descriptor ended_;
};

}  // namespace

CommandOutcome RunCommand(const CommandRequest& request, std::stop_token stop) {
  CommandOutcome outcome;
  RunningCommand running(request, &outcome);
  if (!running.Start()) return outcome;
  // Runs at once if the stop was requested already.
  const std::stop_callback wake(stop, [&running] { running.WakeToStop(); });
  running.Serve(stop);
  return outcome;
}

}  // namespace dqueue::cmd
