// Attacks on the gRPC port through known weaknesses of HTTP/2 servers, on a node with real threads.
// The node must answer other clients during and after each attack.
// docs/security.md has the outcomes; each test prints its own.
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <gtest/gtest.h>
#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <random>

#include "dqueue/v1/service.grpc.pb.h"
#include "storage/files/file_system.h"
#include "transport/listeners/http2_guard.h"
#include "transport/testing/machine_fixture.h"
#include "transport/testing/raw_http2.h"

namespace dqueue::transport {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;

const std::string kStats = "/dqueue.v1.JobService/GetStats";
const std::string kLease = "/dqueue.v1.WorkerService/LeaseJobs";

double ResidentMiB() {
  std::ifstream statm("/proc/self/statm");
  long ignored = 0;
  long pages = 0;
  statm >> ignored >> pages;
  return static_cast<double>(pages) * static_cast<double>(sysconf(_SC_PAGESIZE)) / (1 << 20);
}

// Without the guard (in sanitizer builds) only gRPC's own limits apply.
#define SKIP_IF_NOT_GUARDED() \
  if (!kConnectionsAreGuarded) GTEST_SKIP() << "needs the guard"

class GrpcAbuseTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    machine_ = new LoneMachine("dqueue_grpc_abuse_test");
    machine_->Start("127.0.0.1:0");
    ASSERT_FALSE(HasFatalFailure());
  }
  static void TearDownTestSuite() { delete machine_; }
  // A normal client calls all the time.
  void SetUp() override {
    channel_ = grpc::CreateChannel("127.0.0.1:" + std::to_string(port()),
                                   grpc::InsecureChannelCredentials());
    ASSERT_TRUE(Serves());
    malloc_trim(0);  // drops the memory of earlier tests
    before_ = ResidentMiB();
    client_ = std::thread([this] {
      do {
        const auto start = steady_clock::now();
        if (!Serves()) ++failed_;
        times_.push_back(
            std::chrono::duration<double, std::milli>(steady_clock::now() - start).count());
      } while (!stop_);
    });
  }
  void TearDown() override {
    stop_ = true;
    client_.join();
    EXPECT_EQ(failed_, 0) << "of the calls of another client meanwhile";
    // On a connection of its own.
    channel_ = grpc::CreateCustomChannel("127.0.0.1:" + std::to_string(port()),
                                         grpc::InsecureChannelCredentials(), {});
    EXPECT_TRUE(Serves());
    std::sort(times_.begin(), times_.end());
    std::printf(
        "    %zu calls of another client meanwhile: p99 %.1f ms, longest %.1f ms; memory %+.0f "
        "MiB\n",
        times_.size(), times_[times_.size() * 99 / 100], times_.back(), ResidentMiB() - before_);
  }

  static int port() { return machine_->server().port(); }
  bool Serves() {
    v1::JobService::Stub stub(channel_);
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    context.set_deadline(std::chrono::system_clock::now() + 20s);
    v1::GetStatsResponse response;
    return stub.GetStats(&context, v1::GetStatsRequest(), &response).ok();
  }
  // Prints how a connection ended.
  static void PrintEnd(RawHttp2* raw) {
    std::string text;
    for (const char c : raw->goaway()) text += c >= ' ' && c <= '~' ? c : '.';
    std::printf("    connection %s; GOAWAY \"%s\", RST_STREAM %zu, HEADERS %zu\n",
                raw->ended() ? "ended" : "open", text.c_str(), raw->count(Frame::kRstStream),
                raw->count(Frame::kHeaders));
  }
  static double Growth(double since) { return ResidentMiB() - since; }

  static LoneMachine* machine_;
  std::shared_ptr<grpc::Channel> channel_;
  double before_ = 0;

 private:
  std::thread client_;
  std::atomic<bool> stop_{false};
  std::atomic<int> failed_{0};
  std::vector<double> times_;
};
LoneMachine* GrpcAbuseTest::machine_ = nullptr;

