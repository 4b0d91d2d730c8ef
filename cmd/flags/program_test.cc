#include "cmd/flags/program.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dqueue::cmd {
namespace {

using testing::ElementsAre;
using testing::Pair;

// The effects of Answer() for a program with one flag and up to one positional argument.
struct Outcome {
  std::optional<int> code;
  std::string out;
  std::string error;
};

Outcome StartWith(const std::vector<std::string>& args, const Environment& environment = {}) {
  int64_t jobs = 1;
  FlagTable table;
  table.Integer("jobs", &jobs, 1, 9, "jobs");
  table.AddVariables();
  const Start start = ReadCommandLine(args, environment, /*positionals_max=*/1, &table);
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  Outcome outcome;
  outcome.code = Program("dqueue-test").Answer(start, [] { return std::string("usage\n"); });
  std::fflush(stdout);
  outcome.out = testing::internal::GetCapturedStdout();
  outcome.error = testing::internal::GetCapturedStderr();
  return outcome;
}

TEST(Program, PrintsNothingIfItRuns) {
  const Outcome outcome = StartWith({"--jobs=2", "word"}, {{"DQUEUE_JOBS", "3"}});
  EXPECT_EQ(outcome.code, std::nullopt);
  EXPECT_EQ(outcome.out, "");
  EXPECT_EQ(outcome.error, "");
}

TEST(Program, PrecedenceOfHelpVersionAndProblems) {
  const std::string version = std::string("dqueue-test ") + ProgramVersion() + "\n";
  struct Case {
    std::vector<std::string> args;
    int code;
    std::string out;
    std::string error;
  };
  const Case cases[] = {
      {{"--version", "--help"}, kExitOk, "usage\n", ""},
      {{"--zzz", "a", "b", "--help"}, kExitOk, "usage\n", ""},
      {{"--zzz", "a", "b", "--version"}, kExitOk, version, ""},
      {{"--zzz", "a", "b"},
       kExitUsage,
       "",
       "dqueue-test: unknown flag --zzz; --help lists the flags\n"},
      {{"a", "b\n", "c"}, kExitUsage, "", "dqueue-test: unexpected argument \"b\\x0a\"\n"},
  };
  for (const Case& c : cases) {
    const Outcome outcome = StartWith(c.args);
    EXPECT_EQ(outcome.code, c.code) << testing::PrintToString(c.args);
    EXPECT_EQ(outcome.out, c.out) << testing::PrintToString(c.args);
    EXPECT_EQ(outcome.error, c.error) << testing::PrintToString(c.args);
  }
}

TEST(Program, ExitStatusOfAMalformedVariable) {
  const Environment environment = {{"DQUEUE_JOBS", "many"}};
  const Outcome outcome = StartWith({}, environment);
  EXPECT_EQ(outcome.code, kExitConfig);
  EXPECT_EQ(outcome.error, "dqueue-test: DQUEUE_JOBS: \"many\" is not a whole number of 1 to 9\n");
  EXPECT_EQ(StartWith({"--help"}, environment).code, kExitOk);
  EXPECT_EQ(StartWith({"--jobs=2"}, environment).code, std::nullopt);
}

TEST(Program, MessagesAreOneEscapedLine) {
  const Program program("dqueue-test");
  testing::internal::CaptureStderr();
  EXPECT_EQ(program.Complain(kExitUsage, Quoted("a\n") + " is bad\ndqueue-test: forged\x1b[m\xFF"),
            kExitUsage);
  program.Warn({"w\n1", "w2"});
  EXPECT_EQ(program.ComplainAtLength(kExitGeneric, "the log:\nline\x1b\nlast"), kExitGeneric);
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "dqueue-test: \"a\\x0a\" is bad\\x0adqueue-test: forged\\x1b[m\\xff\n"
            "dqueue-test: warning: w\\x0a1\n"
            "dqueue-test: warning: w2\n"
            "dqueue-test: the log:\n"
            "  line\\x1b\n"
            "  last\n");
}

TEST(Program, RunProgramPassesArgumentsAndEnvironment) {
  setenv("DQUEUE_PROGRAM_TEST", "value", 1);
  char name[] = "program";
  char word[] = "word";
  char* argv[] = {name, word, nullptr};
  std::vector<std::string> seen;
  const auto run = [&](const std::vector<std::string>& args, const Environment& environment) {
    seen = args;
    EXPECT_THAT(environment, testing::Contains(Pair("DQUEUE_PROGRAM_TEST", "value")));
    return 42;
  };
  EXPECT_EQ(RunProgram(2, argv, StopSignals::kDefault, run), 42);
  EXPECT_THAT(seen, ElementsAre("word"));
  EXPECT_EQ(RunProgram(0, argv + 2, StopSignals::kDefault, run), 42);
  EXPECT_THAT(seen, ElementsAre());
  unsetenv("DQUEUE_PROGRAM_TEST");
}

}  // namespace
}  // namespace dqueue::cmd
