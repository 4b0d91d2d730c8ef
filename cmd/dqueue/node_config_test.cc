#include "cmd/dqueue/node_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dqueue::cmd {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

NodeCommand Read(std::vector<std::string> args, const Environment& environment = {}) {
  return ReadNodeCommand(args, environment);
}

constexpr char kThree[] = "n1=10.0.0.1:9090,n2=10.0.0.2:9090,n3=10.0.0.3:9090";

TEST(NodeConfig, OneNode) {
  const NodeCommand command = Read({"--id=dev", "--bootstrap=true"});
  ASSERT_EQ(command.start.kind, Start::Kind::kRun) << command.start.problem.message;
  const NodeConfig& config = command.config;
  EXPECT_EQ(config.node.name, "dev");
  EXPECT_TRUE(config.node.bootstrap);
  EXPECT_THAT(config.node.data_dir, StartsWith("/"));
  EXPECT_THAT(config.node.data_dir, testing::EndsWith("/./data"));
  EXPECT_EQ(config.grpc_listen, "127.0.0.1:9090");
  EXPECT_EQ(config.client_listen, "");
  EXPECT_EQ(config.http_listen, "127.0.0.1:8080");
  EXPECT_FALSE(config.tls);
  EXPECT_EQ(config.advertise_addr, "127.0.0.1:9090");
  ASSERT_EQ(config.node.members.size(), 1u);
  EXPECT_EQ(config.node.members[0].name, "dev");
  EXPECT_EQ(config.node.members[0].address, "127.0.0.1:9090");
  EXPECT_EQ(config.node.broker.lease_timeout, std::chrono::seconds(30));
  EXPECT_EQ(config.node.broker.max_retries, 3);
  EXPECT_EQ(config.node.Problem(), "");
  EXPECT_THAT(config.warnings, IsEmpty());
}

TEST(NodeConfig, OneOfThree) {
  const NodeCommand command = Read({"--id=n2",
                                    "--bootstrap",
                                    "--peers",
                                    kThree,
                                    "--data-dir=/var/lib/dqueue",
                                    "--heartbeat=20ms",
                                    "--election-timeout=100ms",
                                    "--lease-timeout=5s",
                                    "--max-retries=9",
                                    "--http-addr=off",
                                    "--grpc-addr=127.0.0.1:9090",
                                    "--recover=peers",
                                    "--reflection",
                                    "--log-format=json",
                                    "--snapshot-log-bytes=64MiB",
                                    "--reserve-bytes=1GiB",
                                    "--memory-limit=2GiB",
                                    "--keep-finished=1000",
                                    "--tls-cert=c",
                                    "--tls-key=k",
                                    "--tls-ca=ca"});
  ASSERT_EQ(command.start.kind, Start::Kind::kRun) << command.start.problem.message;
  const NodeConfig& config = command.config;
  EXPECT_EQ(config.node.members.size(), 3u);
  EXPECT_EQ(config.advertise_addr, "10.0.0.2:9090");
  EXPECT_EQ(config.node.data_dir, "/var/lib/dqueue");
  EXPECT_EQ(config.node.raft.heartbeat, std::chrono::milliseconds(20));
  EXPECT_EQ(config.node.raft.election_min, std::chrono::milliseconds(100));
  EXPECT_EQ(config.node.raft.election_max, std::chrono::milliseconds(200));
  EXPECT_EQ(config.node.broker.lease_timeout, std::chrono::seconds(5));
  EXPECT_EQ(config.node.broker.max_retries, 9);
  EXPECT_EQ(config.http_listen, "");
  EXPECT_TRUE(config.node.log.recover_from_peers);
  EXPECT_TRUE(config.reflection);
  EXPECT_EQ(config.log_format, LogFormat::kJson);
  EXPECT_EQ(config.node.snapshot_log_bytes, 64u << 20);
  EXPECT_EQ(config.node.reserve_bytes, 1u << 30);
  EXPECT_EQ(config.memory_limit, 2u << 30);
  EXPECT_EQ(config.node.broker.keep.count, 1000u);
  ASSERT_TRUE(config.tls);
  EXPECT_EQ(config.tls->cert, "c");
  EXPECT_EQ(config.tls->key, "k");
  EXPECT_EQ(config.tls->ca, "ca");
  EXPECT_EQ(config.tls->node_name, "n2");
  EXPECT_THAT(config.warnings, IsEmpty());
}

