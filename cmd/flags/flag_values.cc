#include "cmd/flags/flag_values.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <numeric>
#include <optional>
#include <span>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/string_seam.h"

namespace dqueue::cmd {
namespace {

constexpr uint64_t kTooLarge = std::numeric_limits<uint64_t>::max();

absl::Status Bad(const std::string& message) { return absl::InvalidArgumentError(message); }

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// The decimal number mantissa * 10^-fraction_digits, exact.
struct Decimal {
  uint64_t mantissa = 0;
  int fraction_digits = 0;
  size_t length = 0;  // characters read; 0: not a number
  bool overflow = false;
};

Decimal ReadDecimal(std::string_view text) {
  Decimal result;
  bool point = false;
  bool digits = false;
  for (char c : text) {
    if (c == '.' && !point) {
      point = true;
    } else if (IsDigit(c)) {
      digits = true;
      const auto digit = static_cast<uint64_t>(c - '0');
      if (result.mantissa > (kTooLarge - digit) / 10) {
        result.overflow = true;
      } else {
        result.mantissa = result.mantissa * 10 + digit;
      }
      if (point) ++result.fraction_digits;
    } else {
      break;
    }
    ++result.length;
  }
  if (!digits) result.length = 0;
  return result;
}

// Returns decimal * unit; kTooLarge if it overflows; nullopt if it is not a whole number.
std::optional<uint64_t> Scale(const Decimal& decimal, uint64_t unit) {
  if (decimal.overflow) return kTooLarge;
  if (decimal.fraction_digits > 18) return std::nullopt;
  uint64_t divisor = 1;
  for (int i = 0; i < decimal.fraction_digits; ++i) divisor *= 10;
  const uint64_t common = std::gcd(unit, divisor);
  const uint64_t rest = divisor / common;
  if (decimal.mantissa % rest != 0) return std::nullopt;
  const uint64_t count = decimal.mantissa / rest;
  const uint64_t factor = unit / common;
  if (count != 0 && factor > kTooLarge / count) return kTooLarge;
  return count * factor;
}

struct Unit {
  std::string_view name;
  uint64_t factor;
};
constexpr Unit kDurationUnits[] = {{"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}};
constexpr Unit kByteUnits[] = {
    {"B", 1},         {"KB", 1000},     {"MB", 1'000'000}, {"GB", 1'000'000'000},
    {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}};
// Ten years: sums of such durations cannot overflow.
constexpr uint64_t kDurationMsMax = 3653ULL * 24 * 3600 * 1000;

const Unit* FindUnit(std::string_view name, std::span<const Unit> units) {
  for (const Unit& unit : units) {
    if (unit.name == name) return &unit;
  }
  return nullptr;
}

size_t EditDistance(std::string_view a, std::string_view b) {
  // Optimal string alignment: two neighbours swapped count as one edit.
  std::vector<std::vector<size_t>> d(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) d[i][0] = i;
  for (size_t j = 0; j <= b.size(); ++j) d[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replace = d[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, replace});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
      }
    }
  }
  return d[a.size()][b.size()];
}

}  // namespace

absl::StatusOr<Millis> ParseDuration(std::string_view text) {
  const std::string quoted = Quoted(text);
  if (text.empty()) return Bad("an empty duration; write for example 500ms, 30s, 5m or 1h");
  if (text.front() == '-') return Bad(quoted + " is negative; a duration must be 0s or longer");
  uint64_t total = 0;
  for (std::string_view rest = text; !rest.empty();) {
    const Decimal number = ReadDecimal(rest);
    if (number.length == 0) {
      return Bad(quoted + " is not a duration; write for example 500ms, 30s, 5m or 1h");
    }
    rest.remove_prefix(number.length);
    size_t letters = 0;
    while (letters < rest.size() && IsLetter(rest[letters])) ++letters;
    const std::string_view name = rest.substr(0, letters);
    if (name.empty()) {
      return Bad(quoted + " has no unit; the units are ms, s, m and h, for example 30s");
    }
    const Unit* unit = FindUnit(name, kDurationUnits);
    if (unit == nullptr) {
      return Bad(quoted + " has the unknown unit " + Quoted(name) +
                 "; the units are ms, s, m and h");
    }
    const std::optional<uint64_t> ms = Scale(number, unit->factor);
    if (ms && *ms > kDurationMsMax - total) {
      return Bad(quoted + " is too long; the longest duration is 87672h");
    }
    if (!ms) return Bad(quoted + " is not a whole number of milliseconds");
    total += *ms;
    rest.remove_prefix(letters);
  }
  return Millis(static_cast<int64_t>(total));
}

std::string FormatDuration(Millis value) {
  int64_t ms = value.count();
  if (ms == 0) return "0s";
  std::string out = ms < 0 ? "-" : "";
  if (ms < 0) ms = -ms;
  const auto take = [&](int64_t unit, const char* name) {
    if (ms >= unit) out += std::to_string(ms / unit) + name;
    ms %= unit;
  };
  take(3'600'000, "h");
  take(60'000, "m");
  take(1000, "s");
  take(1, "ms");
  return out;
}

absl::StatusOr<uint64_t> ParseBytes(std::string_view text) {
  const std::string quoted = Quoted(text);
  if (!text.empty() && text.front() == '-') {
    return Bad(quoted + " is negative; write for example 256MiB");
  }
  const Decimal number = ReadDecimal(text);
  if (number.length == 0) return Bad(quoted + " is not a size; write for example 256MiB");
  const std::string_view name = text.substr(number.length);
  const std::string units = "the units are B, KB, MB, GB (of 1000) and KiB, MiB, GiB (of 1024)";
  if (name.empty()) return Bad(quoted + " has no unit; " + units);
  const Unit* unit = FindUnit(name, kByteUnits);
  if (unit == nullptr) return Bad(quoted + " has the unknown unit " + Quoted(name) + "; " + units);
  const std::optional<uint64_t> bytes = Scale(number, unit->factor);
  if (!bytes) return Bad(quoted + " is not a whole number of bytes");
  if (*bytes == kTooLarge) return Bad(quoted + " is too large");
  return *bytes;
}

std::string FormatBytes(uint64_t value) {
  constexpr Unit kBinary[] = {{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}};
  for (const Unit& unit : kBinary) {
    if (value != 0 && value % unit.factor == 0) {
      return std::to_string(value / unit.factor) + std::string(unit.name);
    }
  }
  return std::to_string(value) + "B";
}

absl::StatusOr<int64_t> ParseInteger(std::string_view text, int64_t min, int64_t max) {
  const std::string range = std::to_string(min) + " to " + std::to_string(max);
  std::string_view digits = text;
  if (digits.size() > 1 && digits.front() == '+') digits.remove_prefix(1);
  int64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  const bool whole = end == digits.data() + digits.size();
  if (error == std::errc::invalid_argument || !whole) {
    return Bad(Quoted(text) + " is not a whole number of " + range);
  }
  if (error == std::errc::result_out_of_range || value < min || value > max) {
    return Bad(Quoted(text) + " is out of range; it must be " + range);
  }
  return value;
}

absl::StatusOr<WallTime> ParseTime(std::string_view text) {
  const std::string quoted = Quoted(text);
  absl::Time time;
  std::string error;
  if (text.empty() || !IsDigit(text.front()) || text.find('T') == std::string_view::npos ||
      !absl::ParseTime(absl::RFC3339_full, AbslView(text), &time, &error)) {
    return Bad(quoted + " is not an RFC 3339 time with a zone, for example 2026-01-02T03:04:05Z");
  }
  static const absl::Time start = absl::FromCivil(absl::CivilSecond(1, 1, 1), absl::UTCTimeZone());
  static const absl::Time end = absl::FromCivil(absl::CivilSecond(2201, 1, 1), absl::UTCTimeZone());
  if (time < start || time >= end) {
    return Bad(quoted + " is out of range; years 1 to 2200 can be given");
  }
  return absl::ToChronoTime(time);
}

std::string FormatTime(WallTime value) {
  return absl::FormatTime("%Y-%m-%d%ET%H:%M:%E3SZ", absl::FromChrono(value), absl::UTCTimeZone());
}

bool HostPort::IsLoopback() const {
  in_addr v4{};
  // A name such as "127.evil.example" can resolve to any address.
  const bool is_v4 = inet_pton(AF_INET, host.c_str(), &v4) == 1;
  return host == "localhost" || host == "::1" || (is_v4 && ntohl(v4.s_addr) >> 24 == 127);
}

bool HostPort::IsWildcard() const { return host.empty() || host == "0.0.0.0" || host == "::"; }

std::string HostPort::ToString() const {
  return (ipv6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

absl::StatusOr<HostPort> ParseHostPort(std::string_view text, bool allow_port_zero) {
  const std::string quoted = Quoted(text);
  HostPort result;
  std::string_view port;
  if (!text.empty() && text.front() == '[') {
    const size_t close = text.find(']');
    if (close == std::string_view::npos) return Bad(quoted + " has no closing bracket");
    result.host = text.substr(1, close - 1);
    result.ipv6 = true;
    if (result.host.find(':') == std::string::npos ||
        result.host.find_first_not_of("0123456789abcdefABCDEF:.") != std::string::npos) {
      return Bad(quoted + " has no IPv6 address in its brackets");
    }
    if (close + 1 >= text.size() || text[close + 1] != ':') {
      return Bad(quoted + " has no port; write [address]:port");
    }
    port = text.substr(close + 2);
  } else {
    const size_t colon = text.find(':');
    if (colon == std::string_view::npos) return Bad(quoted + " has no port; write host:port");
    if (text.find(':', colon + 1) != std::string_view::npos) {
      return Bad(quoted + " is an IPv6 address without brackets; write [address]:port");
    }
    result.host = text.substr(0, colon);
    for (char c : result.host) {
      if (!IsDigit(c) && !IsLetter(c) && c != '.' && c != '-' && c != '_') {
        return Bad(quoted +
                   " has a character that no host name has: " + Quoted(std::string_view(&c, 1)));
      }
    }
    if (result.host.size() > 253) return Bad(quoted + " has a host name longer than 253 bytes");
    port = text.substr(colon + 1);
  }
  if (port.empty()) return Bad(quoted + " has no port after the colon");
  const int64_t lowest = allow_port_zero ? 0 : 1;
  absl::StatusOr<int64_t> number = ParseInteger(port, lowest, 65535);
  if (!number.ok() || !IsDigit(port.front())) {
    return Bad(quoted + " has a bad port; it must be " + std::to_string(lowest) + " to 65535");
  }
  result.port = static_cast<int>(*number);
  return result;
}

absl::Status CheckServers(const std::vector<std::string>& servers) {
  for (const std::string& server : servers) {
    std::string_view address = server;
    for (const std::string_view scheme : {"https://", "http://"}) {
      if (address.starts_with(scheme)) {
        address.remove_prefix(scheme.size());
        break;
      }
    }
    if (!address.empty() && address.back() == '/') address.remove_suffix(1);
    absl::StatusOr<HostPort> parsed = ParseHostPort(address);
    if (!parsed.ok()) return parsed.status();
    if (parsed->host.empty()) {
      return absl::InvalidArgumentError(Quoted(server) + " has no host; write host:port");
    }
  }
  return absl::OkStatus();
}

std::vector<std::string> SplitCommas(std::string_view text) {
  std::vector<std::string> parts;
  if (text.empty()) return parts;
  size_t start = 0;
  for (size_t comma; (comma = text.find(',', start)) != std::string_view::npos; start = comma + 1) {
    parts.emplace_back(text.substr(start, comma - start));
  }
  parts.emplace_back(text.substr(start));
  return parts;
}

std::string Nearest(std::string_view text, const std::vector<std::string>& candidates) {
  if (text.size() > kShownCharactersMax) return "";
  std::string best;
  // Most words of five letters are within two edits of an unrelated one.
  size_t best_distance = text.size() < 6 ? 2 : 3;
  for (const std::string& candidate : candidates) {
    const size_t distance = EditDistance(text, candidate);
    if (distance < best_distance && distance < candidate.size()) {
      best = candidate;
      best_distance = distance;
    }
  }
  if (!best.empty() || text.size() < 3) return best;
  for (const std::string& candidate : candidates) {
    if (candidate.rfind(text, 0) == 0) return candidate;
  }
  return "";
}

}  // namespace dqueue::cmd
