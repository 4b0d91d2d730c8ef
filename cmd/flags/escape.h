// Text from elsewhere, made safe to print.
#pragma once

#include <string>
#include <string_view>

namespace dqueue::cmd {

// As RFC 3629 has it: no overlong forms, no surrogates.
bool IsUtf8(std::string_view text);
// Control characters, and bytes that are not UTF-8, as \xNN; those of more than a byte, and what
// ends lines or turns their direction, as \uNNNN; backslashes doubled.
std::string EscapedForText(std::string_view text);
// Between the quotes of a JSON string, with the same characters escaped. Bytes that are not UTF-8
// become \u00NN.
std::string EscapedForJson(std::string_view text);

// With what is not UTF-8 replaced by U+FFFD.
std::string MadeUtf8(std::string_view text);

}  // namespace dqueue::cmd
