// Command-line flags, by a table. One row gives a flag its name, its kind and range, its help, its
// environment variable and its completion; nothing about a flag is written twice.
//
// Long flags with one dash or two ("-type", "--type"), "--flag value" or "--flag=value"; booleans
// alone or with "=true" or "=false". The same flag twice must have the same value, unless it is a
// list. "--" ends the flags. The command line wins over the environment, and that over the default.
// A value that begins with "-" must be given with "=", unless it is "-" or a negative number.
//
// The first problem is kept; --help and --version win over all problems.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "cmd/flags/exit_code.h"
#include "cmd/flags/flag_values.h"

namespace dqueue::cmd {

// Variables that begin with "DQUEUE_", by name.
using Environment = std::map<std::string, std::string>;
Environment ProcessEnvironment();

struct Flag {
  std::string name;        // without dashes
  std::string short_name;  // one letter, for "-o"; empty: none
  std::string value_name;  // in the help: "DURATION"; empty for a boolean
  std::string help;
  std::string default_text;  // in the help; empty: none
  std::string env;           // variable that also sets it; empty: none
  std::vector<std::string> choices;
  bool boolean = false;
  bool list = false;  // may be repeated; values add up
  bool allow_empty = false;
  std::function<absl::Status(std::string_view)> set;

  // Makes a table readable: table.Text(…).Env("DQUEUE_ENDPOINT").
  Flag& Env(std::string variable) {
    env = std::move(variable);
    return *this;
  }
  Flag& Short(std::string letter) {
    short_name = std::move(letter);
    return *this;
  }
  Flag& AllowEmpty() {
    allow_empty = true;
    return *this;
  }
  Flag& Default(std::string text) {
    default_text = std::move(text);
    return *this;
  }
};

struct DurationRange {
  Millis min{0};
  Millis max = std::chrono::hours(87672);
};

// The program could not make sense of its input: say `message`, exit with `code`.
struct UsageProblem {
  ExitCode code = kExitUsage;
  std::string message;
};

class FlagTable {
 public:
  FlagTable() = default;
  FlagTable(const FlagTable&) = delete;
  FlagTable& operator=(const FlagTable&) = delete;

  // Each adds a row. What `out` holds now is the default. `out` must outlive the table.
  Flag& Bool(std::string name, bool* out, std::string help);
  Flag& Text(std::string name, std::string* out, std::string value_name, std::string help);
  Flag& Choice(std::string name, std::string* out, std::vector<std::string> choices,
               std::string help);
  // Separated by commas, or the flag repeated. The first value given replaces the default.
  Flag& List(std::string name, std::vector<std::string>* out, std::string value_name,
             std::string help);
  Flag& Integer(std::string name, int64_t* out, int64_t min, int64_t max, std::string help);
  Flag& Integer(std::string name, std::optional<int64_t>* out, int64_t min, int64_t max,
                std::string help);
  Flag& Duration(std::string name, Millis* out, DurationRange range, std::string help);
  Flag& Duration(std::string name, std::optional<Millis>* out, DurationRange range,
                 std::string help);
  // At least min bytes.
  Flag& Bytes(std::string name, uint64_t* out, uint64_t min, uint64_t max, std::string help);
  Flag& Time(std::string name, std::optional<WallTime>* out, std::string help);

  // Every row without a variable of its own gets PREFIX + NAME_IN_CAPITALS.
  void SetEnvPrefix(const std::string& prefix);

  // May be called again with more arguments after more rows were added. Stops before the first
  // positional argument if `stop_at_positional`. Returns how many arguments were used.
  size_t Parse(std::span<const std::string> args, bool stop_at_positional = false);
  // Afterwards: flags that were not given take their variable's value, if there is one. An empty
  // variable counts as not set. A malformed one is a problem with kExitConfig.
  void ApplyEnvironment(const Environment& environment);

  bool help_wanted() const { return help_; }
  bool version_wanted() const { return version_; }
  const std::optional<UsageProblem>& problem() const { return problem_; }
  const std::vector<std::string>& positionals() const { return positionals_; }
  // For a log: which variables were hidden by the command line.
  const std::vector<std::string>& notes() const { return notes_; }
  // On the command line or in the environment.
  bool Given(std::string_view name) const;

  const std::vector<Flag>& rows() const { return rows_; }
  // One row a flag, aligned; ends with a line feed.
  std::string Help() const;

 private:
  Flag& Add(std::string name, std::string value_name, std::string help);
  Flag* Find(std::string_view name);
  void Fail(std::string message);
  void Assign(Flag& flag, const std::string& value);
  std::string UnknownFlag(std::string_view name) const;

  std::vector<Flag> rows_;
  std::map<std::string, std::string, std::less<>> given_;
  std::set<std::string, std::less<>> from_environment_;
  std::vector<std::string> positionals_;
  std::vector<std::string> notes_;
  std::optional<UsageProblem> problem_;
  bool only_positionals_ = false;
  bool help_ = false;
  bool version_ = false;
};

// Warnings for variables that begin with "DQUEUE_" and mean nothing to this table or to the other
// programs. (Kubernetes makes DQUEUE_PORT… and DQUEUE_SERVICE_… for a service of that name.)
std::vector<std::string> UnknownVariables(const FlagTable& table, const Environment& environment);

}  // namespace dqueue::cmd
