#include "sim/seed_pool.h"

#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "base/check.h"

namespace dqueue::sim {
namespace {

std::optional<uint64_t> ParseNumber(std::string_view text) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// A child sends one line for each seed to its parent: numbers, and after a failure texts with
// newlines escaped.
std::string Escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\n') {
      out += "\\n";
    } else if (c == '\\') {
      out += "\\\\";
    } else if (c == '\t') {
      out += ' ';
    } else {
      out += c;
    }
  }
  return out;
}
std::string Unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      out += text[i];
    } else {
      out += text[++i] == 'n' ? '\n' : text[i];
    }
  }
  return out;
}

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

void WriteAll(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n <= 0) std::_Exit(3);
    text.remove_prefix(static_cast<size_t>(n));
  }
}

[[noreturn]] void RunChild(const PoolOptions& options, int child, int fd) {
  const auto begin = std::chrono::steady_clock::now();
  for (uint64_t seed = options.seeds.first + static_cast<uint64_t>(child);
       seed <= options.seeds.last; seed += static_cast<uint64_t>(options.jobs)) {
    if (options.time_limit_s > 0 &&
        std::chrono::steady_clock::now() - begin > std::chrono::seconds(options.time_limit_s)) {
      break;
    }
    WriteAll(fd, "begin\t" + std::to_string(seed) + "\n");
    ::alarm(static_cast<unsigned>(options.seed_limit_s));
    const RunReport report = RunSeed(seed, options.run);
    ::alarm(0);
    std::string line = "end";
    for (const uint64_t number :
         {seed, static_cast<uint64_t>(report.simulated.count()), report.trace_hash, report.entries,
          report.jobs, report.acknowledged, report.grants, report.repeated_deliveries,
          report.elections, report.durability_checks}) {
      line += "\t" + std::to_string(number);
    }
    if (report.violation) {
      line += "\t" + Escape(report.violation->rule) + "\t" + Escape(report.violation->detail) +
              "\t" + Escape(report.summary) + "\t" + Escape(report.tail);
    }
    WriteAll(fd, line + "\n");
    if (report.violation && options.stop_at_first) break;
  }
  std::fflush(nullptr);
  std::_Exit(0);
}

struct Child {
  pid_t pid = 0;
  int fd = -1;
  std::string buffer;
  std::optional<uint64_t> running;  // the seed that has started and not ended
};

void ParseLine(std::string_view line, Child* child, PoolResult* result) {
  const std::vector<std::string_view> parts = Split(line, '\t');
  const auto number = [&parts](size_t i) { return ParseNumber(parts.at(i)).value_or(0); };
  if (parts[0] == "begin") {
    child->running = number(1);
    return;
  }
  child->running.reset();
  ++result->seeds;
  result->simulated += Duration(static_cast<int64_t>(number(2)));
  // The sum does not depend on the order, so not on the number of processes.
  result->trace_hash += number(3) * (2 * number(1) + 1);
  result->entries += number(4);
  result->jobs += number(5);
  result->acknowledged += number(6);
  result->grants += number(7);
  result->repeated_deliveries += number(8);
  result->elections += number(9);
  result->durability_checks += number(10);
  if (parts.size() < 15) return;
  PoolResult::Failure failure;
  failure.seed = number(1);
  failure.rule = Unescape(parts[11]);
  failure.detail = Unescape(parts[12]);
  failure.text = Unescape(parts[14]) + "seed " + std::to_string(failure.seed) + " (" +
                 Unescape(parts[13]) + ")\nVIOLATED " + failure.rule + ": " + failure.detail + "\n";
  result->failures.push_back(std::move(failure));
}

void Reap(Child* child, PoolResult* result) {
  int status = 0;
  ::waitpid(child->pid, &status, 0);
  ::close(child->fd);
  child->fd = -1;
  if (!child->running) return;
  PoolResult::Failure failure;
  failure.seed = *child->running;
  failure.rule = "crash";
  failure.detail = WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM ? "time limit exceeded"
                   : WIFSIGNALED(status) ? "signal " + std::string(strsignal(WTERMSIG(status)))
                                         : "exit code " + std::to_string(WEXITSTATUS(status));
  failure.text = "seed " + std::to_string(failure.seed) + "\nVIOLATED crash: " + failure.detail +
                 " (run it with --trace)\n";
  result->failures.push_back(std::move(failure));
}

}  // namespace

std::optional<SeedRange> ParseSeeds(const std::string& text) {
  const size_t dots = text.find("..");
  const std::optional<uint64_t> first = ParseNumber(std::string_view(text).substr(0, dots));
  const std::optional<uint64_t> last =
      dots == std::string::npos ? first : ParseNumber(std::string_view(text).substr(dots + 2));
  if (!first || !last || *first > *last) return std::nullopt;
  return SeedRange{*first, *last};
}

PoolResult RunSeeds(const PoolOptions& options, const std::function<void()>& setup) {
  std::fflush(nullptr);
  PoolResult result;
  std::vector<Child> children(static_cast<size_t>(options.jobs));
  for (int i = 0; i < options.jobs; ++i) {
    int fds[2];
    DQ_CHECK(::pipe(fds) == 0);
    const pid_t pid = ::fork();
    DQ_CHECK(pid >= 0);
    if (pid == 0) {
      ::close(fds[0]);
      if (setup) setup();
      RunChild(options, i, fds[1]);
    }
    ::close(fds[1]);
    children[static_cast<size_t>(i)].pid = pid;
    children[static_cast<size_t>(i)].fd = fds[0];
  }
  size_t open = children.size();
  while (open > 0) {
    std::vector<pollfd> polls;
    for (const Child& child : children) polls.push_back({child.fd, POLLIN, 0});
    if (::poll(polls.data(), polls.size(), -1) < 0) continue;
    for (size_t i = 0; i < children.size(); ++i) {
      if (polls[i].revents == 0) continue;
      Child& child = children[i];
      char bytes[65536];
      const ssize_t n = ::read(child.fd, bytes, sizeof(bytes));
      if (n <= 0) {
        Reap(&child, &result);
        --open;
        continue;
      }
      child.buffer.append(bytes, static_cast<size_t>(n));
      size_t end = 0;
      while ((end = child.buffer.find('\n')) != std::string::npos) {
        ParseLine(std::string_view(child.buffer).substr(0, end), &child, &result);
        child.buffer.erase(0, end + 1);
      }
    }
    if (options.stop_at_first && !result.failures.empty()) {
      for (Child& child : children) {
        if (child.fd >= 0) ::kill(child.pid, SIGKILL);
      }
      for (Child& child : children) {
        if (child.fd < 0) continue;
        child.running.reset();
        Reap(&child, &result);
        --open;
      }
    }
  }
  std::sort(result.failures.begin(), result.failures.end(),
            [](const auto& a, const auto& b) { return a.seed < b.seed; });
  return result;
}

}  // namespace dqueue::sim
