// Escapes text from outside the program (jobs, peers, clients) before it is printed.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace dqueue::cmd {

// Valid UTF-8 by RFC 3629: no overlong forms, no surrogates.
bool IsUtf8(std::string_view text);
// For a line of a terminal or log. One-byte control characters and bytes that are not UTF-8 become
// \xNN. Longer control characters, line separators and characters that change the direction of
// text become \uNNNN. Backslashes are doubled, so the text can be restored.
std::string EscapedForText(std::string_view text);
// For a whole message, at the place of printing. Escapes the same characters but leaves backslashes
// as they are: values in the message that Quoted() or Shown() escaped are not escaped twice.
std::string EscapedMessage(std::string_view message);

// The limit of a value in a message, in characters.
constexpr size_t kShownCharactersMax = 80;
// A value for a message, escaped as by EscapedForText(). Longer than `characters_max` after
// escaping: cut between characters, never inside an escape, and marked with "…".
std::string Shown(std::string_view text, size_t characters_max = kShownCharactersMax);
// The same in double quotes. Double quotes in the text are escaped too.
std::string Quoted(std::string_view text);

// For the inside of a JSON string. Escapes the same characters, quotes, and \n, \r, \t in JSON's
// own form. Bytes that are not UTF-8 become \u00NN.
std::string EscapedForJson(std::string_view text);

// Replaces each byte that is not part of valid UTF-8 by U+FFFD.
std::string MadeUtf8(std::string_view text);

struct Utf8Tail {
  std::string text;
  size_t source_bytes = 0;  // how many bytes at the end of the source it was made from
};
// The end of MadeUtf8(text): as many whole characters as fit into `max` bytes. Bytes at the begin
// of `text` that are the rest of a cut character are left out.
Utf8Tail TailMadeUtf8(std::string_view text, size_t max);

}  // namespace dqueue::cmd