TEST(NodeConfig, ListensOnLoopbackUnlessTlsOrInsecure) {
  const std::vector<std::string> tls = {"--id=a", "--tls-cert=c", "--tls-key=k"};
  EXPECT_EQ(Read(tls).config.grpc_listen, ":9090");
  EXPECT_EQ(Read(tls).config.http_listen, ":8080");
  EXPECT_THAT(Read(tls).config.warnings, IsEmpty());
  EXPECT_EQ(
      Read({"--id=a", "--peers=a=127.0.0.1:9090,b=127.0.0.1:1,c=localhost:2"}).config.grpc_listen,
      "127.0.0.1:9090");
  const NodeConfig insecure = Read({"--id=n1", "--peers", kThree, "--insecure"}).config;
  EXPECT_EQ(insecure.grpc_listen, ":9090");
  EXPECT_EQ(insecure.http_listen, ":8080");
  EXPECT_THAT(insecure.warnings,
              ElementsAre(HasSubstr("--grpc-addr :9090 is in plain text (--insecure)"),
                          HasSubstr("--http-addr :8080 is in plain text (--insecure)"),
                          HasSubstr("members speak plain text (--insecure)")));
  const NodeConfig split = Read({"--id=a", "--client-addr=[::1]:9091", "--http-addr=off"}).config;
  EXPECT_EQ(split.client_listen, "[::1]:9091");
  EXPECT_EQ(split.http_listen, "");
}

TEST(NodeConfig, AdvertisesWhereItListens) {
  EXPECT_EQ(Read({"--id=a", "--grpc-addr=10.0.0.9:7000", "--insecure"}).config.advertise_addr,
            "10.0.0.9:7000");
  EXPECT_EQ(Read({"--id=a", "--grpc-addr=[::]:7000", "--insecure"}).config.advertise_addr,
            "127.0.0.1:7000");
  EXPECT_EQ(Read({"--id=a", "--advertise-addr=h:7001"}).config.advertise_addr, "h:7001");
  EXPECT_EQ(Read({"--id=a", "--http-addr="}).config.http_listen, "");
  EXPECT_FALSE(Read({"--id=a"}).config.http_read_only);
  EXPECT_TRUE(Read({"--id=a", "--http-read-only"}).config.http_read_only);
}

TEST(NodeConfig, HttpHostsAreTheAdvertisedAndTheGivenOnes) {
  EXPECT_THAT(Read({"--id=a"}).config.http_hosts, ElementsAre("127.0.0.1"));
  EXPECT_THAT(Read({"--id=a", "--advertise-addr=n1.example:7001"}).config.http_hosts,
              ElementsAre("n1.example"));
  EXPECT_THAT(Read({"--id=a", "--http-allowed-hosts=q.example,jobs"}).config.http_hosts,
              ElementsAre("q.example", "jobs", "127.0.0.1"));
}

TEST(NodeConfig, SeedsDiffer) {
  EXPECT_NE(Read({"--id=a"}).config.node.seed, Read({"--id=a"}).config.node.seed);
}

TEST(NodeConfig, Warnings) {
  const NodeCommand even = Read({"--id=a", "--peers=a=127.0.0.1:9090,b=127.0.0.2:9090"});
  EXPECT_THAT(even.config.warnings,
              ElementsAre("--peers names 2 members; an even number survives no more failures than "
                          "1 and needs more acknowledgements"));
  const NodeCommand port = Read({"--id=n1", "--peers", kThree, "--grpc-addr=127.0.0.1:7000",
                                 "--tls-cert=c", "--tls-key=k", "--tls-ca=ca"});
  EXPECT_THAT(port.config.warnings,
              ElementsAre("--peers says that this node is at 10.0.0.1:9090, but it listens at "
                          "127.0.0.1:7000; that works only if the port is forwarded"));
  const NodeCommand unknown = Read({"--id=n1", "--grpc-addr=127.0.0.1:1"}, {{"DQUEUE_PEER", "x"}});
  EXPECT_THAT(unknown.config.warnings,
              ElementsAre("unknown environment variable DQUEUE_PEER has no effect; did you mean "
                          "DQUEUE_PEERS?"));
}

