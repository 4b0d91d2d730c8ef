// Output of the programs: tables, JSON, a progress bar.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dqueue::cmd {

// The number of characters of UTF-8 text. Each counts as one column.
size_t DisplayWidth(std::string_view text);

// A table with aligned columns. Cells are escaped (EscapedForText).
class TextTable {
 public:
  explicit TextTable(std::vector<std::string> header) : header_(std::move(header)) {}
  // Adds a row. It must have as many cells as the header.
  void Row(std::vector<std::string> cells);
  bool empty() const { return rows_.empty(); }
  // One line per row, without trailing spaces.
  std::string ToString(bool with_header = true) const;

 private:
  std::vector<std::string> header_;
  std::vector<std::vector<std::string>> rows_;
};

// Writes JSON on one line and adds the commas. Calls must be balanced. `key` is empty for array
// items and for the outermost value. Text must be UTF-8.
class JsonWriter {
 public:
  JsonWriter& BeginObject(std::string_view key = {});
  JsonWriter& EndObject();
  JsonWriter& BeginArray(std::string_view key = {});
  JsonWriter& EndArray();
  JsonWriter& Text(std::string_view key, std::string_view value);
  JsonWriter& Unsigned(std::string_view key, uint64_t value);
  JsonWriter& Signed(std::string_view key, int64_t value);
  // Three decimals. A value that is not finite becomes null.
  JsonWriter& Real(std::string_view key, double value);
  JsonWriter& Bool(std::string_view key, bool value);
  JsonWriter& Null(std::string_view key);
  // `json` is the value as JSON text in UTF-8. Control characters between values become spaces; in
  // strings they are escaped, as by Text().
  JsonWriter& Raw(std::string_view key, std::string_view json);
  // A string in an array.
  JsonWriter& Item(std::string_view value);

  // Returns the text since the last Take(), so that long output can be printed in pieces.
  std::string Take();

 private:
  void Before(std::string_view key);
  std::string out_;
  bool needs_comma_ = false;
};

std::string Base64(std::string_view bytes);
// Decimal digits in groups of three: "12,345,678".
std::string Grouped(uint64_t value);

// A line on standard error that is rewritten in place. Prints nothing if standard error is not a
// terminal.
class ProgressBar {
 public:
  // `what` begins the line. `total` is the end of `position`; 0: unknown.
  ProgressBar(std::string what, uint64_t total);
  ~ProgressBar();  // clears the line
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;
  // `position` is in units of the total; `count` is the number of jobs so far. Draws at most ten
  // times a second.
  void Update(uint64_t position, uint64_t count);

 private:
  std::string what_;
  uint64_t total_;
  bool shown_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point start_;
  std::chrono::steady_clock::time_point last_;
};

// Flushes standard output. Returns false if a write failed, and prints an error unless the reader
// has closed the pipe (`dqueue-cli list --all | head`).
bool FinishOutput();

}  // namespace dqueue::cmd
