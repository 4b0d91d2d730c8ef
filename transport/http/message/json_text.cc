#include "transport/http/message/json_text.h"

#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "queue/api/validate.h"

namespace dqueue::transport {
namespace {

namespace json = boost::json;

// A SAX handler that checks a document. Keeps only the names in open objects.
class NameCheck {
 public:
  static constexpr size_t max_object_size = std::numeric_limits<size_t>::max();
  static constexpr size_t max_array_size = std::numeric_limits<size_t>::max();
  static constexpr size_t max_key_size = std::numeric_limits<size_t>::max();
  static constexpr size_t max_string_size = std::numeric_limits<size_t>::max();

  const std::optional<std::string>& repeated() const { return repeated_; }

  bool on_document_begin(json::error_code&) { return true; }
  bool on_document_end(json::error_code&) { return true; }
  bool on_object_begin(json::error_code&) {
    open_.emplace_back();
    return true;
  }
  bool on_object_end(size_t, json::error_code&) {
    open_.pop_back();
    return true;
  }
  bool on_array_begin(json::error_code&) { return true; }
  bool on_array_end(size_t, json::error_code&) { return true; }
  bool on_key_part(json::string_view part, size_t, json::error_code&) {
    name_.append(part.data(), part.size());
    return true;
  }
  bool on_key(json::string_view part, size_t, json::error_code& error) {
    name_.append(part.data(), part.size());
    if (!open_.back().insert(name_).second) {
      repeated_ = name_;
      error = json::error::syntax;
      return false;
    }
    name_.clear();
    return true;
  }
  bool on_string_part(json::string_view, size_t, json::error_code&) { return true; }
  bool on_string(json::string_view, size_t, json::error_code&) { return true; }
  bool on_number_part(json::string_view, json::error_code&) { return true; }
  bool on_int64(int64_t, json::string_view, json::error_code&) { return true; }
  bool on_uint64(uint64_t, json::string_view, json::error_code&) { return true; }
  bool on_double(double, json::string_view, json::error_code&) { return true; }
  bool on_bool(bool, json::error_code&) { return true; }
  bool on_null(json::error_code&) { return true; }
  bool on_comment_part(json::string_view, json::error_code&) { return true; }
  bool on_comment(json::string_view, json::error_code&) { return true; }

 private:
  std::vector<std::set<std::string>> open_;
  std::string name_;
  std::optional<std::string> repeated_;
};

std::string Position(std::string_view text, size_t at) {
  size_t line = 1;
  size_t column = 1;
  for (const char c : text.substr(0, at)) {
    ++column;
    if (c == '\n') {
      ++line;
      column = 1;
    }
  }
  return "line " + std::to_string(line) + ", column " + std::to_string(column) + ": ";
}

bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

// Scans text that CheckJson() has accepted.
class Slicer {
 public:
  explicit Slicer(std::string_view text) : text_(text) {}

