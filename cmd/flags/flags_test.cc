#include "cmd/flags/flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cmd/flags/completion.h"

namespace dqueue::cmd {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

// A flag of each kind.
struct Sample {
  std::string id;
  bool bootstrap = false;
  std::string data_dir = "./data";
  std::string payload;
  std::string output = "table";
  std::vector<std::string> servers = {"127.0.0.1:9090"};
  int64_t priority = 0;
  std::optional<int64_t> retries;
  Millis timeout{15000};
  std::optional<Millis> delay;
  uint64_t size = 256 << 20;
  std::optional<WallTime> run_at;
  FlagTable table;

  Sample() {
    table.Text("id", &id, "NAME", "its name");
    table.Bool("bootstrap", &bootstrap, "form a cluster");
    table.Text("data-dir", &data_dir, "DIR", "where");
    table.Text("payload", &payload, "TEXT", "what").AllowEmpty();
    table.Choice("output", &output, {"table", "json"}, "how").Short("o").Env("DQUEUE_OUTPUT");
    table.List("server", &servers, "HOST:PORT,…", "whom").Env("DQUEUE_ENDPOINT");
    table.Integer("priority", &priority, 0, 255, "order");
    table.Integer("max-retries", &retries, 0, 1000, "again");
    table.Duration("timeout", &timeout, {Millis(1), std::chrono::hours(24)}, "how long");
    table.Duration("delay", &delay, {}, "when");
    table.Bytes("size", &size, 1 << 20, uint64_t{1} << 40, "how much");
    table.Time("run-at", &run_at, "at");
  }