TEST(NodeConfig, Environment) {
  const NodeCommand command = Read({"--max-retries=1"}, {{"DQUEUE_ID", "n1"},
                                                         {"DQUEUE_PEERS", kThree},
                                                         {"DQUEUE_INSECURE", "true"},
                                                         {"DQUEUE_MAX_RETRIES", "2"}});
  ASSERT_EQ(command.start.kind, Start::Kind::kRun) << command.start.problem.message;
  EXPECT_EQ(command.config.node.name, "n1");
  EXPECT_EQ(command.config.node.broker.max_retries, 1);
  EXPECT_THAT(command.config.notes,
              ElementsAre("--max-retries on the command line overrides DQUEUE_MAX_RETRIES"));
}

TEST(NodeConfig, ProblemsNameTheVariable) {
  const Start syntax = Read({"--id=a"}, {{"DQUEUE_GRPC_ADDR", ":65536"}}).start;
  EXPECT_EQ(syntax.problem.code, kExitConfig);
  EXPECT_EQ(syntax.problem.message,
            "--grpc-addr: \":65536\" has a bad port; it must be 1 to 65535 (DQUEUE_GRPC_ADDR sets "
            "--grpc-addr)");
  const Start rule = Read({}, {{"DQUEUE_ID", "a"}, {"DQUEUE_PEERS", "b=h:1,c=h:2"}}).start;
  EXPECT_EQ(rule.problem.code, kExitConfig);
  EXPECT_EQ(rule.problem.message,
            "--peers does not name this node, \"a\"; it lists all members, this one included "
            "(DQUEUE_PEERS sets --peers)");
  const Start range = Read({"--id=a"}, {{"DQUEUE_HEARTBEAT", "1ms"}}).start;
  EXPECT_EQ(range.problem.code, kExitConfig);
  EXPECT_EQ(range.problem.message,
            "DQUEUE_HEARTBEAT: \"1ms\" is out of range; it must be 5ms to 10m");
}

TEST(NodeConfig, EveryVariableIsKnownToOtherPrograms) {
  const std::string help = NodeHelp();
  size_t variables = 0;
  for (size_t at = 0; (at = help.find("DQUEUE_", at)) != std::string::npos; ++variables) {
    const size_t end = help.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ_", at);
    const std::string name = help.substr(at, end - at);
    EXPECT_THAT(KnownVariables(), testing::Contains(name)) << "add it to cmd/flags/variables.cc";
    at = end;
  }
  EXPECT_GT(variables, 20u);
}

TEST(NodeConfig, HelpAndVersionWin) {
  EXPECT_EQ(Read({"--zzz", "--help"}).start.kind, Start::Kind::kHelp);
  EXPECT_EQ(Read({"--id=", "--version"}).start.kind, Start::Kind::kVersion);
  for (const char* flag : {"--id", "--peers", "--bootstrap", "--data-dir", "--grpc-addr",
                           "--http-addr", "--http-read-only", "--lease-timeout", "--max-retries"}) {
    EXPECT_THAT(NodeHelp(), HasSubstr(flag));
  }
}

struct BadCase {
  std::vector<std::string> args;
  ExitCode code;
  std::string message;
};

void ExpectProblems(const std::vector<BadCase>& cases) {
  for (const BadCase& c : cases) {
    const NodeCommand command = Read(c.args);
    EXPECT_EQ(command.start.kind, Start::Kind::kProblem) << testing::PrintToString(c.args);
    EXPECT_EQ(command.start.problem.message, c.message) << testing::PrintToString(c.args);
    EXPECT_EQ(command.start.problem.code, c.code) << testing::PrintToString(c.args);
  }
}

