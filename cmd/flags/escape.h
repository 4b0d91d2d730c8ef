// Escapes text from outside the program (jobs, peers, clients) before it is printed.
#pragma once

#include <string>
#include <string_view>

namespace dqueue::cmd {

// Valid UTF-8 by RFC 3629: no overlong forms, no surrogates.
bool IsUtf8(std::string_view text);
// For a line of a terminal or log. One-byte control characters and bytes that are not UTF-8 become
// \xNN. Longer control characters, line separators and characters that change the direction of
// text become \uNNNN. Backslashes are doubled.
std::string EscapedForText(std::string_view text);
// For the inside of a JSON string. Escapes the same characters, quotes, and \n, \r, \t in JSON's
// own form. Bytes that are not UTF-8 become \u00NN.
std::string EscapedForJson(std::string_view text);

// Replaces each byte that is not part of valid UTF-8 by U+FFFD.
std::string MadeUtf8(std::string_view text);

}  // namespace dqueue::cmd
