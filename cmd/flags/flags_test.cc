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
  std::string api_key;
  FlagTable table;

  Sample() {
    table.Text("id", &id, "NAME", "its name");
    table.Bool("bootstrap", &bootstrap, "form a cluster");
    table.Text("data-dir", &data_dir, "DIR", "where");
    table.Text("payload", &payload, "TEXT", "what").AllowEmpty();
    table.Choice("output", &output, {"table", "json"}, "how").Short("o");
    table.List("server", &servers, "HOST:PORT,…", "whom").OlderEnv("DQUEUE_ENDPOINT");
    table.Integer("priority", &priority, 0, 255, "order");
    table.Integer("max-retries", &retries, 0, 1000, "again");
    table.Duration("timeout", &timeout, {Millis(1), std::chrono::hours(24)}, "how long");
    table.Duration("delay", &delay, {}, "when");
    table.Bytes("size", &size, 1 << 20, uint64_t{1} << 40, "how much");
    table.Time("run-at", &run_at, "at");
    table.Text("api-key", &api_key, "KEY", "secret").OlderEnv("DQUEUE_TOKEN").Secret();
    table.AddVariables();
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
      {{"--api-key=k1", "--api-key=k2"}, "--api-key is given twice with different values"},
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
  s.Parse({"--data-dir", "/line"});
  s.table.ApplyEnvironment({{"DQUEUE_DATA_DIR", "/env"},
                            {"DQUEUE_MAX_RETRIES", "5"},
                            {"DQUEUE_SERVER", "x:1,y:2"},
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
  EXPECT_THAT(s.table.warnings(), IsEmpty());
}

TEST(Flags, OlderNamesOfVariablesStay) {
  Sample older;
  older.Parse({});
  older.table.ApplyEnvironment({{"DQUEUE_ENDPOINT", "x:1"}, {"DQUEUE_TOKEN", "k"}});
  EXPECT_THAT(older.servers, ElementsAre("x:1"));
  EXPECT_EQ(older.api_key, "k");
  EXPECT_THAT(older.table.warnings(), IsEmpty());

  Sample both;
  both.Parse({});
  both.table.ApplyEnvironment({{"DQUEUE_ENDPOINT", "x:1"}, {"DQUEUE_SERVER", "y:2"}});
  EXPECT_THAT(both.servers, ElementsAre("y:2"));
  EXPECT_THAT(both.table.warnings(),
              ElementsAre("DQUEUE_SERVER overrides its older name DQUEUE_ENDPOINT, which has "
                          "another value"));

  Sample same;
  same.Parse({"--server=z:3"});
  same.table.ApplyEnvironment({{"DQUEUE_ENDPOINT", "x:1"}, {"DQUEUE_SERVER", ""}});
  EXPECT_THAT(same.servers, ElementsAre("z:3"));
  EXPECT_THAT(same.table.warnings(), IsEmpty());
  EXPECT_THAT(same.table.notes(),
              ElementsAre("--server on the command line overrides DQUEUE_ENDPOINT"));
}

TEST(Flags, AFlagWithoutAVariable) {
  Sample s;
  s.table.RemoveVariables("server");
  s.Parse({});
  s.table.ApplyEnvironment({{"DQUEUE_SERVER", "x:1"}, {"DQUEUE_ENDPOINT", "x:1"}});
  EXPECT_THAT(s.servers, ElementsAre("127.0.0.1:9090"));
  EXPECT_THAT(s.table.Help(), Not(HasSubstr("DQUEUE_SERVER")));
}

TEST(Flags, MalformedVariableIsAConfigurationProblem) {
  const std::pair<Environment, const char*> cases[] = {
      {{{"DQUEUE_TIMEOUT", "10"}},
       "DQUEUE_TIMEOUT: \"10\" has no unit; the units are ms, s, m and h, for example 30s"},
      {{{"DQUEUE_BOOTSTRAP", "1"}}, "DQUEUE_BOOTSTRAP: \"1\" is neither true nor false"},
      {{{"DQUEUE_OUTPUT", "xml\n"}}, "DQUEUE_OUTPUT: \"xml\\x0a\" is not one of table, json"},
      {{{"DQUEUE_PRIORITY", "300"}},
       "DQUEUE_PRIORITY: \"300\" is out of range; it must be 0 to 255"},
      {{{"DQUEUE_RUN_AT", "soon"}},
       "DQUEUE_RUN_AT: \"soon\" is not an RFC 3339 time with a zone, for example "
       "2026-01-02T03:04:05Z"},
      {{{"DQUEUE_ENDPOINT", "a:1,,"}}, "DQUEUE_ENDPOINT: \"a:1,,\" has an empty item"},
  };
  for (const auto& [environment, message] : cases) {
    Sample s;
    s.Parse({});
    s.table.ApplyEnvironment(environment);
    ASSERT_TRUE(s.table.problem()) << message;
    EXPECT_EQ(s.table.problem()->code, kExitConfig) << message;
    EXPECT_EQ(s.table.problem()->message, message);
  }
  // A variable that the command line overrides is not read.
  Sample s;
  s.Parse({"--timeout=1s"});
  s.table.ApplyEnvironment({{"DQUEUE_TIMEOUT", "10"}});
  EXPECT_FALSE(s.table.problem());
}

TEST(Flags, ProblemsOfRulesNameTheVariables) {
  Sample s;
  s.Parse({"--data-dir=/x"});
  s.table.ApplyEnvironment({{"DQUEUE_ID", "a"}, {"DQUEUE_ENDPOINT", "x:1"}});
  const UsageProblem variable = s.table.Attributed({kExitUsage, "--id \"a\" is bad"});
  EXPECT_EQ(variable.message, "--id \"a\" is bad (DQUEUE_ID sets --id)");
  EXPECT_EQ(variable.code, kExitConfig);
  // The command line is the first to blame.
  const UsageProblem mixed =
      s.table.Attributed({kExitUsage, "--data-dir and --id and --server and --id collide"});
  EXPECT_EQ(mixed.message,
            "--data-dir and --id and --server and --id collide (DQUEUE_ID sets --id; "
            "DQUEUE_ENDPOINT sets --server)");
  EXPECT_EQ(mixed.code, kExitUsage);
  const UsageProblem line = s.table.Attributed({kExitUsage, "--data-dir and --idle: -- no"});
  EXPECT_EQ(line.message, "--data-dir and --idle: -- no");
  EXPECT_EQ(line.code, kExitUsage);
}

TEST(Flags, UnknownVariablesAreNamedWithTheNearest) {
  Sample s;
  s.Parse({});
  s.table.ApplyEnvironment({{"DQUEUE_ID", "x"},
                            {"DQUEUE_JOB_ID", "x"},
                            {"DQUEUE_LEASE_TIMEOUT", "x"},
                            {"DQUEUE_PORT_9090_TCP", "tcp://10.0.0.1:9090"},
                            {"DQUEUE_SERVICE_HOST", "10.0.0.1"},
                            {"DQUEUE_DATADIR", "/x"},
                            {"DQUEUE_ENDPIONT", "x"},
                            {"DQUEUE_PEER", "x"},
                            {"DQUEUE_\n", "x"},
                            {"DQUEUE_COLOUR", "red"}});
  EXPECT_THAT(
      s.table.warnings(),
      ElementsAre("unknown environment variable DQUEUE_\\x0a has no effect",
                  "unknown environment variable DQUEUE_COLOUR has no effect",
                  "unknown environment variable DQUEUE_DATADIR has no effect; did you mean "
                  "DQUEUE_DATA_DIR?",
                  "unknown environment variable DQUEUE_ENDPIONT has no effect; did you mean "
                  "DQUEUE_ENDPOINT?",
                  // A variable of another program.
                  "unknown environment variable DQUEUE_PEER has no effect; did you mean "
                  "DQUEUE_PEERS?"));
  EXPECT_THAT(s.table.notes(),
              ElementsAre("variables of other programs have no effect here: DQUEUE_JOB_ID, "
                          "DQUEUE_LEASE_TIMEOUT"));
}

TEST(Variables, OfServices) {
  for (const auto& [name, value] : std::initializer_list<std::pair<const char*, const char*>>{
           {"DQUEUE_SERVICE_HOST", "10.0.0.1"},
           {"DQUEUE_SERVICE_PORT", "9090"},
           {"DQUEUE_PEERS_SERVICE_PORT_GRPC", "9090"},
           {"DQUEUE_PORT", "tcp://10.0.0.1:9090"},
           {"DQUEUE_HTTP_PORT", "tcp://10.0.0.1:8080"},
           {"DQUEUE_PORT_9090_TCP", "tcp://10.0.0.1:9090"},
           {"DQUEUE_PORT_53_UDP_PROTO", "udp"},
           {"DQUEUE_PEERS_PORT_9090_TCP_ADDR", "10.0.0.1"}}) {
    EXPECT_TRUE(IsServiceVariable(name, value)) << name;
  }
  for (const auto& [name, value] : std::initializer_list<std::pair<const char*, const char*>>{
           {"DQUEUE_PORT", "9090"},
           {"DQUEUE_HTTP_PORT", "8080"},
           {"DQUEUE_PORT_GRPC", "9090"},
           {"DQUEUE_REPORT_9_TCP", "1"},
           {"DQUEUE_SERVER", "h:1"},
           {"OTHER_SERVICE_HOST", "10.0.0.1"}}) {
    EXPECT_FALSE(IsServiceVariable(name, value)) << name;
  }
}

TEST(Variables, NamesOfFlags) {
  EXPECT_EQ(VariableOf("lease-duration"), "DQUEUE_LEASE_DURATION");
  EXPECT_EQ(VariableOf("id"), "DQUEUE_ID");
}

TEST(Flags, HelpShowsDefaultsAndVariables) {
  Sample s;
  const std::string help = s.table.Help();
  EXPECT_THAT(help, HasSubstr("  --data-dir DIR "));
  EXPECT_THAT(help, HasSubstr("where [default ./data; DQUEUE_DATA_DIR]\n"));
  EXPECT_THAT(help, HasSubstr("  -o, --output table|json"));
  EXPECT_THAT(help, HasSubstr("how [default table; DQUEUE_OUTPUT]\n"));
  EXPECT_THAT(help, HasSubstr("[default 15s; DQUEUE_TIMEOUT]"));
  EXPECT_THAT(help, HasSubstr("[default 256MiB; DQUEUE_SIZE]"));
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