TEST(NodeConfig, BadFlags) {
  ExpectProblems({
      {{}, kExitUsage, "--id is required: the name of this node"},
      {{"--id=a", "true"},
       kExitUsage,
       "unexpected argument \"true\"; a boolean is written --flag=true"},
      {{"--id=a", "run"},
       kExitUsage,
       "unexpected argument \"run\"; all settings are flags, see --help"},
      {{"--id=a", "--dat-dir=x"}, kExitUsage, "unknown flag --dat-dir; did you mean --data-dir?"},
      {{"--id=a", "--grpc-addr=9090"},
       kExitUsage,
       "--grpc-addr: \"9090\" has no port; write host:port"},
      {{"--id=a", "--grpc-addr=:0"},
       kExitUsage,
       "--grpc-addr: \":0\" has a bad port; it must be 1 to 65535"},
      {{"--id=a", "--http-addr=:65536"},
       kExitUsage,
       "--http-addr: \":65536\" has a bad port; it must be 1 to 65535"},
      {{"--id=a", "--http-allowed-hosts=q:8080"},
       kExitUsage,
       "--http-allowed-hosts: \"q:8080\" must be a name alone, without scheme, port or path; or "
       "\"*\""},
      {{"--id=a", "--http-allowed-hosts=*.example"},
       kExitUsage,
       "--http-allowed-hosts: \"*.example\" must be a name alone, without scheme, port or path; or "
       "\"*\""},
      {{"--id=a", "--http-addr=on"},
       kExitUsage,
       "--http-addr: \"on\" has no port; write host:port"},
      {{"--id=a", "--advertise-addr=::1"},
       kExitUsage,
       "--advertise-addr: \"::1\" is an IPv6 address without brackets; write [address]:port"},
      {{"--id=a", "--lease-timeout=10"},
       kExitUsage,
       "--lease-timeout: \"10\" has no unit; the units are ms, s, m and h, for example 30s"},
      {{"--id=a", "--lease-timeout=500ms"},
       kExitUsage,
       "--lease-timeout: \"500ms\" is out of range; it must be 1s to 12h"},
      {{"--id=a", "--max-retries=-1"},
       kExitUsage,
       "--max-retries: \"-1\" is out of range; it must be 0 to 1000"},
      {{"--id=a", "--recover=disk"}, kExitUsage, "--recover: \"disk\" is not one of peers"},
      {{"--id=a", "--client-addr=localhost"},
       kExitUsage,
       "--client-addr: \"localhost\" has no port; write host:port"},
  });
}

TEST(NodeConfig, BadMembership) {
  ExpectProblems({
      {{"--id=a b"},
       kExitConfig,
       "--id \"a b\" has the character \" \"; letters, digits, '-', '_' and '.' are allowed"},
      {{"--id=" + std::string(129, 'a')},
       kExitConfig,
       "--id \"" + std::string(80, 'a') + "…\" is longer than 128 bytes"},
      {{"--id=x", "--peers", kThree},
       kExitConfig,
       "--peers does not name this node, \"x\"; it lists all members, this one included"},
      {{"--id=n1", "--peers", kThree, "--insecure", "--advertise-addr=h:1"},
       kExitConfig,
       "--advertise-addr h:1 and this node's address in --peers, 10.0.0.1:9090, differ; the other "
       "members use the "
       "address in --peers"},
      {{"--id=a", "--advertise-addr=0.0.0.0:9090"},
       kExitConfig,
       "--advertise-addr 0.0.0.0:9090 is a wildcard address, which no node can connect to; name a "
       "host"},
      {{"--id=a", "--recover=peers"},
       kExitConfig,
       "--recover=peers needs other members to fetch from; --peers names none"},
  });
}

TEST(NodeConfig, TwoListenersOnOnePort) {
  ExpectProblems({
      {{"--id=a", "--grpc-addr=:9090", "--http-addr=127.0.0.1:9090", "--insecure"},
       kExitConfig,
       "--grpc-addr :9090 and --http-addr 127.0.0.1:9090 are the same port"},
      {{"--id=a", "--client-addr=127.0.0.1:9090"},
       kExitConfig,
       "--grpc-addr 127.0.0.1:9090 and --client-addr 127.0.0.1:9090 are the same port"},
  });
}

TEST(NodeConfig, IncompleteTls) {
  ExpectProblems({
      {{"--id=a", "--tls-key=k"}, kExitConfig, "--tls-key needs --tls-cert"},
      {{"--id=a", "--tls-ca=k"}, kExitConfig, "--tls-ca needs --tls-cert"},
      {{"--id=a", "--tls-cert=c"}, kExitConfig, "--tls-cert needs --tls-key"},
      {{"--id=n1", "--peers", kThree, "--tls-cert=c", "--tls-key=k"},
       kExitConfig,
       "--tls-cert with --peers needs --tls-ca, the CA of the peers' certificates"},
  });
}

