// How the values of flags and of job files are written: durations, sizes, numbers, times,
// addresses. Errors are INVALID_ARGUMENT; the message says what is wrong with the value and quotes
// it, without naming the flag.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace dqueue::cmd {

using Millis = std::chrono::milliseconds;
using WallTime = std::chrono::system_clock::time_point;

// In double quotes, control bytes and quotes escaped, cut after 80 characters.
std::string Quoted(std::string_view text);

// A sequence of numbers with a unit of ms, s, m or h: "250ms", "1.5s", "1h30m". At least one
// millisecond exactly; "0" with any unit is zero.
absl::StatusOr<Millis> ParseDuration(std::string_view text);
// "30s", "1m30s", "250ms", "0s"; ParseDuration() reads it back.
std::string FormatDuration(Millis value);

// A number with a unit of B, KB (1000), MB, GB, KiB (1024), MiB, GiB; in bytes.
absl::StatusOr<uint64_t> ParseBytes(std::string_view text);
// In the largest binary unit that leaves no rest: "256MiB".
std::string FormatBytes(uint64_t value);

// Decimal ASCII digits with an optional sign.
absl::StatusOr<int64_t> ParseInteger(std::string_view text, int64_t min, int64_t max);

// RFC 3339 with a zone: "2026-01-02T03:04:05Z", "2026-01-02T03:04:05.678+01:00". Years 1970 to
// 2200.
absl::StatusOr<WallTime> ParseTime(std::string_view text);
// In UTC, with milliseconds.
std::string FormatTime(WallTime value);

struct HostPort {
  std::string host;  // without the brackets of IPv6; may be empty: all interfaces
  int port = 0;
  bool ipv6 = false;
  // Nothing but this machine can reach it.
  bool IsLoopback() const;
  // "0.0.0.0", "::" or empty.
  bool IsWildcard() const;
  // "host:port" or "[host]:port".
  std::string ToString() const;
};
// "host:port", ":port", "[::1]:port"; port 1 to 65535 (0 as well if allow_port_zero).
absl::StatusOr<HostPort> ParseHostPort(std::string_view text, bool allow_port_zero = false);

// The addresses of nodes as a client gets them: "host:port", with "http://" in front and a slash at
// the end if one likes.
absl::Status CheckServers(const std::vector<std::string>& servers);

// At commas; an empty text is an empty list.
std::vector<std::string> SplitCommas(std::string_view text);

// The candidate that was probably meant, or "".
std::string Nearest(std::string_view text, const std::vector<std::string>& candidates);

}  // namespace dqueue::cmd