  bool Take(char c) {
    SkipSpace();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  std::string_view Value() {
    SkipSpace();
    const size_t begin = at_;
    size_t depth = 0;
    do {
      const char c = text_[at_];
      if (c == '"') {
        SkipString();
        continue;
      }
      if (c == '{' || c == '[') ++depth;
      if (c == '}' || c == ']') --depth;
      ++at_;
    } while (depth > 0 || !AtEndOfValue());
    return text_.substr(begin, at_ - begin);
  }

 private:
  void SkipSpace() {
    while (at_ < text_.size() && IsSpace(text_[at_])) ++at_;
  }
  void SkipString() {
    for (++at_; text_[at_] != '"'; ++at_) {
      if (text_[at_] == '\\') ++at_;
    }
    ++at_;
  }
  bool AtEndOfValue() const {
    if (at_ >= text_.size()) return true;
    const char c = text_[at_];
    return IsSpace(c) || c == ',' || c == ':' || c == '}' || c == ']';
  }

  const std::string_view text_;
  size_t at_ = 0;
};

std::optional<json::value> ParseValue(std::string_view text) {
  json::error_code error;
  json::value value = json::parse(json::string_view(text.data(), text.size()), error);
  if (error) return std::nullopt;
  return value;
}

}  // namespace

absl::Status CheckJson(std::string_view text) {
  json::parse_options options;
  options.max_depth = kJsonDepthMax;
  json::basic_parser<NameCheck> parser(options);
  json::error_code error;
  const size_t read = parser.write_some(false, text.data(), text.size(), error);
  if (error) {
    std::string problem = error.message();
    if (parser.handler().repeated()) {
      problem = "the name " + queue::ShownValue(*parser.handler().repeated()) + " comes twice";
    } else if (error == json::error::too_deep) {
      problem = "nested deeper than " + std::to_string(kJsonDepthMax) + " levels";
    }
    return absl::InvalidArgumentError(Position(text, read) + problem);
  }
  for (size_t i = read; i < text.size(); ++i) {
    if (!IsSpace(text[i])) {
      return absl::InvalidArgumentError(Position(text, i) + "there is more after the value");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<JsonMembers> ParseJsonObject(std::string_view text) {
  const absl::Status status = CheckJson(text);
  if (!status.ok()) return status;
  Slicer slicer(text);
  if (!slicer.Take('{')) {
    return absl::InvalidArgumentError("line 1, column 1: the body must be an object");
  }
  JsonMembers members;
  if (slicer.Take('}')) return members;
  do {
    const std::string_view name = slicer.Value();
    slicer.Take(':');
    members.emplace(JsonName(name), slicer.Value());
    if (members.size() > kJsonMembersMax) {
      return absl::InvalidArgumentError("the body has more than " +
                                        std::to_string(kJsonMembersMax) + " members");
    }
  } while (slicer.Take(','));
  return members;
}

std::string JsonName(std::string_view quoted) {
  if (quoted.find('\\') != std::string_view::npos) return JsonToText(quoted).value_or("");
  return std::string(quoted.substr(1, quoted.size() - 2));
}

void ForEachJsonMember(
    std::string_view object,
    absl::FunctionRef<void(std::string_view name, std::string_view value)> member) {
  Slicer slicer(object);
  if (!slicer.Take('{') || slicer.Take('}')) return;
  do {
    const std::string_view name = slicer.Value();
    slicer.Take(':');
    member(name, slicer.Value());
  } while (slicer.Take(','));
}

void ForEachJsonElement(std::string_view array,
                        absl::FunctionRef<void(std::string_view value)> element) {
  Slicer slicer(array);
  if (!slicer.Take('[') || slicer.Take(']')) return;
  do {
    element(slicer.Value());
  } while (slicer.Take(','));
}

void AddJsonBytes(std::string_view name, std::string_view bytes, JsonObject* object) {
  if (CheckJson(bytes).ok()) {
    object->Raw(name, bytes);
    return;
  }
  object->Text(std::string(name) + "_base64",
               absl::Base64Escape(absl::string_view(bytes.data(), bytes.size())));
}

std::optional<std::string> FromBase64(std::string_view text) {
  std::string bytes;
  const absl::string_view source(text.data(), text.size());
  if (absl::Base64Unescape(source, &bytes) || absl::WebSafeBase64Unescape(source, &bytes)) {
    return bytes;
  }
  return std::nullopt;
}

std::optional<std::string> JsonToText(std::string_view value) {
  const std::optional<json::value> parsed = ParseValue(value);
  if (!parsed || !parsed->is_string()) return std::nullopt;
  return std::string(parsed->get_string().data(), parsed->get_string().size());
}

std::optional<int64_t> JsonToInteger(std::string_view value) {
  const std::optional<json::value> parsed = ParseValue(value);
  if (!parsed || !parsed->is_int64()) return std::nullopt;
  return parsed->get_int64();
}

std::string JsonQuoted(std::string_view text) {
  return json::serialize(json::string_view(text.data(), text.size()));
}

JsonObject& JsonObject::Raw(std::string_view name, std::string_view value) {
  if (out_.size() > 1) out_ += ',';
  out_ += JsonQuoted(name);
  out_ += ':';
  out_ += value;
  return *this;
}
JsonObject& JsonObject::Text(std::string_view name, std::string_view text) {
  return Raw(name, JsonQuoted(text));
}
JsonObject& JsonObject::Integer(std::string_view name, int64_t value) {
  return Raw(name, std::to_string(value));
}
JsonObject& JsonObject::Unsigned(std::string_view name, uint64_t value) {
  return Raw(name, std::to_string(value));
}
JsonObject& JsonObject::Null(std::string_view name) { return Raw(name, "null"); }

}  // namespace dqueue::transport
