#include "transport/http/routes/v1_json.h"

#include <google/protobuf/util/json_util.h>

#include <map>
#include <set>
#include <utility>
#include <vector>

#include "dqueue/v1/job.pb.h"
#include "queue/api/validate.h"
#include "transport/http/message/error_response.h"
#include "transport/http/message/json_text.h"
#include "transport/http/routes/body_fields.h"
#include "transport/http/routes/job_json.h"

namespace dqueue::transport {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

constexpr std::string_view kBase64 = "_base64";

bool IsOfApi(const Descriptor& type) { return type.full_name().starts_with("dqueue.v1."); }
bool IsToken(const Descriptor& type) { return &type == v1::LeaseToken::descriptor(); }
bool IsBytes(const FieldDescriptor& field) { return field.type() == FieldDescriptor::TYPE_BYTES; }

// The API's message in this field; null: another type, or a map.
const Descriptor* MessageOf(const FieldDescriptor& field) {
  const bool message = field.type() == FieldDescriptor::TYPE_MESSAGE && !field.is_map();
  return message && IsOfApi(*field.message_type()) ? field.message_type() : nullptr;
}

// The message, or one inside it, has bytes, a token or, in requests, an enum.
enum class Direction : uint8_t { kRequest, kAnswer };
bool Differs(const Descriptor& type, Direction direction) {
  if (IsToken(type)) return true;
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    if (IsBytes(field)) return true;
    if (field.enum_type() != nullptr && direction == Direction::kRequest) return true;
    // The API's messages contain no message of their own type.
    const Descriptor* inner = MessageOf(field);
    if (inner != nullptr && Differs(*inner, direction)) return true;
  }
  return false;
}

// "JOB_STATE_": what the names of all values of the type begin with.
std::string PrefixOf(const EnumDescriptor& type) {
  constexpr std::string_view kZero = "UNSPECIFIED";
  const std::string& zero = type.value(0)->name();
  return zero.ends_with(kZero) ? zero.substr(0, zero.size() - kZero.size()) : "";
}

const FieldDescriptor* FindField(const Descriptor& type, const std::string& name) {
  const FieldDescriptor* field = type.FindFieldByName(name);
  return field != nullptr ? field : type.FindFieldByCamelcaseName(name);
}

// Takes bytes out of the text of a request, replaces the text of tokens by objects, and short names
// of enum values by whole ones. Protobuf parses what remains.
class RequestText {
 public:
  // Text for Protobuf. `text` is an object that CheckJson() accepted.
  std::string Rewrite(std::string_view text, const Descriptor& type) {
    std::string out;
    out.reserve(text.size());
    Object(text, type, "", &out);
    return out;
  }
  const std::optional<HttpResponse>& problem() const { return problem_; }
  // Puts the bytes into the message that Protobuf parsed.
  void Fill(Message* message) const {
    for (const Taken& taken : taken_) {
      Message* at = message;
      for (const auto& [field, index] : taken.path) {
        const auto* reflection = at->GetReflection();
        at = index < 0 ? reflection->MutableMessage(at, field)
                       : reflection->MutableRepeatedMessage(at, field, index);
      }
      at->GetReflection()->SetString(at, taken.field, taken.bytes);
    }
  }

 private:
  using Path = std::vector<std::pair<const FieldDescriptor*, int>>;  // -1: not repeated
  struct Taken {
    Path path;
    const FieldDescriptor* field;
    std::string bytes;
  };

  void Object(std::string_view text, const Descriptor& type, const std::string& where,
              std::string* out) {
    std::set<const FieldDescriptor*> bytes;
    *out += '{';
    bool first = true;
    ForEachJsonMember(text, [&](std::string_view quoted, std::string_view value) {
      const std::string name = JsonName(quoted);
      if (Take(name, value, type, where, &bytes)) return;
      if (!std::exchange(first, false)) *out += ',';
      *out += quoted;
      *out += ':';
      const FieldDescriptor* field = FindField(type, name);
      if (field != nullptr && field->enum_type() != nullptr) {
        return Enums(value, *field, where + name, out);
      }
      const Descriptor* inner = field == nullptr ? nullptr : MessageOf(*field);
      if (inner == nullptr || !Differs(*inner, Direction::kRequest)) {
        *out += value;
      } else {
        Value(value, *field, *inner, where + name, out);
      }
    });
    *out += '}';
  }

  // Takes a payload or result. False: the member is something else.
  bool Take(const std::string& name, std::string_view value, const Descriptor& type,
            const std::string& where, std::set<const FieldDescriptor*>* seen) {
    const FieldDescriptor* field = FindField(type, name);
    const bool base64 = field == nullptr && name.ends_with(kBase64);
    if (base64) field = FindField(type, name.substr(0, name.size() - kBase64.size()));
    if (field == nullptr || !IsBytes(*field)) return false;
    if (!seen->insert(field).second) {
      Refuse(where + field->name() + std::string(kBase64), value,
             "absent when there is " + field->name());
    }
    std::optional<std::string> bytes(std::in_place, value);
    if (base64) {
      const std::optional<std::string> text = JsonToText(value);
      bytes = text ? FromBase64(*text) : std::nullopt;
      if (!bytes) Refuse(where + name, value, "a string in base64");
    }
    if (bytes) taken_.push_back({path_, field, *std::move(bytes)});
    return true;
  }

