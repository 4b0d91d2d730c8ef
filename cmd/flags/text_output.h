// What dqueue-cli and dqueue-bench write for people and programs: tables, JSON, a progress bar.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dqueue::cmd {

// Characters, each taken for one column. text: UTF-8.
size_t DisplayWidth(std::string_view text);

// Columns as wide as they need; control characters escaped.
class TextTable {
 public:
  explicit TextTable(std::vector<std::string> header) : header_(std::move(header)) {}
  // As many cells as the header has.
  void Row(std::vector<std::string> cells);
  bool empty() const { return rows_.empty(); }
  // Lines without trailing spaces.
  std::string ToString(bool with_header = true) const;

 private:
  std::vector<std::string> header_;
  std::vector<std::vector<std::string>> rows_;
};

// JSON on one line, piece by piece. Commas are put where they belong. Bytes that are not UTF-8 must
// not get here (see Payload()).
class JsonWriter {
 public:
  JsonWriter& BeginObject(std::string_view key = {});
  JsonWriter& EndObject();
  JsonWriter& BeginArray(std::string_view key = {});
  JsonWriter& EndArray();
  JsonWriter& Text(std::string_view key, std::string_view value);
  JsonWriter& Unsigned(std::string_view key, uint64_t value);
  JsonWriter& Signed(std::string_view key, int64_t value);
  // With three decimals; what is not finite becomes null.
  JsonWriter& Real(std::string_view key, double value);
  JsonWriter& Bool(std::string_view key, bool value);
  JsonWriter& Null(std::string_view key);
  // "payload": "text"; for bytes that are not UTF-8 "payload": null, "payload_base64": "…".
  JsonWriter& Bytes(std::string_view key, const std::string& value);
  // A value in an array.
  JsonWriter& Item(std::string_view value);

  // What was written since the last call.
  std::string Take();

 private:
  void Before(std::string_view key);
  std::string out_;
  bool needs_comma_ = false;
};

std::string Base64(std::string_view bytes);
// "12,345,678".
std::string Grouped(uint64_t value);

// One line on standard error, rewritten in place; nothing if that is not a terminal.
class ProgressBar {
 public:
  // total 0: unknown.
  ProgressBar(std::string what, uint64_t total);
  ~ProgressBar();  // ends the line
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;
  // Cheap: draws at most ten times a second. `position` is in units of the total.
  void Update(uint64_t position, uint64_t count);

 private:
  std::string what_;
  uint64_t total_;
  bool shown_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point start_;
  std::chrono::steady_clock::time_point last_;
};

// Flushes standard output. False (and a line on standard error) if what was written could not be
// delivered.
bool FinishOutput();

}  // namespace dqueue::cmd
