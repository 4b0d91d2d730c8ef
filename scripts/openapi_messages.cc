// Generates the schemas in docs/openapi.yaml from proto/dqueue/v1/service.proto: the messages of
// the calls under /v1, with the comments of the .proto files as descriptions.
//
//   openapi_messages DESCRIPTOR-SET < OLD.yaml > NEW.yaml
//
// DESCRIPTOR-SET is the output of protoc --descriptor_set_out --include_imports
// --include_source_info. The lines between "# from the messages" and "# end" are replaced; all
// other lines are copied. Exit status 2: DESCRIPTOR-SET cannot be read.
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "google/protobuf/descriptor.h"
#include "google/protobuf/descriptor.pb.h"

namespace {

using google::protobuf::Descriptor;
using google::protobuf::DescriptorPool;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptor;
using google::protobuf::MethodDescriptor;
using google::protobuf::SourceLocation;

constexpr char kPackage[] = "dqueue.v1.";

// A quoted YAML string, on one line.
std::string Quoted(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + '"';
}

// "dqueue.v1.FailJobsRequest.Item" becomes FailJobsRequest.Item; "google.rpc.Status" becomes
// Status.
std::string SchemaName(const Descriptor& message) {
  const std::string& name = message.full_name();
  if (name.starts_with(kPackage)) return name.substr(sizeof kPackage - 1);
  return message.name();
}

std::string Reference(const Descriptor& message) {
  return "$ref: \"#/components/schemas/" + SchemaName(message) + "\"";
}

// The leading and the trailing comment, on one line; "" if there is none.
template <class D>
std::string Comment(const D& described) {
  SourceLocation where;
  if (!described.GetSourceLocation(&where)) return "";
  std::istringstream words(where.leading_comments + " " + where.trailing_comments);
  std::string comment;
  for (std::string word; words >> word;) comment += (comment.empty() ? "" : " ") + word;
  return comment;
}

std::string EnumType(const EnumDescriptor& type) {
  std::string values;
  for (int i = 0; i < type.value_count(); ++i) {
    values += (i == 0 ? "" : ", ") + type.value(i)->name();
  }
  return "type: string, enum: [" + values + "]";
}

// The YAML fields of a schema, by Protobuf's JSON mapping, with the differences that
// transport/http/routes/v1_json.h describes. https://protobuf.dev/programming-guides/json/
std::string Type(const FieldDescriptor& field) {
  switch (field.type()) {
    case FieldDescriptor::TYPE_STRING:
      return "type: string";
    case FieldDescriptor::TYPE_BYTES:
      return "$ref: \"#/components/schemas/AnyJson\"";
    case FieldDescriptor::TYPE_BOOL:
      return "type: boolean";
    case FieldDescriptor::TYPE_INT32:
      return "type: integer, format: int32";
    case FieldDescriptor::TYPE_UINT32:
      return "type: integer, format: uint32";
    case FieldDescriptor::TYPE_INT64:
      return "type: string, format: int64";
    case FieldDescriptor::TYPE_UINT64:
    case FieldDescriptor::TYPE_FIXED64:
      return "type: string, format: uint64";
    case FieldDescriptor::TYPE_DOUBLE:
      return "type: number, format: double";
    case FieldDescriptor::TYPE_ENUM:
      return EnumType(*field.enum_type());
    case FieldDescriptor::TYPE_MESSAGE:
      break;
    default:
      std::cerr << field.full_name() << ": no schema is known for its type\n";
      std::exit(1);
  }
  const Descriptor& type = *field.message_type();
  if (type.full_name() == "google.protobuf.Timestamp") return "type: string, format: date-time";
  if (type.full_name() == "google.protobuf.Duration") {
    return R"(type: string, pattern: "^-?[0-9]+(\\.[0-9]{1,9})?s$")";
  }
  if (type.full_name() == "google.protobuf.Any") return "type: object";
  const bool in_request = field.full_name().find("Request.") != std::string::npos;
  if (in_request && type.full_name() == "dqueue.v1.LeaseToken") {
    return "anyOf: [{ " + Reference(type) + " }, { $ref: \"#/components/schemas/TokenText\" }]";
  }
  return Reference(type);
}

std::string Schema(const FieldDescriptor& field) {
  std::string schema;
  const std::string description = Comment(field);
  if (field.is_map()) {
    schema =
        "type: object, additionalProperties: { " + Type(*field.message_type()->map_value()) + " }";
  } else if (field.is_repeated()) {
    schema = "type: array, items: { " + Type(field) + " }";
  } else {
    schema = Type(field);
    // OpenAPI 3.0 ignores the siblings of a $ref, so the $ref goes into an allOf.
    if (schema.starts_with("$") && !description.empty()) schema = "allOf: [{ " + schema + " }]";
  }
  if (!description.empty()) schema += ", description: " + Quoted(description);
  return "{ " + schema + " }";
}

// Adds a message and the messages of its fields, each once.
void Collect(const Descriptor& message, std::set<const Descriptor*>* found,
             std::vector<const Descriptor*>* order) {
  if (message.full_name().starts_with("google.protobuf.") || !found->insert(&message).second)
    return;
  order->push_back(&message);
  for (int i = 0; i < message.field_count(); ++i) {
    const FieldDescriptor& field = *message.field(i);
    const Descriptor* type =
        field.is_map() ? field.message_type()->map_value()->message_type() : field.message_type();
    if (type != nullptr) Collect(*type, found, order);
  }
}

void WriteSchemas(const std::vector<const MethodDescriptor*>& methods) {
  std::set<const Descriptor*> found;
  std::vector<const Descriptor*> order;
  for (const MethodDescriptor* method : methods) {
    Collect(*method->input_type(), &found, &order);
    Collect(*method->output_type(), &found, &order);
  }
  for (const Descriptor* message : order) {
    std::cout << "    " << SchemaName(*message) << ":\n      type: object\n";
    const std::string description = Comment(*message);
    if (!description.empty()) std::cout << "      description: " << Quoted(description) << "\n";
    if (message->field_count() > 0) std::cout << "      properties:\n";
    for (int i = 0; i < message->field_count(); ++i) {
      const FieldDescriptor& field = *message->field(i);
      std::cout << "        " << field.name() << ": " << Schema(field) << "\n";
      if (field.type() == FieldDescriptor::TYPE_BYTES) {
        std::cout << "        " << field.name()
                  << "_base64: { type: string, format: byte, description: \"Instead of "
                  << field.name() << ", for bytes that are not JSON.\" }\n";
      }
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::ifstream file(argc == 2 ? argv[1] : "", std::ios::binary);
  google::protobuf::FileDescriptorSet set;
  if (!file || !set.ParseFromIstream(&file)) {
    std::cerr << "usage: openapi_messages DESCRIPTOR-SET < OLD.yaml > NEW.yaml\n";
    return 2;
  }
  DescriptorPool pool;
  for (const auto& one : set.file()) {
    if (pool.BuildFile(one) == nullptr) return 2;
  }
  const FileDescriptor* api = pool.FindFileByName("dqueue/v1/service.proto");
  if (api == nullptr) return 2;
  std::vector<const MethodDescriptor*> methods;
  for (int s = 0; s < api->service_count(); ++s) {
    for (int m = 0; m < api->service(s)->method_count(); ++m) {
      methods.push_back(api->service(s)->method(m));
    }
  }

  bool skipping = false;
  for (std::string line; std::getline(std::cin, line);) {
    if (line.find("# end") != std::string::npos) skipping = false;
    if (!skipping) std::cout << line << "\n";
    if (line.find("# from the messages") == std::string::npos) continue;
    skipping = true;
    WriteSchemas(methods);
  }
}