TEST_F(GrpcAbuseTest, ACallByHandIsAnswered) {
  RawHttp2 raw(port());
  raw.SendCall(1, kStats);
  EXPECT_TRUE(raw.WaitForEnd(1));
  EXPECT_TRUE(raw.answered(1));
  EXPECT_EQ(raw.count(Frame::kRstStream), 0u);
}

// CVE-2023-1428: a "te" that is none, with a header that is too large, ended the process.
TEST_F(GrpcAbuseTest, AnInvalidTeWithALargeHeader) {
  for (const size_t bytes : {10u, 9u << 10, 12u << 10, 17u << 10, 40u << 10}) {
    for (const bool first : {true, false}) {
      RawHttp2 raw(port());
      const std::pair<std::string, std::string> te = {"te", "x"};
      // In frames of their own, as one holds 16 KiB.
      Fields fields;
      if (first) fields.push_back(te);
      for (size_t left = bytes; left > 0; left -= std::min<size_t>(left, 4000)) {
        fields.emplace_back("large", std::string(std::min<size_t>(left, 4000), 'a'));
      }
      if (!first) fields.push_back(te);
      const std::string block = CallHeader(kStats, fields);
      for (size_t at = 0; at < block.size(); at += 16000) {
        raw.Send(FrameOf(at == 0 ? Frame::kHeaders : Frame::kContinuation,
                         at + 16000 >= block.size() ? kEndHeaders : 0, 1, block.substr(at, 16000)));
      }
      raw.Send(FrameOf(Frame::kData, kEndStream, 1, std::string(5, '\0')));
      EXPECT_TRUE(raw.WaitForEnd(1)) << bytes;
    }
  }
}

// CVE-2023-32732: bad base64 in a "-bin" field ended the connection, and with it the calls of
// others behind the same proxy.
TEST_F(GrpcAbuseTest, BadBase64) {
  RawHttp2 raw(port());
  raw.SendCall(1, kStats, {{"x-bin", "!!!!"}});
  raw.SendCall(3, kStats, {{"x-bin", "A"}});
  raw.SendCall(5, kStats);
  raw.WaitForEnd(5);
  std::printf("    the next call on the same connection is %s\n",
              raw.answered(5) && !raw.ended() ? "answered" : "lost");
  PrintEnd(&raw);
  EXPECT_TRUE(raw.answered(5) || raw.ended()) << "it must not hang";
}

// CVE-2023-33953 and others: a small header that becomes a large one.
TEST_F(GrpcAbuseTest, HpackBomb) {
  RawHttp2 raw(port());
  std::string block = CallHeader(kStats) + HpackField("bomb", std::string(4000, 'a'), true);
  block += std::string(8000, '\xbe');  // the newest of the table, 8,000 times: 32 MB
  raw.Send(FrameOf(Frame::kHeaders, kEndHeaders, 1, block));
  raw.Send(FrameOf(Frame::kData, kEndStream, 1, std::string(5, '\0')));
  EXPECT_TRUE(raw.WaitForEnd(1));
  PrintEnd(&raw);
  EXPECT_LT(Growth(before_), 64);
}

TEST_F(GrpcAbuseTest, AHeaderOverTheLimit) {
  RawHttp2 raw(port());
  const std::string block =
      CallHeader(kStats, {{"a", std::string(9000, 'a')}, {"b", std::string(9000, 'b')}});
  raw.Send(FrameOf(Frame::kHeaders, 0, 1, block.substr(0, 16000)) +
           FrameOf(Frame::kContinuation, kEndHeaders, 1, block.substr(16000)) +
           FrameOf(Frame::kData, kEndStream, 1, std::string(5, '\0')));
  EXPECT_TRUE(raw.WaitForEnd(1));
  // A refused call does not end the connection.
  raw.SendCall(3, kStats);
  EXPECT_TRUE(raw.WaitForEnd(3));
  EXPECT_TRUE(raw.answered(3));
}