  size_t Parse(const std::vector<std::string>& args, bool stop_at_positional = false) {
    return table.Parse(args, stop_at_positional);
  }
  std::string ProblemOf(const std::vector<std::string>& args) {
    Parse(args);
    return table.problem() ? table.problem()->message : "no problem";
  }
};

TEST(Flags, EveryForm) {
  Sample s;
  ASSERT_EQ(s.ProblemOf({"-id",
                         "n1",
                         "--data-dir=/x",
                         "-payload",
                         "{\"a\":1}",
                         "--bootstrap",
                         "-o",
                         "json",
                         "--priority",
                         "7",
                         "--max-retries=0",
                         "--timeout",
                         "1m30s",
                         "--delay=0s",
                         "--size",
                         "1GiB",
                         "--run-at",
                         "2026-01-02T03:04:05Z",
                         "--server",
                         "a:1,b:2",
                         "--server=c:3",
                         "word",
                         "-",
                         "--",
                         "--id"}),
            "no problem");
  EXPECT_EQ(s.id, "n1");
  EXPECT_EQ(s.data_dir, "/x");
  EXPECT_EQ(s.payload, "{\"a\":1}");
  EXPECT_TRUE(s.bootstrap);
  EXPECT_EQ(s.output, "json");
  EXPECT_EQ(s.priority, 7);
  EXPECT_EQ(s.retries, 0);
  EXPECT_EQ(s.timeout, Millis(90000));
  EXPECT_EQ(s.delay, Millis(0));
  EXPECT_EQ(s.size, 1u << 30);
  EXPECT_EQ(FormatTime(*s.run_at), "2026-01-02T03:04:05.000Z");
  EXPECT_THAT(s.servers, ElementsAre("a:1", "b:2", "c:3"));
  EXPECT_THAT(s.table.positionals(), ElementsAre("word", "-", "--id"));
  EXPECT_TRUE(s.table.Given("delay"));
  EXPECT_TRUE(s.table.Given("output"));
}

TEST(Flags, DefaultsStay) {
  Sample s;
  EXPECT_EQ(s.ProblemOf({}), "no problem");
  EXPECT_THAT(s.servers, ElementsAre("127.0.0.1:9090"));
  EXPECT_FALSE(s.retries.has_value());
  EXPECT_FALSE(s.table.Given("server"));
}

TEST(Flags, BooleansTakeAValueOnlyWithEquals) {
  Sample on;
  on.Parse({"--bootstrap=true"});
  EXPECT_TRUE(on.bootstrap);
  Sample off;
  off.Parse({"--bootstrap=false"});
  EXPECT_FALSE(off.bootstrap);
  Sample word;
  word.Parse({"--bootstrap", "false"});
  EXPECT_TRUE(word.bootstrap);
  EXPECT_THAT(word.table.positionals(), ElementsAre("false"));
}

TEST(Flags, ValuesThatBeginWithADash) {
  Sample dash;
  EXPECT_EQ(dash.ProblemOf({"--payload", "-"}), "no problem");
  EXPECT_EQ(dash.payload, "-");
  Sample equals;
  EXPECT_EQ(equals.ProblemOf({"--payload=--help"}), "no problem");
  EXPECT_EQ(equals.payload, "--help");
  EXPECT_FALSE(equals.table.help_wanted());
}

TEST(Flags, BadInput) {
  const std::pair<std::vector<std::string>, const char*> cases[] = {
      {{"--dat-dir", "x"}, "unknown flag --dat-dir; did you mean --data-dir?"},
      {{"-dat-dir=x"}, "unknown flag --dat-dir; did you mean --data-dir?"},
      {{"--zzz"}, "unknown flag --zzz; --help lists the flags"},
      {{"--z\nz"}, "unknown flag --z\\x0az; --help lists the flags"},
      {{"--verson"}, "unknown flag --verson; did you mean --version?"},
      {{"---id", "x"}, "unknown flag ---id; did you mean --id?"},
      {{"--=x"}, "unknown flag --; --help lists the flags"},
      {{"--id"}, "--id needs a value"},
      {{"-o"}, "--output needs a value"},
      {{"--id="}, "--id has an empty value"},
      {{"--id", ""}, "--id has an empty value"},
      {{"--id", "--data-dir", "x"},
       "--id needs a value; \"--data-dir\" looks like a flag (a value like that is written "
       "--id=…)"},
      {{"--payload", "-type"},
       "--payload needs a value; \"-type\" looks like a flag (a value like that is written "
       "--payload=…)"},
      {{"--id", "a", "--id", "b"}, "--id is given twice with different values: \"a\" and \"b\""},
      {{"--bootstrap", "--bootstrap=false"},
       "--bootstrap is given twice with different values: \"true\" and \"false\""},
      {{"--bootstrap=yes"}, "--bootstrap: \"yes\" is neither true nor false"},
      {{"--bootstrap="}, "--bootstrap has an empty value"},
      {{"--output", "xml"}, "--output: \"xml\" is not one of table, json"},
      {{"--priority", "256"}, "--priority: \"256\" is out of range; it must be 0 to 255"},
      {{"--priority", "-5"}, "--priority: \"-5\" is out of range; it must be 0 to 255"},
      {{"--priority", "high"}, "--priority: \"high\" is not a whole number of 0 to 255"},
      {{"--timeout", "10"},
       "--timeout: \"10\" has no unit; the units are ms, s, m and h, for example 30s"},
      {{"--timeout", "-5s"}, "--timeout: \"-5s\" is negative; a duration must be 0s or longer"},
      {{"--timeout", "0s"}, "--timeout: \"0s\" is out of range; it must be 1ms to 24h"},
      {{"--timeout", "25h"}, "--timeout: \"25h\" is out of range; it must be 1ms to 24h"},
      {{"--size", "1"},
       "--size: \"1\" has no unit; the units are B, KB, MB, GB (of 1000) and KiB, MiB, GiB (of "
       "1024)"},
      {{"--size", "0B"}, "--size: \"0B\" is out of range; it must be 1MiB to 1024GiB"},
      {{"--server", "a:1,,b:2"}, "--server: \"a:1,,b:2\" has an empty item"},
      {{"--server", "a:1, b:2"}, "--server: \"a:1, b:2\" has white space in the item \" b:2\""},
      {{"--run-at", "soon"},
       "--run-at: \"soon\" is not an RFC 3339 time with a zone, for example 2026-01-02T03:04:05Z"},
      // The first of two problems is kept.
      {{"--zzz", "--id="}, "unknown flag --zzz; --help lists the flags"},
  };
  for (const auto& [args, message] : cases) {
    Sample s;
    EXPECT_EQ(s.ProblemOf(args), message) << testing::PrintToString(args);
    ASSERT_TRUE(s.table.problem());
    EXPECT_EQ(s.table.problem()->code, kExitUsage);
  }
}

TEST(Flags, TheSameValueTwiceIsFine) {
  Sample s;
  EXPECT_EQ(s.ProblemOf({"--id", "a", "-id=a"}), "no problem");
}

TEST(Flags, HelpAndVersionAreSeenAfterProblems) {
  for (const char* help : {"--help", "-help", "-h"}) {
    Sample s;
    s.Parse({"--zzz", "--priority=x", help});
    EXPECT_TRUE(s.table.help_wanted()) << help;
  }
  Sample s;
  s.Parse({"--id", "--version"});
  EXPECT_TRUE(s.table.version_wanted());
}

TEST(Flags, StopsAtTheFirstPositional) {
  Sample s;
  EXPECT_EQ(s.Parse({"--server", "a:1", "stats", "--zzz"}, /*stop_at_positional=*/true), 2u);
  EXPECT_FALSE(s.table.problem());
  s.Parse({"--server", "b:2"});
  EXPECT_THAT(s.servers, ElementsAre("a:1", "b:2"));
}

TEST(Flags, EnvironmentIsWeakerThanTheCommandLine) {
  Sample s;
  s.table.SetEnvPrefix("DQUEUE_");
  s.Parse({"--data-dir", "/line"});
  s.table.ApplyEnvironment({{"DQUEUE_DATA_DIR", "/env"},
                            {"DQUEUE_MAX_RETRIES", "5"},
                            {"DQUEUE_ENDPOINT", "x:1,y:2"},
                            {"DQUEUE_ID", ""}});
  EXPECT_FALSE(s.table.problem());
  EXPECT_EQ(s.data_dir, "/line");
  EXPECT_EQ(s.retries, 5);
  EXPECT_THAT(s.servers, ElementsAre("x:1", "y:2"));
  EXPECT_EQ(s.id, "");
  EXPECT_TRUE(s.table.Given("max-retries"));
  EXPECT_FALSE(s.table.Given("id"));
  EXPECT_THAT(s.table.notes(),
              ElementsAre("--data-dir on the command line overrides DQUEUE_DATA_DIR"));
}

TEST(Flags, MalformedVariableIsAConfigurationProblem) {
  Sample s;
  s.table.SetEnvPrefix("DQUEUE_");
  s.Parse({});
  s.table.ApplyEnvironment({{"DQUEUE_TIMEOUT", "10"}});
  ASSERT_TRUE(s.table.problem());
  EXPECT_EQ(s.table.problem()->code, kExitConfig);
  EXPECT_EQ(s.table.problem()->message,
            "DQUEUE_TIMEOUT: \"10\" has no unit; the units are ms, s, m and h, for example 30s");
}

TEST(Flags, UnknownVariablesAreNamed) {
  Sample s;
  s.table.SetEnvPrefix("DQUEUE_");
  EXPECT_THAT(UnknownVariables(s.table, {{"DQUEUE_ID", "x"},
                                         {"DQUEUE_JOB_ID", "x"},
                                         {"DQUEUE_PORT_9090_TCP", "tcp://10.0.0.1:9090"},
                                         {"DQUEUE_SERVICE_HOST", "10.0.0.1"},
                                         {"DQUEUE_DATADIR", "/x"},
                                         {"DQUEUE_COLOUR", "red"}}),
              ElementsAre("unknown environment variable DQUEUE_COLOUR",
                          "unknown environment variable DQUEUE_DATADIR; did you mean "
                          "DQUEUE_DATA_DIR?"));
}

TEST(Flags, HelpShowsDefaultsAndVariables) {
  Sample s;
  const std::string help = s.table.Help();
  EXPECT_THAT(help, HasSubstr("  --data-dir DIR "));
  EXPECT_THAT(help, HasSubstr("where [default ./data]\n"));
  EXPECT_THAT(help, HasSubstr("  -o, --output table|json"));
  EXPECT_THAT(help, HasSubstr("how [default table; DQUEUE_OUTPUT]\n"));
  EXPECT_THAT(help, HasSubstr("[default 15s]"));
  EXPECT_THAT(help, HasSubstr("[default 256MiB]"));
  EXPECT_THAT(help, Not(HasSubstr("\t")));
}

TEST(Completion, NamesCommandsFlagsAndChoices) {
  Sample s;
  const std::string script = BashCompletion(
      "dqueue-cli", {{"enqueue", s.table.rows()}, {"log dump", {}}, {"log verify", {}}});
  EXPECT_THAT(script, HasSubstr("words='enqueue log'"));
  EXPECT_THAT(script, HasSubstr("'log') words='dump verify'"));
  EXPECT_THAT(script, HasSubstr("--output) mapfile -t COMPREPLY < <(compgen -W 'table json'"));
  EXPECT_THAT(script, HasSubstr("-o) mapfile"));
  EXPECT_THAT(script, HasSubstr("'enqueue') flags='--help --id --bootstrap"));
  EXPECT_THAT(script, HasSubstr("complete -F _dqueue_cli dqueue-cli\n"));
}

}  // namespace
}  // namespace dqueue::cmd
