// The text forms of values in flags and job files: durations, sizes, numbers, times, addresses.
// Errors are INVALID_ARGUMENT. The message quotes the value and gives the reason; it does not name
// the flag.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "cmd/flags/escape.h"

namespace dqueue::cmd {

using Millis = std::chrono::milliseconds;
using WallTime = std::chrono::system_clock::time_point;

// One or more numbers, each with a unit of ms, s, m or h: "250ms", "1.5s", "1h30m". Each must
// be a whole number of milliseconds. The sum is at most 87672h (ten years).
absl::StatusOr<Millis> ParseDuration(std::string_view text);
// "30s", "1m30s", "250ms", "0s". ParseDuration() accepts the result of values from 0.
std::string FormatDuration(Millis value);

// A number with a unit of B, KB, MB, GB (powers of 1000) or KiB, MiB, GiB (powers of 1024). Returns
// bytes.
absl::StatusOr<uint64_t> ParseBytes(std::string_view text);
// A whole number of the largest fitting unit of GiB, MiB, KiB and B: "256MiB".
std::string FormatBytes(uint64_t value);

// Decimal ASCII digits with an optional sign. The value must be `min` to `max`.
absl::StatusOr<int64_t> ParseInteger(std::string_view text, int64_t min, int64_t max);

// RFC 3339 with a zone: "2026-01-02T03:04:05Z", "2026-01-02T03:04:05.678+01:00". Years 1 to 2200; a
// time before WallTime's range gives its beginning, in the year 1677.
absl::StatusOr<WallTime> ParseTime(std::string_view text);
// RFC 3339 in UTC with milliseconds: "2026-01-02T03:04:05.678Z".
std::string FormatTime(WallTime value);

struct HostPort {
  std::string host;  // IPv6 without brackets; empty: all interfaces
  int port = 0;
  bool ipv6 = false;
  // Only this machine can reach the address: "localhost", "::1" or 127.0.0.0/8.
  bool IsLoopback() const;
  // "0.0.0.0", "::" or empty.
  bool IsWildcard() const;
  // "host:port" or "[host]:port".
  std::string ToString() const;
};
// "host:port", ":port" or "[::1]:port". The port is 1 to 65535; also 0 if allow_port_zero.
absl::StatusOr<HostPort> ParseHostPort(std::string_view text, bool allow_port_zero = false);

// Each of `servers` must be "host:port", optionally after "http://" or "https://" and with a slash
// at the end.
absl::Status CheckServers(const std::vector<std::string>& servers);

// Splits at commas and keeps empty items. An empty text gives an empty list.
std::vector<std::string> SplitCommas(std::string_view text);

// Returns the candidate that `text` probably misspells, or "".
std::string Nearest(std::string_view text, const std::vector<std::string>& candidates);

}  // namespace dqueue::cmd
