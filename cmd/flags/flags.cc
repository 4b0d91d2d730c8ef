#include "cmd/flags/flags.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "cmd/flags/text_output.h"

namespace dqueue::cmd {
namespace {

absl::Status Bad(std::string message) { return absl::InvalidArgumentError(message); }

std::string Join(const std::vector<std::string>& parts, std::string_view separator) {
  std::string out;
  for (const std::string& part : parts) {
    if (!out.empty()) out += separator;
    out += part;
  }
  return out;
}

// "-5" and "-" are values; "-type" and "--type" look like the next flag.
bool LooksLikeFlag(std::string_view text) {
  if (text.size() < 2 || text.front() != '-') return false;
  const char next = text[1];
  return !(next >= '0' && next <= '9') && next != '.';
}

absl::StatusOr<Millis> DurationWithin(std::string_view text, DurationRange range) {
  absl::StatusOr<Millis> value = ParseDuration(text);
  if (!value.ok()) return value.status();
  if (*value < range.min || *value > range.max) {
    return Bad(Quoted(text) + " is out of range; it must be " + FormatDuration(range.min) + " to " +
               FormatDuration(range.max));
  }
  return value;
}

// As Nearest(), without the prefix that all variables have.
std::string NearestVariable(std::string_view name, const std::vector<std::string>& variables) {
  const size_t prefix = VariableOf("").size();
  std::vector<std::string> ends;
  for (const std::string& variable : variables) ends.push_back(variable.substr(prefix));
  const std::string nearest = Nearest(name.substr(prefix), ends);
  return nearest.empty() ? "" : VariableOf(nearest);
}

template <class T>
absl::Status Store(absl::StatusOr<T> value, auto* out) {
  if (!value.ok()) return value.status();
  *out = *std::move(value);
  return absl::OkStatus();
}

}  // namespace

Flag& FlagTable::Add(std::string name, std::string value_name, std::string help) {
  Flag& flag = rows_.emplace_back();
  flag.name = std::move(name);
  flag.value_name = std::move(value_name);
  flag.help = std::move(help);
  return flag;
}

Flag& FlagTable::Bool(std::string name, bool* out, std::string help) {
  Flag& flag = Add(std::move(name), "", std::move(help));
  flag.default_text = *out ? "true" : "";
  flag.boolean = true;
  flag.choices = {"true", "false"};
  flag.set = [out](std::string_view text) {
    if (text != "true" && text != "false") {
      return Bad(Quoted(text) + " is neither true nor false");
    }
    *out = text == "true";
    return absl::OkStatus();
  };
  return flag;
}

Flag& FlagTable::Text(std::string name, std::string* out, std::string value_name,
                      std::string help) {
  Flag& flag = Add(std::move(name), std::move(value_name), std::move(help));
  flag.default_text = *out;
  flag.set = [out](std::string_view text) {
    *out = std::string(text);
    return absl::OkStatus();
  };
  return flag;
}

Flag& FlagTable::Choice(std::string name, std::string* out, std::vector<std::string> choices,
                        std::string help) {
  Flag& flag = Add(std::move(name), Join(choices, "|"), std::move(help));
  flag.default_text = *out;
  flag.choices = choices;
  flag.set = [out, choices = std::move(choices)](std::string_view text) {
    if (std::find(choices.begin(), choices.end(), text) == choices.end()) {
      return Bad(Quoted(text) + " is not one of " + Join(choices, ", "));
    }
    *out = std::string(text);
    return absl::OkStatus();
  };
  return flag;
}

Flag& FlagTable::List(std::string name, std::vector<std::string>* out, std::string value_name,
                      std::string help) {
  Flag& flag = Add(std::move(name), std::move(value_name), std::move(help));
  flag.default_text = Join(*out, ",");
  flag.list = true;
  flag.set = [out, first = true](std::string_view text) mutable {
    std::vector<std::string> parts = SplitCommas(text);
    for (const std::string& part : parts) {
      if (part.empty()) return Bad(Quoted(text) + " has an empty item");
      if (part.find_first_of(" \t\r\n") != std::string::npos) {
        return Bad(Quoted(text) + " has white space in the item " + Quoted(part));
      }
    }
    if (std::exchange(first, false)) out->clear();
    for (std::string& part : parts) {
      if (std::find(out->begin(), out->end(), part) == out->end()) out->push_back(std::move(part));
    }
    return absl::OkStatus();
  };
  return flag;
}

Flag& FlagTable::Integer(std::string name, int64_t* out, int64_t min, int64_t max,
                         std::string help) {
  Flag& flag = Add(std::move(name), "N", std::move(help));
  flag.default_text = std::to_string(*out);
  flag.set = [=](std::string_view text) { return Store(ParseInteger(text, min, max), out); };
  return flag;
}

Flag& FlagTable::Integer(std::string name, std::optional<int64_t>* out, int64_t min, int64_t max,
                         std::string help) {
  Flag& flag = Add(std::move(name), "N", std::move(help));
  flag.set = [=](std::string_view text) { return Store(ParseInteger(text, min, max), out); };
  return flag;
}

Flag& FlagTable::Duration(std::string name, Millis* out, DurationRange range, std::string help) {
  Flag& flag = Add(std::move(name), "DURATION", std::move(help));
  flag.default_text = FormatDuration(*out);
  flag.set = [=](std::string_view text) { return Store(DurationWithin(text, range), out); };
  return flag;
}

Flag& FlagTable::Duration(std::string name, std::optional<Millis>* out, DurationRange range,
                          std::string help) {
  Flag& flag = Add(std::move(name), "DURATION", std::move(help));
  flag.set = [=](std::string_view text) { return Store(DurationWithin(text, range), out); };
  return flag;
}

Flag& FlagTable::Bytes(std::string name, uint64_t* out, uint64_t min, uint64_t max,
                       std::string help) {
  Flag& flag = Add(std::move(name), "SIZE", std::move(help));
  flag.default_text = FormatBytes(*out);
  flag.set = [=](std::string_view text) -> absl::Status {
    absl::StatusOr<uint64_t> value = ParseBytes(text);
    if (value.ok() && (*value < min || *value > max)) {
      return Bad(Quoted(text) + " is out of range; it must be " + FormatBytes(min) + " to " +
                 FormatBytes(max));
    }
    return Store(std::move(value), out);
  };
  return flag;
}

Flag& FlagTable::Time(std::string name, std::optional<WallTime>* out, std::string help) {
  Flag& flag = Add(std::move(name), "TIME", std::move(help));
  flag.set = [=](std::string_view text) { return Store(ParseTime(text), out); };
  return flag;
}

void FlagTable::AddVariables() {
  for (Flag& flag : rows_) flag.env = VariableOf(flag.name);
}

void FlagTable::RemoveVariables(std::string_view name) {
  Flag* flag = Find(name);
  DQ_CHECK(flag != nullptr);
  flag->env.clear();
  flag->older_env.clear();
}

Flag* FlagTable::Find(std::string_view name) {
  for (Flag& flag : rows_) {
    if (flag.name == name || (!name.empty() && flag.short_name == name)) return &flag;
  }
  return nullptr;
}

bool FlagTable::Given(std::string_view name) const {
  return given_.contains(name) || from_environment_.contains(name);
}

void FlagTable::Fail(std::string message) {
  if (!problem_) problem_ = UsageProblem{kExitUsage, std::move(message)};
}

std::string FlagTable::UnknownFlag(std::string_view name) const {
  std::vector<std::string> names = {"help", "version"};
  for (const Flag& flag : rows_) names.push_back(flag.name);
  const std::string nearest = Nearest(name, names);
  return "unknown flag " + Shown("--" + std::string(name)) +
         (nearest.empty() ? "; --help lists the flags" : "; did you mean --" + nearest + "?");
}

void FlagTable::Assign(Flag& flag, const std::string& value) {
  const std::string shown = "--" + flag.name;
  if (value.empty() && !flag.allow_empty) {
    Fail(shown + " has an empty value");
    return;
  }
  const auto earlier = given_.find(flag.name);
  if (earlier != given_.end() && !flag.list) {
    if (earlier->second != value) {
      Fail(shown + " is given twice with different values" +
           (flag.secret ? "" : ": " + Quoted(earlier->second) + " and " + Quoted(value)));
    }
    return;
  }
  given_[flag.name] = value;
  if (absl::Status status = flag.set(value); !status.ok()) {
    Fail(shown + ": " + std::string(status.message()));
  }
}

size_t FlagTable::Parse(std::span<const std::string> args, bool stop_at_positional) {
  size_t i = 0;
  for (; i < args.size(); ++i) {
    const std::string& arg = args[i];
    if (only_positionals_ || arg.size() < 2 || arg.front() != '-') {
      if (stop_at_positional) return i;
      positionals_.push_back(arg);
      continue;
    }
    if (arg == "--") {
      only_positionals_ = true;
      continue;
    }
    const size_t dashes = arg[1] == '-' ? 2 : 1;
    const size_t equals = arg.find('=');
    const std::string name = arg.substr(dashes, equals - dashes);
    std::optional<std::string> value;
    if (equals != std::string::npos) value = arg.substr(equals + 1);

    if (name == "help" || (dashes == 1 && name == "h")) {
      help_ = true;
      continue;
    }
    if (name == "version") {
      version_ = true;
      continue;
    }
    Flag* flag = Find(name);
    if (flag == nullptr) {
      Fail(UnknownFlag(name));
      continue;
    }
    if (!value && flag->boolean) {
      value = "true";
    } else if (!value) {
      const std::string shown = "--" + flag->name;
      if (i + 1 == args.size()) {
        Fail(shown + " needs a value");
        continue;
      }
      if (LooksLikeFlag(args[i + 1])) {
        Fail(shown + " needs a value; " + Quoted(args[i + 1]) +
             " looks like a flag (a value like that is written " + shown + "=…)");
        continue;
      }
      value = args[++i];
    }
    Assign(*flag, *value);
  }
  return i;
}

void FlagTable::ApplyEnvironment(const Environment& environment) {
  for (Flag& flag : rows_) SetFromVariable(flag, environment);
  JudgeVariables(environment);
}

void FlagTable::SetFromVariable(Flag& flag, const Environment& environment) {
  const auto value_of = [&](const std::string& variable) {
    const auto found = environment.find(variable);
    return found == environment.end() ? std::string() : found->second;
  };
  std::string variable = flag.env;
  std::string value = value_of(flag.env);
  if (const std::string older = value_of(flag.older_env); value.empty()) {
    variable = flag.older_env;
    value = older;
  } else if (!older.empty() && older != value) {
    warnings_.push_back(flag.env + " overrides its older name " + flag.older_env +
                        ", which has another value");
  }
  if (value.empty()) return;
  if (const auto given = given_.find(flag.name); given != given_.end()) {
    if (given->second != value) {
      notes_.push_back("--" + flag.name + " on the command line overrides " + variable);
    }
    return;
  }
  from_environment_[flag.name] = variable;
  if (absl::Status status = flag.set(value); !status.ok() && !problem_) {
    problem_ = UsageProblem{kExitConfig, variable + ": " + std::string(status.message())};
  }
}

void FlagTable::JudgeVariables(const Environment& environment) {
  std::vector<std::string> own;
  for (const Flag& flag : rows_) {
    if (!flag.env.empty()) own.push_back(flag.env);
    if (!flag.older_env.empty()) own.push_back(flag.older_env);
  }
  const std::vector<std::string>& known = KnownVariables();
  const auto is_in = [](const std::vector<std::string>& names, const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  std::vector<std::string> foreign;
  for (const auto& [name, value] : environment) {
    if (is_in(own, name)) continue;
    if (is_in(known, name)) {
      foreign.push_back(name);
      continue;
    }
    if (IsServiceVariable(name, value)) continue;
    std::string nearest = NearestVariable(name, own);
    if (nearest.empty()) nearest = NearestVariable(name, known);
    warnings_.push_back("unknown environment variable " + Shown(name) + " has no effect" +
                        (nearest.empty() ? "" : "; did you mean " + nearest + "?"));
  }
  if (!foreign.empty()) {
    notes_.push_back("variables of other programs have no effect here: " + Join(foreign, ", "));
  }
}

UsageProblem FlagTable::Attributed(UsageProblem problem) const {
  std::vector<std::string> sources;
  bool first = true;
  const std::string& message = problem.message;
  for (size_t at = 0; (at = message.find("--", at)) != std::string::npos;) {
    at += 2;
    const size_t end = std::min(
        message.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-", at), message.size());
    const std::string name = message.substr(at, end - at);
    at = end;
    const auto source = from_environment_.find(name);
    if (source != from_environment_.end()) {
      if (first) problem.code = kExitConfig;
      const std::string text = source->second + " sets --" + name;
      if (std::find(sources.begin(), sources.end(), text) == sources.end()) sources.push_back(text);
    }
    if (!name.empty()) first = false;
  }
  if (!sources.empty()) problem.message += " (" + Join(sources, "; ") + ")";
  return problem;
}

std::string FlagTable::Help() const {
  std::vector<std::pair<std::string, std::string>> lines;
  size_t width = 0;
  for (const Flag& flag : rows_) {
    std::string left = (flag.short_name.empty() ? "" : "-" + flag.short_name + ", ") + "--" +
                       flag.name + (flag.value_name.empty() ? "" : " " + flag.value_name);
    std::string right = flag.help;
    std::string extra;
    if (!flag.default_text.empty()) extra = "default " + flag.default_text;
    if (!flag.env.empty()) extra += (extra.empty() ? "" : "; ") + flag.env;
    if (!extra.empty()) right += " [" + extra + "]";
    width = std::max(width, std::min<size_t>(DisplayWidth(left), 30));
    lines.emplace_back(std::move(left), std::move(right));
  }
  std::string out;
  for (const auto& [left, right] : lines) {
    out += "  " + left;
    if (DisplayWidth(left) > width) {
      out += "\n  " + std::string(width, ' ');
    } else {
      out += std::string(width - DisplayWidth(left), ' ');
    }
    out += "  " + right + "\n";
  }
  return out;
}

}  // namespace dqueue::cmd
