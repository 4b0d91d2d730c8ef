// A table of command-line flags. Each row defines a flag's name, type, range, help text,
// environment variable and completion.
//
// Syntax: long flags have one dash or two ("-type", "--type") and are written "--flag value" or
// "--flag=value". Booleans are written "--flag", "--flag=true" or "--flag=false". "--" ends the
// flags. A value that begins with "-" needs "=", unless it is "-" or a negative number. A flag that
// is repeated must have the same value, unless it is a list.
//
// Precedence: command line, environment, default.
//
// The variable of a flag is DQUEUE_ and its name in capitals: --data-dir, DQUEUE_DATA_DIR. An empty
// variable counts as not set. Variables of another name are reported (warnings()).
//
// Errors: the table keeps the first problem. --help and --version are recognised in spite of
// problems.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "cmd/flags/exit_code.h"
#include "cmd/flags/flag_values.h"
#include "cmd/flags/variables.h"

namespace dqueue::cmd {

struct Flag {
  std::string name;        // without dashes
  std::string short_name;  // one letter, for "-o"; empty: none
  std::string value_name;  // shown in the help: "DURATION"; empty for a boolean
  std::string help;
  std::string default_text;  // shown in the help; empty: none
  std::string env;           // environment variable of the flag; empty: none
  std::string older_env;     // a variable that is read if `env` is not set; empty: none
  std::vector<std::string> choices;
  bool boolean = false;
  bool list = false;  // a repeated flag adds values
  bool allow_empty = false;
  bool secret = false;  // errors do not show the value
  std::function<absl::Status(std::string_view)> set;

  // For chains: table.Text(…).OlderEnv("DQUEUE_ENDPOINT").
  Flag& OlderEnv(std::string variable) {
    older_env = std::move(variable);
    return *this;
  }
  Flag& Secret() {
    secret = true;
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

// Why a program cannot start: print `message`, exit with `code`.
struct UsageProblem {
  ExitCode code = kExitUsage;
  std::string message;
};

class FlagTable {
 public:
  FlagTable() = default;
  FlagTable(const FlagTable&) = delete;
  FlagTable& operator=(const FlagTable&) = delete;

  // Each adds a row. The default is the current value of `out`, which must outlive the table. The
  // returned reference is valid until the next row is added.
  Flag& Bool(std::string name, bool* out, std::string help);
  Flag& Text(std::string name, std::string* out, std::string value_name, std::string help);
  Flag& Choice(std::string name, std::string* out, std::vector<std::string> choices,
               std::string help);
  // Items are separated by commas or given by repeated flags, without white space. The first value
  // replaces the default. Repeated items count once.
  Flag& List(std::string name, std::vector<std::string>* out, std::string value_name,
             std::string help);
  Flag& Integer(std::string name, int64_t* out, int64_t min, int64_t max, std::string help);
  Flag& Integer(std::string name, std::optional<int64_t>* out, int64_t min, int64_t max,
                std::string help);
  Flag& Duration(std::string name, Millis* out, DurationRange range, std::string help);
  Flag& Duration(std::string name, std::optional<Millis>* out, DurationRange range,
                 std::string help);
  // A size with a unit, `min` to `max` bytes.
  Flag& Bytes(std::string name, uint64_t* out, uint64_t min, uint64_t max, std::string help);
  Flag& Time(std::string name, std::optional<WallTime>* out, std::string help);

  // Gives each row so far its variable.
  void AddVariables();
  // Takes the variables of a flag away.
  void RemoveVariables(std::string_view name);

  // Parses arguments. With `stop_at_positional` it stops before the first positional argument. May
  // be called again for the remaining arguments, after more rows were added. Returns the number of
  // parsed arguments.
  size_t Parse(std::span<const std::string> args, bool stop_at_positional = false);
  // Sets flags that are not on the command line from their variables. Call it after Parse(). A
  // malformed variable is a problem with kExitConfig.
  void ApplyEnvironment(const Environment& environment);

  bool help_wanted() const { return help_; }
  bool version_wanted() const { return version_; }
  const std::optional<UsageProblem>& problem() const { return problem_; }
  const std::vector<std::string>& positionals() const { return positionals_; }
  // For a problem that was found after parsing, by a rule between flags: names the variable of each
  // flag that the message names and that a variable set. If the first of the flags in the message
  // is one of these, the status is kExitConfig.
  UsageProblem Attributed(UsageProblem problem) const;

  // About variables of the environment that are probably mistakes: unknown ones with the nearest
  // known one, and an older name whose value differs from that of the newer name.
  const std::vector<std::string>& warnings() const { return warnings_; }
  // Lines for a log: variables that the command line overrode, or that belong to other programs.
  const std::vector<std::string>& notes() const { return notes_; }
  // The flag was on the command line or in the environment.
  bool Given(std::string_view name) const;

  const std::vector<Flag>& rows() const { return rows_; }
  // The help text: one line per flag, aligned. Ends with a line feed.
  std::string Help() const;

 private:
  Flag& Add(std::string name, std::string value_name, std::string help);
  Flag* Find(std::string_view name);
  void Fail(std::string message);
  void Assign(Flag& flag, const std::string& value);
  void SetFromVariable(Flag& flag, const Environment& environment);
  void JudgeVariables(const Environment& environment);
  std::string UnknownFlag(std::string_view name) const;

  std::vector<Flag> rows_;
  std::map<std::string, std::string, std::less<>> given_;
  std::map<std::string, std::string, std::less<>> from_environment_;  // the variable of a flag
  std::vector<std::string> positionals_;
  std::vector<std::string> warnings_;
  std::vector<std::string> notes_;
  std::optional<UsageProblem> problem_;
  bool only_positionals_ = false;
  bool help_ = false;
  bool version_ = false;
};

}  // namespace dqueue::cmd
