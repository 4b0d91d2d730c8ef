#include "cmd/flags/text_output.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>

#include "absl/strings/escaping.h"
#include "base/check.h"
#include "base/string_seam.h"
#include "cmd/flags/escape.h"

namespace dqueue::cmd {

size_t DisplayWidth(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

void TextTable::Row(std::vector<std::string> cells) {
  DQ_CHECK(cells.size() == header_.size());
  for (std::string& cell : cells) cell = EscapedForText(cell);
  rows_.push_back(std::move(cells));
}

std::string TextTable::ToString(bool with_header) const {
  std::vector<size_t> widths;
  for (const std::string& title : header_) widths.push_back(DisplayWidth(title));
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], DisplayWidth(row[i]));
  }
  std::string out;
  const auto line = [&](const std::vector<std::string>& cells) {
    std::string text;
    for (size_t i = 0; i < cells.size(); ++i) {
      text += cells[i] + std::string(widths[i] - DisplayWidth(cells[i]) + 2, ' ');
    }
    text.erase(text.find_last_not_of(' ') + 1);
    out += text + "\n";
  };
  if (with_header) line(header_);
  for (const auto& row : rows_) line(row);
  return out;
}

void JsonWriter::Before(std::string_view key) {
  if (needs_comma_) out_ += ',';
  needs_comma_ = true;
  if (!key.empty()) out_ += '"' + EscapedForJson(key) + "\":";
}

JsonWriter& JsonWriter::BeginObject(std::string_view key) {
  Before(key);
  out_ += '{';
  needs_comma_ = false;
  return *this;
}

JsonWriter& JsonWriter::EndObject() {
  out_ += '}';
  needs_comma_ = true;
  return *this;
}

JsonWriter& JsonWriter::BeginArray(std::string_view key) {
  Before(key);
  out_ += '[';
  needs_comma_ = false;
  return *this;
}

JsonWriter& JsonWriter::EndArray() {
  out_ += ']';
  needs_comma_ = true;
  return *this;
}

JsonWriter& JsonWriter::Text(std::string_view key, std::string_view value) {
  Before(key);
  out_ += '"' + EscapedForJson(value) + '"';
  return *this;
}

JsonWriter& JsonWriter::Unsigned(std::string_view key, uint64_t value) {
  Before(key);
  out_ += std::to_string(value);
  return *this;
}

JsonWriter& JsonWriter::Signed(std::string_view key, int64_t value) {
  Before(key);
  out_ += std::to_string(value);
  return *this;
}

JsonWriter& JsonWriter::Real(std::string_view key, double value) {
  if (!std::isfinite(value)) return Null(key);
  Before(key);
  char text[64];
  std::snprintf(text, sizeof text, "%.3f", value);
  out_ += text;
  return *this;
}

JsonWriter& JsonWriter::Bool(std::string_view key, bool value) {
  Before(key);
  out_ += value ? "true" : "false";
  return *this;
}

JsonWriter& JsonWriter::Null(std::string_view key) {
  Before(key);
  out_ += "null";
  return *this;
}

JsonWriter& JsonWriter::Raw(std::string_view key, std::string_view json) {
  Before(key);
  const auto plain = [](char c) { return c >= ' ' && c <= '~'; };
  for (auto at = json.begin(); at != json.end();) {
    // Below a space: whitespace between values, because it is escaped in strings.
    if (static_cast<unsigned char>(*at) < ' ') {
      out_ += ' ';
      ++at;
      continue;
    }
    const auto plain_end = std::find_if_not(at, json.end(), plain);
    out_.append(at, plain_end);
    // The rest is inside strings.
    at = std::find_if(plain_end, json.end(),
                      [](char c) { return static_cast<unsigned char>(c) <= '~'; });
    out_ += EscapedForJson(std::string_view(plain_end, at));
  }
  return *this;
}

JsonWriter& JsonWriter::Item(std::string_view value) { return Text({}, value); }

std::string JsonWriter::Take() { return std::exchange(out_, {}); }

std::string Base64(std::string_view bytes) { return absl::Base64Escape(AbslView(bytes)); }

std::string Grouped(uint64_t value) {
  std::string digits = std::to_string(value);
  for (size_t end = digits.size(); end > 3;) {
    end -= 3;
    digits.insert(end, ",");
  }
  return digits;
}

ProgressBar::ProgressBar(std::string what, uint64_t total)
    : what_(std::move(what)),
      total_(total),
      shown_(isatty(STDERR_FILENO) == 1),
      start_(std::chrono::steady_clock::now()),
      last_(start_) {}

ProgressBar::~ProgressBar() {
  if (drawn_) std::fputs("\r\x1b[K", stderr);
}

void ProgressBar::Update(uint64_t position, uint64_t count) {
  if (!shown_) return;
  const auto now = std::chrono::steady_clock::now();
  if (now - last_ < std::chrono::milliseconds(100)) return;
  last_ = now;
  drawn_ = true;
  const double seconds = std::chrono::duration<double>(now - start_).count();
  std::string line = "\r\x1b[K" + what_ + " ";
  if (total_ > 0) {
    constexpr size_t kWidth = 30;
    const double share = std::min(1.0, static_cast<double>(position) / static_cast<double>(total_));
    const auto filled = static_cast<size_t>(share * kWidth);
    line += "[" + std::string(filled, '#') + std::string(kWidth - filled, ' ') + "] " +
            std::to_string(static_cast<int>(share * 100)) + " % ";
  }
  line += Grouped(count) + " jobs, " +
          Grouped(static_cast<uint64_t>(static_cast<double>(count) / seconds)) + "/s";
  std::fputs(line.c_str(), stderr);
}

bool FinishOutput() {
  errno = 0;
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return true;
  const int error = errno;  // 0: an earlier write failed
  pollfd out = {STDOUT_FILENO, POLLOUT, 0};
  if (poll(&out, 1, 0) == 1 && (out.revents & (POLLERR | POLLHUP)) != 0) return false;
  std::fprintf(stderr, "cannot write to standard output%s%s\n", error == 0 ? "" : ": ",
               error == 0 ? "" : std::strerror(error));
  return false;
}

}  // namespace dqueue::cmd