  void Value(std::string_view value, const FieldDescriptor& field, const Descriptor& type,
             const std::string& where, std::string* out) {
    if (!field.is_repeated()) return One(value, field, -1, type, where, out);
    if (!value.starts_with('[')) {
      *out += value;  // Protobuf refuses it
      return;
    }
    *out += '[';
    int index = 0;
    ForEachJsonElement(value, [&](std::string_view element) {
      if (index > 0) *out += ',';
      One(element, field, index, type, where + "[" + std::to_string(index) + "]", out);
      ++index;
    });
    *out += ']';
  }

  void Enums(std::string_view value, const FieldDescriptor& field, const std::string& where,
             std::string* out) {
    if (!field.is_repeated() || !value.starts_with('[')) {
      return Enum(value, *field.enum_type(), where, out);
    }
    *out += '[';
    int index = 0;
    ForEachJsonElement(value, [&](std::string_view element) {
      if (index > 0) *out += ',';
      Enum(element, *field.enum_type(), where + "[" + std::to_string(index) + "]", out);
      ++index;
    });
    *out += ']';
  }

  // Protobuf accepts numbers and refuses all else but names.
  void Enum(std::string_view value, const EnumDescriptor& type, const std::string& where,
            std::string* out) {
    const std::optional<std::string> name = JsonToText(value);
    if (!name) {
      *out += value;
      return;
    }
    const EnumValueDescriptor* found = FindEnumValue(type, *name);
    if (found == nullptr) return Refuse(where, value, EnumValues(type));
    *out += JsonQuoted(found->name());
  }

  void One(std::string_view value, const FieldDescriptor& field, int index, const Descriptor& type,
           const std::string& where, std::string* out) {
    if (value.starts_with('{')) {
      path_.emplace_back(&field, index);
      Object(value, type, where + ".", out);
      path_.pop_back();
    } else if (IsToken(type) && value.starts_with('"')) {
      Token(value, where, out);
    } else {
      *out += value;
    }
  }

  void Token(std::string_view value, const std::string& where, std::string* out) {
    const std::optional<v1::LeaseToken> token = ParseToken(JsonToText(value).value_or(""));
    if (!token) return Refuse(where, value, "a token as it was given, an object or its text");
    *out += JsonObject()
                .Unsigned("term", token->term())
                .Unsigned("sequence", token->sequence())
                .Unsigned("job", token->job())
                .Finish();
  }

  void Refuse(const std::string& field, std::string_view value, const std::string& limit) {
    if (!problem_) problem_ = BadField(field, queue::ShownValue(value), limit);
  }

  Path path_;  // of the object that is being read
  std::vector<Taken> taken_;
  std::optional<HttpResponse> problem_;
};

// Copies `text`, which Protobuf printed, with payloads and results as JSON.
void Show(std::string_view text, const Descriptor& type, std::string* out) {
  *out += '{';
  bool first = true;
  ForEachJsonMember(text, [&](std::string_view quoted, std::string_view value) {
    if (!std::exchange(first, false)) *out += ',';
    const FieldDescriptor* field = FindField(type, JsonName(quoted));
    if (field != nullptr && IsBytes(*field)) {
      JsonObject bytes;
      AddJsonBytes(field->name(), FromBase64(JsonName(value)).value_or(""), &bytes);
      const std::string object = bytes.Finish();
      out->append(object, 1, object.size() - 2);
      return;
    }
    *out += quoted;
    *out += ':';
    const Descriptor* inner = field == nullptr ? nullptr : MessageOf(*field);
    if (inner == nullptr || IsToken(*inner) || !Differs(*inner, Direction::kAnswer)) {
      *out += value;
    } else if (value.starts_with('[')) {
      *out += '[';
      bool first_element = true;
      ForEachJsonElement(value, [&](std::string_view element) {
        if (!std::exchange(first_element, false)) *out += ',';
        Show(element, *inner, out);
      });
      *out += ']';
    } else if (value.starts_with('{')) {
      Show(value, *inner, out);
    } else {
      *out += value;
    }
  });
  *out += '}';
}

}  // namespace

const EnumValueDescriptor* FindEnumValue(const EnumDescriptor& type, const std::string& name) {
  const EnumValueDescriptor* found = type.FindValueByName(name);
  return found != nullptr ? found : type.FindValueByName(PrefixOf(type) + name);
}

std::string EnumValues(const EnumDescriptor& type) {
  const size_t prefix = PrefixOf(type).size();
  std::string names;
  for (int i = 1; i < type.value_count(); ++i) {
    names += (i == 1                        ? ""
              : i + 1 == type.value_count() ? " or "
                                            : ", ") +
             type.value(i)->name().substr(prefix);
  }
  return names;
}

std::optional<HttpResponse> ReadMessageJson(std::string_view text, Message* message) {
  // Checked first, because Protobuf's parser accepts duplicate names and gives no position of
  // errors.
  const auto members = ParseJsonObject(text);
  if (!members.ok()) {
    return HttpProblem(400, "INVALID_JSON", std::string(members.status().message()));
  }
  RequestText request;
  const std::string rest = request.Rewrite(text, *message->GetDescriptor());
  if (request.problem()) return request.problem();
  const auto parsed = google::protobuf::util::JsonStringToMessage(rest, message);
  if (!parsed.ok()) return HttpProblem(400, "MALFORMED_REQUEST", parsed.message().as_string());
  request.Fill(message);
  return std::nullopt;
}

std::optional<std::string> MessageJson(const Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  options.always_print_primitive_fields = true;
  std::string json;
  if (!google::protobuf::util::MessageToJsonString(message, &json, options).ok()) {
    return std::nullopt;
  }
  if (!Differs(*message.GetDescriptor(), Direction::kAnswer)) return json;
  std::string shown;
  shown.reserve(json.size());
  Show(json, *message.GetDescriptor(), &shown);
  return shown;
}

}  // namespace dqueue::transport