// A header without an end, CVE-2024-27316 of other servers: of small fields, and of one field.
TEST_F(GrpcAbuseTest, ContinuationFloodOfManyFields) {
  SKIP_IF_NOT_GUARDED();
  RawHttp2 raw(port());
  raw.Send(FrameOf(Frame::kHeaders, 0, 1, CallHeader(kStats)));
  std::string fields;
  while (fields.size() < 16000) fields += HpackField("x", "y");
  const std::string frame = FrameOf(Frame::kContinuation, 0, 1, fields);
  for (int i = 0; i < 4000 && !raw.ended(); ++i) raw.Send(frame);
  EXPECT_TRUE(raw.WaitFor([&] { return raw.ended(); }));
  PrintEnd(&raw);
  EXPECT_LT(Growth(before_), 64);
}

TEST_F(GrpcAbuseTest, ContinuationFloodOfOneField) {
  SKIP_IF_NOT_GUARDED();
  RawHttp2 raw(port());
  const std::string begin =
      std::string(1, '\0') + HpackLength(1) + "x" + HpackLength(uint64_t{1} << 30);
  raw.Send(FrameOf(Frame::kHeaders, 0, 1, CallHeader(kStats) + begin));
  const std::string frame = FrameOf(Frame::kContinuation, 0, 1, std::string(16000, 'a'));
  for (int i = 0; i < 4000 && !raw.ended(); ++i) raw.Send(frame);
  EXPECT_TRUE(raw.WaitFor([&] { return raw.ended(); }));
  PrintEnd(&raw);
  EXPECT_LT(Growth(before_), 64);
}

