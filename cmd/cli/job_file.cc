#include "cmd/cli/job_file.h"

#include <boost/json/src.hpp>
#include <limits>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "cmd/flags/escape.h"
#include "cmd/flags/flag_values.h"
#include "queue/api/limits.h"

namespace dqueue::cmd {
namespace {

namespace json = boost::json;

// Room for a payload of the maximum size with every byte escaped, and for the other fields.
constexpr size_t kItemBytesMax = 6 * queue::kPayloadBytesMax + (1 << 20);
constexpr size_t kDepthMax = 64;

absl::Status Bad(const std::string& message) { return absl::InvalidArgumentError(message); }

std::string KindName(const json::value& value) {
  switch (value.kind()) {
    case json::kind::null:
      return "null";
    case json::kind::bool_:
      return "a boolean";
    case json::kind::int64:
    case json::kind::uint64:
    case json::kind::double_:
      return "a number";
    case json::kind::string:
      return "a string";
    case json::kind::array:
      return "an array";
    case json::kind::object:
      return "an object";
  }
  return "unknown";
}

std::string Text(const json::string& text) { return std::string(text.data(), text.size()); }

absl::Status ReadText(const json::value& value, std::string* out) {
  if (!value.is_string()) return Bad("must be a string, not " + KindName(value));
  *out = Text(value.get_string());
  return absl::OkStatus();
}

absl::Status ReadInteger(const json::value& value, int64_t min, int64_t max, int64_t* out) {
  if (!value.is_number()) return Bad("must be a whole number, not " + KindName(value));
  if (value.is_double()) return Bad("must be a whole number without fraction or exponent");
  const bool fits = value.is_int64() && value.get_int64() >= min && value.get_int64() <= max;
  if (!fits) {
    return Bad(json::serialize(value) + " is out of range; it must be " + std::to_string(min) +
               " to " + std::to_string(max));
  }
  *out = value.get_int64();
  return absl::OkStatus();
}

absl::Status ReadMillis(const json::value& value, int64_t min, int64_t max,
                        std::optional<Millis>* out) {
  int64_t ms = 0;
  if (absl::Status status = ReadInteger(value, min, max, &ms); !status.ok()) return status;
  *out = Millis(ms);
  return absl::OkStatus();
}

absl::Status ReadTexts(const json::value& value, std::map<std::string, std::string>* out) {
  if (!value.is_object()) {
    return Bad("must be an object of strings, not " + KindName(value));
  }
  for (const json::key_value_pair& pair : value.get_object()) {
    const std::string key(pair.key().data(), pair.key().size());
    if (!pair.value().is_string()) {
      return Bad(Quoted(key) + " must be a string, not " + KindName(pair.value()));
    }
    (*out)[key] = Text(pair.value().get_string());
  }
  return absl::OkStatus();
}

absl::Status SetPayload(std::string payload, client::JobSpec* job) {
  if (payload.size() > queue::kPayloadBytesMax) {
    return Bad("has " + std::to_string(payload.size()) + " bytes; the maximum is " +
               std::to_string(queue::kPayloadBytesMax));
  }
  job->payload = std::move(payload);
  return absl::OkStatus();
}

struct Field {
  std::string_view name;
  // `source` is the text of the value in the file.
  absl::Status (*read)(const json::value& value, std::string_view source, client::JobSpec* job);
};

constexpr Field kFields[] = {
    {"id", [](const json::value& v, std::string_view,
              client::JobSpec* job) { return ReadText(v, &job->id); }},
    {"queue", [](const json::value& v, std::string_view,
                 client::JobSpec* job) { return ReadText(v, &job->queue); }},
    {"type", [](const json::value& v, std::string_view,
                client::JobSpec* job) { return ReadText(v, &job->type); }},
    {"payload",
     [](const json::value& v, std::string_view source, client::JobSpec* job) {
       (void)v;
       return SetPayload(std::string(source), job);
     }},
    {"payload_base64",
     [](const json::value& v, std::string_view, client::JobSpec* job) {
       std::string text;
       if (absl::Status status = ReadText(v, &text); !status.ok()) return status;
       std::string bytes;
       if (!absl::Base64Unescape(text, &bytes)) return Bad("must be base64");
       return SetPayload(std::move(bytes), job);
     }},
    {"priority",
     [](const json::value& v, std::string_view, client::JobSpec* job) {
       int64_t priority = 0;
       absl::Status status = ReadInteger(v, 0, queue::kPriorityMax, &priority);
       job->priority = static_cast<int>(priority);
       return status;
     }},
    {"timeout_ms",
     [](const json::value& v, std::string_view, client::JobSpec* job) {
       return ReadMillis(v, queue::kLeaseMsMin, queue::kLeaseMsMax, &job->lease_duration);
     }},
    {"delay_ms",
     [](const json::value& v, std::string_view, client::JobSpec* job) {
       return ReadMillis(v, 0, queue::kRunTimeAheadMsMax, &job->delay);
     }},
    {"run_at",
     [](const json::value& v, std::string_view, client::JobSpec* job) {
       std::string text;
       if (absl::Status status = ReadText(v, &text); !status.ok()) return status;
       absl::StatusOr<WallTime> time = ParseTime(text);
       if (time.ok()) job->run_time = *time;
       return time.status();
     }},
    {"max_retries",
     [](const json::value& v, std::string_view, client::JobSpec* job) {
       int64_t retries = 0;
       absl::Status status = ReadInteger(v, 0, queue::kRetriesMax, &retries);
       job->retry.max_retries = static_cast<int>(retries);
       return status;
     }},
    {"idempotency_key", [](const json::value& v, std::string_view,
                           client::JobSpec* job) { return ReadText(v, &job->idempotency_key); }},
    {"headers", [](const json::value& v, std::string_view,
                   client::JobSpec* job) { return ReadTexts(v, &job->headers); }},
    {"labels", [](const json::value& v, std::string_view,
                  client::JobSpec* job) { return ReadTexts(v, &job->labels); }},
};

const Field* FindField(std::string_view name) {
  for (const Field& field : kFields) {
    if (field.name == name) return &field;
  }
  return nullptr;
}

json::parse_options Options() {
  json::parse_options options;
  options.max_depth = kDepthMax;
  return options;
}

struct Member {
  std::string key;
  std::string_view source;  // the text of the value
};

bool IsSpace(int c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

size_t SkipString(std::string_view text, size_t i) {
  for (++i; text[i] != '"'; ++i) {
    if (text[i] == '\\') ++i;
  }
  return i + 1;
}

// Returns the members of an object, in order. `text` must be a valid JSON object.
std::vector<Member> Members(std::string_view text) {
  std::vector<Member> members;
  size_t i = text.find('{') + 1;
  const auto skip_space = [&] {
    while (IsSpace(text[i])) ++i;
  };
  for (skip_space(); text[i] != '}'; skip_space()) {
    if (text[i] == ',') {
      ++i;
      continue;
    }
    const size_t key_start = i;
    i = SkipString(text, i);
    const json::value key = json::parse(json::string_view(text.data() + key_start, i - key_start));
    skip_space();
    ++i;  // the colon
    skip_space();
    const size_t start = i;
    size_t depth = 0;
    for (; depth > 0 || (text[i] != ',' && text[i] != '}' && !IsSpace(text[i])); ++i) {
      if (text[i] == '"') {
        i = SkipString(text, i) - 1;
      } else if (text[i] == '{' || text[i] == '[') {
        ++depth;
      } else if (text[i] == '}' || text[i] == ']') {
        --depth;
      }
    }
    members.push_back({Text(key.get_string()), text.substr(start, i - start)});
  }
  return members;
}

}  // namespace

absl::StatusOr<client::JobSpec> ParseJob(std::string_view text, const client::JobSpec& defaults) {
  if (!IsUtf8(text)) return Bad("is not UTF-8");
  json::parser parser({}, Options());
  json::error_code error;
  const size_t used = parser.write_some(text.data(), text.size(), error);
  if (error) {
    return Bad("byte " + std::to_string(used + 1) + ": not valid JSON: " + error.message());
  }
  if (used != text.size())
    return Bad("byte " + std::to_string(used + 1) + ": text after the end of the object");
  const json::value value = parser.release();
  if (!value.is_object()) return Bad("must be an object, not " + KindName(value));

  client::JobSpec job = defaults;
  std::set<std::string> seen;
  for (const Member& member : Members(text)) {
    const Field* field = FindField(member.key);
    if (field == nullptr) {
      std::vector<std::string> names;
      for (const Field& known : kFields) names.emplace_back(known.name);
      const std::string nearest = Nearest(member.key, names);
      return Bad("unknown field " + Quoted(member.key) +
                 (nearest.empty() ? "" : "; did you mean \"" + nearest + "\"?"));
    }
    if (!seen.insert(member.key).second) return Bad(member.key + ": is there twice");
    absl::Status status = field->read(value.get_object().at(member.key), member.source, &job);
    if (!status.ok()) return Bad(member.key + ": " + std::string(status.message()));
  }
  if (seen.contains("delay_ms") && seen.contains("run_at")) {
    return Bad("delay_ms and run_at cannot both be set");
  }
  if (seen.contains("payload") && seen.contains("payload_base64")) {
    return Bad("payload and payload_base64 cannot both be set");
  }
  // Each replaces the other's default.
  if (seen.contains("delay_ms")) job.run_time.reset();
  if (seen.contains("run_at")) job.delay.reset();
  return job;
}

bool IsJson(std::string_view text) {
  constexpr size_t kDepth = 32;
  if (!IsUtf8(text)) return false;
  json::parse_options options;
  options.max_depth = kDepth;
  json::parser parser({}, options);
  json::error_code error;
  parser.write(text.data(), text.size(), error);
  return !error;
}

JobFileReader::JobFileReader(std::istream& in, std::string name, client::JobSpec defaults)
    : in_(in), name_(std::move(name)), defaults_(std::move(defaults)) {}

int JobFileReader::Peek() { return in_.rdbuf()->sgetc(); }

int JobFileReader::Take() {
  const int c = in_.rdbuf()->sbumpc();
  if (c == std::istream::traits_type::eof()) return c;
  ++offset_;
  if (c == '\n') {
    ++line_;
    column_ = 1;
  } else {
    ++column_;
  }
  return c;
}

void JobFileReader::SkipSpace() {
  while (IsSpace(Peek())) Take();
}

absl::Status JobFileReader::Problem(uint64_t line, uint64_t column, const std::string& what) const {
  return Bad(name_ + ":" + std::to_string(line) + ":" + std::to_string(column) + ": " + what);
}

absl::StatusOr<bool> JobFileReader::FindItem() {
  constexpr int kEnd = std::istream::traits_type::eof();
  if (layout_ == Layout::kEnded) return false;
  if (layout_ == Layout::kUnknown) {
    // A byte order mark is skipped.
    if (Peek() == 0xEF) {
      for (int expected : {0xEF, 0xBB, 0xBF}) {
        if (Take() != expected) return ProblemHere("not JSON and not UTF-8");
      }
      column_ = 1;
    }
    SkipSpace();
    if (Peek() == kEnd)
      return ProblemHere("is empty; expected an array of jobs or one job per line");
    layout_ = Peek() == '[' ? Layout::kArray : Layout::kSequence;
    if (layout_ == Layout::kArray) {
      Take();
      SkipSpace();
    }
  } else {
    SkipSpace();
    if (layout_ == Layout::kArray && Peek() == ',') {
      Take();
      SkipSpace();
      if (Peek() == ']') return ProblemHere("there is a comma before the end of the array");
    } else if (layout_ == Layout::kArray && Peek() != ']' && Peek() != kEnd) {
      return ProblemHere("expected a comma or the end of the array");
    }
  }
  if (layout_ == Layout::kArray && Peek() == ']') {
    Take();
    SkipSpace();
    if (Peek() != kEnd) return ProblemHere("there is text after the array");
    layout_ = Layout::kEnded;
    return false;
  }
  if (Peek() == kEnd) {
    if (layout_ == Layout::kArray) return ProblemHere("the file ends inside the array");
    layout_ = Layout::kEnded;
    return false;
  }
  if (Peek() != '{') {
    const char c = static_cast<char>(Peek());
    return ProblemHere("item " + std::to_string(items_) + ": a job must be an object; found " +
                       Quoted(std::string_view(&c, 1)));
  }
  return true;
}

absl::StatusOr<std::string> JobFileReader::TakeObject() {
  const std::string item = "item " + std::to_string(items_) + ": ";
  const uint64_t line = line_;
  const uint64_t column = column_;
  std::string text;
  std::vector<char> open;
  bool in_string = false;
  do {
    if (text.size() == kItemBytesMax) {
      return Problem(line, column,
                     item + "is longer than " + std::to_string(kItemBytesMax) + " bytes");
    }
    const int taken = Take();
    if (taken == std::istream::traits_type::eof()) {
      return Problem(line, column, item + "the file ends inside the object");
    }
    const char c = static_cast<char>(taken);
    text += c;
    if (in_string) {
      if (c == '\\' && Peek() != std::istream::traits_type::eof()) {
        text += static_cast<char>(Take());
      } else if (c == '"') {
        in_string = false;
      }
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      open.push_back(c);
      if (open.size() > kDepthMax) {
        return ProblemHere(item + "is nested deeper than " + std::to_string(kDepthMax));
      }
    } else if (c == '}' || c == ']') {
      // Checked here, because the parser would see the following items as part of this one.
      if (open.back() != (c == '}' ? '{' : '[')) {
        return ProblemHere(item + "a closing bracket does not match");
      }
      open.pop_back();
    }
  } while (!open.empty());
  return text;
}

absl::StatusOr<std::optional<client::JobSpec>> JobFileReader::Next() {
  absl::StatusOr<bool> found = FindItem();
  if (!found.ok()) return found.status();
  if (!*found) return std::optional<client::JobSpec>();
  const uint64_t line = line_;
  const uint64_t column = column_;
  absl::StatusOr<std::string> text = TakeObject();
  if (!text.ok()) return text.status();
  absl::StatusOr<client::JobSpec> job = ParseJob(*text, defaults_);
  if (!job.ok()) {
    return Problem(line, column,
                   "item " + std::to_string(items_) + ": " + std::string(job.status().message()));
  }
  ++items_;
  return std::optional<client::JobSpec>(*std::move(job));
}

}  // namespace dqueue::cmd
