#include "cmd/flags/connection_flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdio>
#include <fstream>

namespace dqueue::cmd {
namespace {

using testing::ElementsAre;

class ConnectionFlagsTest : public testing::Test {
 protected:
  void TearDown() override { std::remove(file_.c_str()); }
  void Write(const std::string& text, mode_t mode = 0600) {
    std::remove(file_.c_str());
    std::ofstream(file_) << text;
    chmod(file_.c_str(), mode);
  }
  // Returns the error, or "".
  std::string Read(const std::vector<std::string>& args, const Environment& environment = {}) {
    ConnectionFlags flags;
    FlagTable table;
    AddConnectionFlags(&flags, "help", &table);
    table.Parse(args);
    table.ApplyEnvironment(environment);
    EXPECT_FALSE(table.problem()) << table.problem()->message;
    options_ = {};
    return table.Attributed({kExitUsage, std::string(Connect(flags, &options_).message())}).message;
  }

  const std::string file_ = testing::TempDir() + "/connection_test_" + std::to_string(getpid());
  client::ClientOptions options_;
};

TEST_F(ConnectionFlagsTest, PlainTextByDefault) {
  EXPECT_EQ(Read({}), "");
  EXPECT_THAT(options_.servers, ElementsAre("127.0.0.1:9090"));
  EXPECT_FALSE(options_.tls);
  EXPECT_EQ(options_.api_key, "");
  EXPECT_EQ(Read({"--server=http://h:1,i:2"}), "");
  EXPECT_FALSE(options_.tls);
}

TEST_F(ConnectionFlagsTest, FlagsThatImplyTls) {
  Write("x");
  for (const std::vector<std::string>& args :
       std::vector<std::vector<std::string>>{{"--tls"},
                                             {"--server=https://h:1"},
                                             {"--server=h:1,https://i:1"},
                                             {"--ca=" + file_},
                                             {"--cert=" + file_, "--key=" + file_},
                                             {"--server-name=n"}}) {
    EXPECT_EQ(Read(args), "") << args[0];
    EXPECT_TRUE(options_.tls) << args[0];
  }
  EXPECT_EQ(Read({}, {{"DQUEUE_CA", file_}, {"DQUEUE_SERVER_NAME", "n1"}}), "");
  ASSERT_TRUE(options_.tls);
  EXPECT_EQ(options_.tls->ca_file, file_);
  EXPECT_EQ(options_.tls->server_name, "n1");
}

TEST_F(ConnectionFlagsTest, ApiKeyFromVariableFlagOrFile) {
  for (const char* variable : {"DQUEUE_API_KEY", "DQUEUE_TOKEN"}) {
    EXPECT_EQ(Read({}, {{variable, "k1"}}), "");
    EXPECT_EQ(options_.api_key, "k1");
  }
  EXPECT_EQ(Read({"--api-key=k2"}, {{"DQUEUE_API_KEY", "k1"}}), "");
  EXPECT_EQ(options_.api_key, "k2");
  Write("k3\n");
  EXPECT_EQ(Read({"--api-key-file", file_}), "");
  EXPECT_EQ(options_.api_key, "k3");
}

TEST_F(ConnectionFlagsTest, BadCombinations) {
  const std::string quoted = Quoted(file_);
  Write("k3\n");
  EXPECT_EQ(Read({"--server=http://h:1", "--tls"}),
            "--server: \"http://h:1\" asks for plain text, and --tls for TLS");
  EXPECT_EQ(Read({"--server=http://h:1,https://i:1"}),
            "--server: \"http://h:1\" asks for plain text, and https://i:1 for TLS");
  EXPECT_EQ(Read({"--server=http://h:1"}, {{"DQUEUE_CA", file_}}),
            "--server: \"http://h:1\" asks for plain text, and --ca for TLS (DQUEUE_CA sets --ca)");
  EXPECT_EQ(Read({"--cert", file_}), "--cert needs --key");
  EXPECT_EQ(Read({"--key", file_}), "--key needs --cert");
  EXPECT_EQ(Read({"--ca=/nowhere/ca"}), "--ca \"/nowhere/ca\": No such file or directory");
  EXPECT_EQ(Read({"--api-key-file=/nowhere/k"}),
            "--api-key-file \"/nowhere/k\": No such file or directory");
  EXPECT_EQ(Read({}, {{"DQUEUE_API_KEY_FILE", "/nowhere/k"}}),
            "--api-key-file \"/nowhere/k\": No such file or directory (DQUEUE_API_KEY_FILE sets "
            "--api-key-file)");
  EXPECT_EQ(Read({}, {{"DQUEUE_ENDPOINT", "h"}}),
            "--server: \"h\" has no port; write host:port (DQUEUE_ENDPOINT sets --server)");
  EXPECT_EQ(Read({"--api-key-file", file_, "--api-key=k"}),
            "--api-key-file and --api-key are both given; one is enough");
  Write("");
  EXPECT_EQ(Read({"--api-key-file", file_}), "--api-key-file " + quoted + ": is empty");
  for (const mode_t mode : {0640, 0604, 0644}) {
    Write("k", mode);
    char text[8];
    std::snprintf(text, sizeof text, "%04o", static_cast<unsigned>(mode));
    EXPECT_EQ(Read({"--api-key-file", file_}),
              "--api-key-file " + quoted + ": others than its owner have access to it (mode " +
                  text + "); make it 0600");
  }
}

TEST(Advice, NamesTheFlagToChange) {
  const auto advice = [](const std::string& reason) {
    return Advice({client::Code::kUnavailable, reason, "text"});
  };
  EXPECT_THAT(advice("CONNECTION_REFUSED"), testing::StartsWith("; --server "));
  EXPECT_THAT(advice("TLS_CERTIFICATE"), testing::HasSubstr("--ca"));
  EXPECT_THAT(advice("TLS_REQUIRED"), testing::HasSubstr("--tls"));
  EXPECT_THAT(advice("KEY_MISSING"), testing::HasSubstr("--api-key-file"));
  EXPECT_THAT(advice("QUEUE_DENIED"), testing::HasSubstr("--queue"));
  EXPECT_EQ(advice("NO_LEADER"), "");
  EXPECT_EQ(advice(""), "");
}

}  // namespace
}  // namespace dqueue::cmd