TEST(NodeConfig, PlainTextBeyondLoopbackIsRefused) {
  ExpectProblems({
      {{"--id=a", "--grpc-addr=:9090"},
       kExitConfig,
       "--grpc-addr :9090 is reached by other machines, and plain text lets others read and "
       "change the traffic; give --tls-cert and --tls-key, or listen on 127.0.0.1, or accept the "
       "risk with --insecure"},
      {{"--id=a", "--client-addr=10.0.0.1:1"},
       kExitConfig,
       "--client-addr 10.0.0.1:1 is reached by other machines, and plain text lets others read and "
       "change the traffic; give --tls-cert and --tls-key, or listen on 127.0.0.1, or accept the "
       "risk with --insecure"},
      {{"--id=a", "--http-addr=0.0.0.0:8080"},
       kExitConfig,
       "--http-addr 0.0.0.0:8080 is reached by other machines, and plain text lets others read and "
       "change the traffic; give --tls-cert and --tls-key, or listen on 127.0.0.1, or accept the "
       "risk with --insecure"},
      {{"--id=n1", "--peers", kThree},
       kExitConfig,
       "--peers: \"n1\" at 10.0.0.1:9090 is on another machine, and plain text lets others read "
       "and "
       "change the members' messages; give --tls-cert, --tls-key and --tls-ca, or accept the risk "
       "with --insecure"},
  });
}

TEST(NodeConfig, BadTimers) {
  ExpectProblems({
      {{"--id=a", "--heartbeat=1ms"},
       kExitUsage,
       "--heartbeat: \"1ms\" is out of range; it must be 5ms to 10m"},
      {{"--id=a", "--heartbeat=100ms", "--election-timeout=200ms"},
       kExitConfig,
       "--election-timeout 200ms must be at least 4 times --heartbeat 100ms; otherwise one late "
       "heartbeat can cause an election"},
      {{"--id=a", "--election-timeout=11m"},
       kExitUsage,
       "--election-timeout: \"11m\" is out of range; it must be 5ms to 10m"},
  });
}

TEST(ParsePeers, Bad) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "is empty"},
      {"a=h:1,", "has a comma at the end"},
      {"a=h:1,,b=i:1", "has an empty item"},
      {"a=h:1, b=i:1", "\" b=i:1\" has white space; the form is id1=host:port,id2=host:port"},
      {"h:1", "\"h:1\" has no \"=\"; the form is id1=host:port,id2=host:port"},
      {"=h:1", "the id \"\" is empty"},
      {"a/b=h:1",
       "the id \"a/b\" has the character \"/\"; letters, digits, '-', '_' and '.' are allowed"},
      {"a=h", "the address of \"a\": \"h\" has no port; write host:port"},
      {"a=h:70000", "the address of \"a\": \"h:70000\" has a bad port; it must be 1 to 65535"},
      {"a=::1:9090",
       "the address of \"a\": \"::1:9090\" is an IPv6 address without brackets; write "
       "[address]:port"},
      {"a=:9090", "the address of \"a\" has no host: \":9090\""},
      {"a=0.0.0.0:9090",
       "the address of \"a\", 0.0.0.0:9090, means every interface and cannot be connected to; name "
       "a host"},
      {"a=[::]:9090",
       "the address of \"a\", [::]:9090, means every interface and cannot be connected to; name a "
       "host"},
      {"a=h:1,a=i:1", "the id \"a\" is there twice"},
      {"a=h:1,b=h:1", "the address \"h:1\" is there twice"},
      {"a=h:1,b=h:2,c=h:3,d=h:4,e=h:5,f=h:6,g=h:7,i=h:8", "names 8 members; the maximum is 7"},
  };
  for (const auto& [text, message] : cases) {
    const auto peers = ParsePeers(text);
    ASSERT_FALSE(peers.ok()) << text;
    EXPECT_EQ(peers.status().message(), message) << text;
  }
  EXPECT_EQ(ParsePeers("a=[::1]:1")->at(0).address, "[::1]:1");
}

}  // namespace
}  // namespace dqueue::cmd
