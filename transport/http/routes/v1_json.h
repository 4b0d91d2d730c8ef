// Messages of the API as JSON: Protobuf's mapping, with three differences.
//  - A payload or result is JSON itself. `payload` is any JSON value, and the bytes of the field
//    are the bytes of that value as they came in. `payload_base64` has other bytes. An answer has
//    `payload` if the bytes are JSON, else `payload_base64`.
//  - A lease token may be its text ("term-sequence-job", as in /tasks) instead of an object.
//  - In requests, the name of an enum value may be short: READY for JOB_STATE_READY.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"
#include "transport/http/message/http_message.h"

namespace dqueue::transport {

// Reads `text` into *message, which must be empty. nullopt: done. Else the answer: 400 INVALID_JSON
// with line and column, INVALID_FIELD, or MALFORMED_REQUEST.
std::optional<HttpResponse> ReadMessageJson(std::string_view text,
                                            google::protobuf::Message* message);

// nullopt: the message has text that is not UTF-8.
std::optional<std::string> MessageJson(const google::protobuf::Message& message);

// The value of this name, also without the prefix that the names of the type have; null: none.
const google::protobuf::EnumValueDescriptor* FindEnumValue(
    const google::protobuf::EnumDescriptor& type, const std::string& name);
// "SCHEDULED, READY or DEAD": the short names of the type, but for that of 0.
std::string EnumValues(const google::protobuf::EnumDescriptor& type);

}  // namespace dqueue::transport
