#include "transport/listeners/http2_guard.h"

#include <gtest/gtest.h>

#include "transport/testing/raw_http2.h"

namespace dqueue::transport {
namespace {

using namespace std::chrono_literals;

const Http2Guard::Time kStart{1h};

class GuardTest : public testing::Test {
 protected:
  GuardTest() { Look(kHttp2Preface + FrameOf(Frame::kSettings, 0, 0, "")); }
  std::string Look(const std::string& bytes) {
    const char* abuse = guard_.Look(bytes, now_);
    return abuse == nullptr ? "" : abuse;
  }
  // How many of these, one after the other, until it says so; 100,000: it does not.
  int Until(const std::string& bytes) {
    for (int i = 0; i < 100'000; ++i) {
      if (!Look(bytes).empty()) return i;
    }
    return 100'000;
  }

  Http2Guard guard_;
  Http2Guard::Time now_ = kStart;
};

const std::string kHead = FrameOf(Frame::kHeaders, kEndHeaders, 1, std::string(100, 'h'));
const std::string kReset = FrameOf(Frame::kRstStream, 0, 1, std::string(4, '\0'));

TEST_F(GuardTest, NormalTrafficIsNotAbuse) {
  for (const std::string& bytes :
       {kHead + FrameOf(Frame::kData, kEndStream, 1, "x"), FrameOf(Frame::kData, 0, 1, "x"),
        FrameOf(Frame::kData, kEndStream, 1, ""), FrameOf(Frame::kPing, 0, 0, "12345678"),
        FrameOf(Frame::kWindowUpdate, 0, 1, std::string(4, '\1'))}) {
    EXPECT_EQ(Until(bytes), 100'000);
  }
}

TEST_F(GuardTest, AnEndlessHeader) {
  const std::string part = FrameOf(Frame::kContinuation, 0, 1, std::string(16'000, 'c'));
  EXPECT_EQ(Look(kHead + part + part + part + part), "");
  EXPECT_EQ(Look(kHead + part + part + part + part), "") << "each header has its own limit";
  EXPECT_EQ(Look(part), "a header without an end");
  EXPECT_EQ(Look(""), "a header without an end") << "for good";
}

TEST_F(GuardTest, AHeaderOfEmptyContinuations) {
  Look(kHead);
  EXPECT_EQ(Until(FrameOf(Frame::kContinuation, 0, 1, "")), 64);
}

TEST_F(GuardTest, ResetsAreBoundedByTime) {
  const std::string whole = kHead + FrameOf(Frame::kData, kEndStream, 1, "x") + kReset;
  struct Row {
    std::string bytes;
    int most;
    std::chrono::microseconds apart;
  };
  for (const Row& row : {Row{kHead + kReset, 1'000, 10ms}, Row{whole, 10'000, 500us}}) {
    guard_ = Http2Guard();
    Look(kHttp2Preface);
    EXPECT_EQ(Until(row.bytes), row.most);
    guard_ = Http2Guard();
    Look(kHttp2Preface);
    for (int i = 0; i < 3 * row.most; ++i) {
      now_ += row.apart;
      ASSERT_EQ(Look(row.bytes), "") << i;
    }
  }
}

TEST_F(GuardTest, IncompleteRequestsAreBounded) { EXPECT_EQ(Until(kHead), 10'000); }

TEST_F(GuardTest, ControlFramesAreBounded) {
  for (const std::string& bytes :
       {FrameOf(Frame::kSettings, 0, 0, ""), FrameOf(Frame::kPriority, 0, 1, "12345"),
        FrameOf(Frame::kData, 0, 1, ""), FrameOf(Frame::kPing, kEndStream, 0, "12345678"),
        FrameOf(static_cast<Frame>(200), 0, 1, "x")}) {
    guard_ = Http2Guard();
    Look(kHttp2Preface);
    EXPECT_EQ(Until(bytes), 1000);
  }
}

TEST_F(GuardTest, AnySplitOfTheBytesWorks) {
  const std::string all = kHead + FrameOf(Frame::kContinuation, 0, 1, std::string(70'000, 'c'));
  for (const size_t piece : {1u, 2u, 5u, 8u, 9u, 10u, 4096u}) {
    guard_ = Http2Guard();
    const std::string bytes = kHttp2Preface + kHead + all;
    std::string said;
    size_t at = 0;
    for (; at < bytes.size() && said.empty(); at += piece) said = Look(bytes.substr(at, piece));
    EXPECT_EQ(said, "a header without an end") << piece;
    // As soon as the head of the frame is there, not when all of it is.
    EXPECT_LE(at, 24 + 2 * kHead.size() + 9 + piece) << piece;
  }
}

TEST_F(GuardTest, OtherProtocolsAreIgnored) {
  for (const std::string& begin :
       {std::string("GET / HTTP/1.1\r\n"), std::string("PRI * HTTP/2.0\r\n\r\nXX"),
        std::string("\x16\x03\x01\x02\x00", 5)}) {
    guard_ = Http2Guard();
    EXPECT_EQ(Look(begin), "");
    EXPECT_EQ(Until(FrameOf(Frame::kSettings, 0, 0, "")), 100'000);
  }
}

}  // namespace
}  // namespace dqueue::transport