TEST_F(GrpcAbuseTest, PingFlood) {
  RawHttp2 raw(port());
  const std::string ping = FrameOf(Frame::kPing, 0, 0, std::string(8, 'p'));
  for (int i = 0; i < 10'000 && !raw.ended(); ++i) raw.Send(ping);
  EXPECT_TRUE(raw.WaitFor([&] { return raw.ended(); }));
  PrintEnd(&raw);
  EXPECT_NE(raw.goaway().find("too_many_pings"), std::string::npos);
}

TEST_F(GrpcAbuseTest, SettingsFlood) {
  SKIP_IF_NOT_GUARDED();
  RawHttp2 raw(port());
  std::string settings;
  for (int i = 0; i < 1000; ++i) settings += FrameOf(Frame::kSettings, 0, 0, "");
  for (int i = 0; i < 100 && !raw.ended(); ++i) raw.Send(settings);
  EXPECT_TRUE(raw.WaitFor([&] { return raw.ended(); }));
  PrintEnd(&raw);
  EXPECT_LT(Growth(before_), 64);
}

// The client does not read the acknowledgements.
TEST_F(GrpcAbuseTest, SettingsFloodWithoutReading) {
  SKIP_IF_NOT_GUARDED();
  RawHttp2 raw(port());
  raw.StopReading();
  std::string settings;
  for (int i = 0; i < 1000; ++i) settings += FrameOf(Frame::kSettings, 0, 0, "");
  // A server that stops reading would stop this thread.
  std::thread sender([&] {
    for (int i = 0; i < 1000; ++i) raw.Send(settings);
  });
  const auto end = steady_clock::now() + 3s;
  while (steady_clock::now() < end) ASSERT_TRUE(Serves());
  std::printf("    memory %+.0f MiB while the connection lives\n", Growth(before_));
  EXPECT_LT(Growth(before_), 256);
  raw.Abort();
  sender.join();
}

// CVE-2023-44487: calls that are given up as soon as they are made.
TEST_F(GrpcAbuseTest, RapidReset) {
  SKIP_IF_NOT_GUARDED();
  RawHttp2 raw(port());
  const std::string header = CallHeader(kLease);
  const std::string cancel("\0\0\0\x08", 4);
  uint32_t stream = 1;
  for (int i = 0; i < 100 && !raw.ended(); ++i) {
    std::string bytes;
    for (int j = 0; j < 500; ++j, stream += 2) {
      bytes += FrameOf(Frame::kHeaders, kEndHeaders, stream, header) +
               FrameOf(Frame::kRstStream, 0, stream, cancel);
    }
    raw.Send(bytes);
  }
  EXPECT_TRUE(raw.WaitFor([&] { return raw.ended(); }));
  PrintEnd(&raw);
  EXPECT_LT(Growth(before_), 256);
}

// Whose requests never come whole, so that the calls have no end.
TEST_F(GrpcAbuseTest, MoreThanTenThousandStreams) {
  SKIP_IF_NOT_GUARDED();
  RawHttp2 raw(port());
  const std::string header = CallHeader(kLease);
  uint32_t stream = 1;
  for (int i = 0; i < 11'000; ++i, stream += 2) {
    raw.Send(FrameOf(Frame::kHeaders, kEndHeaders, stream, header));
  }
  EXPECT_TRUE(raw.WaitFor([&] { return raw.ended(); }));
  PrintEnd(&raw);
  EXPECT_LT(Growth(before_), 512);
}

// 50 MB of zeros are 50 KB on the way.
TEST_F(GrpcAbuseTest, ACompressedMessageIsRefused) {
  v1::EnqueueJobsRequest request;
  request.add_jobs()->set_payload(std::string(50'000'000, '\0'));
  for (const auto algorithm : {GRPC_COMPRESS_GZIP, GRPC_COMPRESS_DEFLATE}) {
    v1::JobService::Stub stub(channel_);
    grpc::ClientContext context;
    context.set_compression_algorithm(algorithm);
    v1::EnqueueJobsResponse response;
    EXPECT_EQ(stub.EnqueueJobs(&context, request, &response).error_code(),
              grpc::StatusCode::UNIMPLEMENTED);
  }
}

TEST_F(GrpcAbuseTest, OtherProtocols) {
  std::mt19937 random(1);
  std::string noise;
  for (int i = 0; i < 100'000; ++i) noise += static_cast<char>(random());
  const std::string preface = kHttp2Preface + FrameOf(Frame::kSettings, 0, 0, "");
  const std::string zeros(8, '\0');
  struct Row {
    const char* what;
    std::string bytes;
  };
  for (const Row& row : std::vector<Row>{
           {"noise", noise},
           {"noise behind the preface", preface + noise},
           {"HTTP/1.1", "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"},
           {"TLS", std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11) + zeros},
           {"a frame of 16 MiB", preface + "\xff\xff\xff" + std::string(1, '\0') + zeros},
           {"no settings", kHttp2Preface + FrameOf(Frame::kPing, 0, 0, zeros)},
           {"a header for no stream",
            preface + FrameOf(Frame::kHeaders, kEndHeaders, 0, CallHeader(kStats))},
           {"a stream of the server's",
            preface + FrameOf(Frame::kHeaders, kEndHeaders, 2, CallHeader(kStats))},
           {"a header within a header", preface +
                                            FrameOf(Frame::kHeaders, 0, 1, CallHeader(kStats)) +
                                            FrameOf(Frame::kHeaders, 0, 3, CallHeader(kStats))},
           {"a push from a client", preface + FrameOf(Frame::kPushPromise, kEndHeaders, 1, zeros)},
           {"a field out of the table",
            preface + FrameOf(Frame::kHeaders, kEndHeaders, 1, "\xff\xff\xff\x7f")},
           {"settings of half a size", preface + FrameOf(Frame::kSettings, 0, 0, "abc")},
           {"a window beyond its end",
            preface + FrameOf(Frame::kWindowUpdate, 0, 0, "\x7f\xff\xff\xff")},
       }) {
    RawHttp2 raw(port(), /*preface=*/false);
    raw.Send(row.bytes);
    raw.EndSending();
    EXPECT_TRUE(raw.WaitFor([&] { return raw.ended(); })) << row.what;
  }
}

}  // namespace
}  // namespace dqueue::transport
