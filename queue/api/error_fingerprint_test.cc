#include "queue/api/error_fingerprint.h"

#include <string>

#include "gtest/gtest.h"

namespace dqueue::queue {
namespace {

TEST(ErrorFingerprint, DetailsOfTheJobAreLeftOut) {
  const struct {
    const char* error;
    const char* normalized;
  } cases[] = {
      {"", ""},
      {"connection refused", "connection refused"},
      // Numbers.
      {"user 17 not found", "user # not found"},
      {"took 3.25s, limit 3s", "took #.#s, limit #s"},
      {"10.0.0.1:8080 refused", "#.#.#.#:# refused"},
      {"worker12 of utf8", "worker# of utf#"},
      {"code -5", "code -#"},
      // Hexadecimal words: six and more, with a digit, or with 0x.
      {"commit 9fceb02d0ae5", "commit #"},
      {"at 0x7ffE, 0xZ", "at #, #xZ"},
      {"abc123 abc12", "# abc#"},
      {"facade decade", "facade decade"},
      {"deadbeef", "deadbeef"},
      {"12345g", "#g"},
      // UUIDs, of both cases.
      {"job 01890a5d-ac96-774b-bcce-b302099a8057 died", "job # died"},
      {"(01890A5D-AC96-774B-BCCE-B302099A8057)", "(#)"},
      {"01890a5d-ac96-774b-bcce-b302099a80571", "#-ac#-#b-bcce-#"},
      {"ffffffff-ac96-774b-bcce", "ffffffff-ac#-#b-bcce"},
      // Quoted parts.
      {"no file 'a b/c.txt'", "no file \""},
      {"key \"x1\" and `y`", "key \" and \""},
      {"can't open 'it's here'", "can't open \""},
      {"unclosed 'quote", "unclosed 'quote"},
      {"'two\nlines'", "'two\nlines'"},
      {"''", "\""},
      {"the workers' job, the bosses'", "the workers' job, the bosses'"},
      // Bytes that are no text.
      {"\xff\xfe 1", "\xff\xfe #"},
  };
  for (const auto& [error, normalized] : cases) {
    EXPECT_EQ(NormalizedError(error), normalized) << error;
  }
}

TEST(ErrorFingerprint, OnlyTheBeginningCounts) {
  const std::string start(500, 'e');
  EXPECT_EQ(NormalizedError(start + " 123456789 " + std::string(600, 'f')),
            start + " # " + std::string(9, 'f'));
  // However long the numbers are that were left out before.
  EXPECT_EQ(ErrorFingerprint("1 " + start + std::string(100, 'f')),
            ErrorFingerprint("123456789 " + start + std::string(100, 'f')));
}

TEST(ErrorFingerprint, NeverChanges) {
  EXPECT_EQ(FingerprintText(ErrorFingerprint("user 17 not found")), "8e80e07491aeb0ed");
  EXPECT_EQ(ErrorFingerprint("user 17 not found"), ErrorFingerprint("user 4711 not found"));
  EXPECT_NE(ErrorFingerprint("user 17 not found"), ErrorFingerprint("user 17 found"));
}

TEST(ErrorFingerprint, TextAndBack) {
  for (const uint64_t value : {uint64_t{0}, uint64_t{0x0123456789abcdef}, UINT64_MAX}) {
    EXPECT_EQ(ParseFingerprint(FingerprintText(value)), value);
  }
  EXPECT_EQ(FingerprintText(0x0123456789abcdef), "0123456789abcdef");
  for (const char* bad : {"", "0", "0123456789ABCDEF", "0123456789abcdeg", "0123456789abcdef0"}) {
    EXPECT_EQ(ParseFingerprint(bad), std::nullopt) << bad;
  }
}

}  // namespace
}  // namespace dqueue::queue
