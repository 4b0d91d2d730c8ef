// Images taken while commands are applied; restoring good, truncated and damaged images.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "queue/state/image_codec.h"
#include "queue/state/state_machine.h"
#include "queue/state/testing/command_builder.h"
#include "queue/state/testing/workload.h"

namespace dqueue::queue {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(SnapshotTest, AnEmptyStateMachineHasAnImage) {
  StateMachine machine;
  StateMachine restored;
  ASSERT_TRUE(
      Restore(TakeImage(machine), machine.applied_index(), machine.Digest(), &restored).ok());
  EXPECT_EQ(restored.Digest(), machine.Digest());
}

TEST(SnapshotTest, OrderOfDeliveryAndTimersComeBack) {
  StateMachine machine;
  auto urgent = MakeJob("urgent");
  urgent.set_priority(9);
  auto later = MakeJob("later");
  later.set_run_time_ms(5000);
  auto expiring = MakeJob("expiring");
  expiring.set_expire_time_ms(6000);
  auto gone = MakeJob("gone");
  gone.set_retention_ms(6500);
  ApplyNext(machine, BatchBuilder(1000)
                         .Enqueue(MakeJob("first"))
                         .Enqueue(urgent)
                         .Enqueue(later)
                         .Enqueue(expiring)
                         .Enqueue(gone)
                         .Complete("gone", {1, 1}));
  TakeIds(machine, {"q"}, 1);
  StateMachine restored;
  ASSERT_TRUE(
      Restore(TakeImage(machine), machine.applied_index(), machine.Digest(), &restored).ok());
  EXPECT_EQ(restored.CheckConsistency(), "");
  EXPECT_EQ(restored.NextTickMs(), 5000);
  ApplyNext(restored, BatchBuilder(8000));
  EXPECT_THAT(TakeIds(restored, {"q"}, 9), ElementsAre("urgent", "first", "later"))
      << "holds are not in images";
  EXPECT_EQ(restored.job_count(), 4u);
}

TEST(SnapshotTest, SettingsOfQueuesComeBack) {
  StateMachine machine;
  ApplyNext(machine, BatchBuilder(1000)
                         .Enqueue(MakeJob("a", "open"))
                         .Enqueue(MakeJob("b", "paused"))
                         .Pause("paused")
                         .Pause("closed", true));
  StateMachine restored;
  ASSERT_TRUE(
      Restore(TakeImage(machine), machine.applied_index(), machine.Digest(), &restored).ok());
  EXPECT_EQ(restored.CheckConsistency(), "");
  EXPECT_THAT(TakeIds(restored, {"open", "paused"}, 9), ElementsAre("a"));
  EXPECT_EQ(ApplyNext(restored, BatchBuilder(1000).Enqueue(MakeJob("c", "closed"))).back().code,
            ResultCode::kQueuePaused);
}

TEST(SnapshotTest, ApiKeysComeBack) {
  StateMachine machine;
  KeyRecord key = MakeKey("client_a");
  key.queues = {"a", "b*"};
  ApplyNext(machine, BatchBuilder(1000).CreateKey(key).CreateKey(MakeKey("client_b")));
  ApplyNext(machine, BatchBuilder(2000).RevokeKey("client_b").UseKeys({"client_a"}));
  StateMachine restored;
  ASSERT_TRUE(
      Restore(TakeImage(machine), machine.applied_index(), machine.Digest(), &restored).ok());
  EXPECT_EQ(restored.CheckConsistency(), "");
  v1::ListKeysResponse before;
  v1::ListKeysResponse after;
  EXPECT_TRUE(machine.ListKeys({.revoked = true}, &before).ok());
  EXPECT_TRUE(restored.ListKeys({.revoked = true}, &after).ok());
  ASSERT_EQ(after.keys_size(), 2);
  EXPECT_EQ(after.SerializeAsString(), before.SerializeAsString());
  EXPECT_EQ(restored.api_keys()->Find("client_a")->digest, key.digest);
  EXPECT_TRUE(restored.api_keys()->Find("client_b")->revoked());
}

TEST(SnapshotTest, AnImageHasTheApiKeysOfItsIndex) {
  StateMachine machine;
  ApplyNext(machine, BatchBuilder(1000).CreateKey(MakeKey("client_a")));
  const uint64_t digest = machine.Digest();
  machine.BeginSnapshot();
  ApplyNext(machine, BatchBuilder(2000)
                         .RevokeKey("client_a")
                         .UseKeys({"client_a"})
                         .CreateKey(MakeKey("client_b")));
  std::string image;
  while (!machine.ContinueSnapshot(100, &image)) {
  }
  StateMachine restored;
  ASSERT_TRUE(Restore(image, machine.snapshot_index(), digest, &restored).ok());
  v1::ListKeysResponse keys;
  EXPECT_TRUE(restored.ListKeys({.revoked = true}, &keys).ok());
  ASSERT_EQ(keys.keys_size(), 1);
  EXPECT_FALSE(keys.keys(0).has_revoke_time());
  EXPECT_FALSE(keys.keys(0).has_last_use_time());
}

TEST(SnapshotTest, AnImageHasTheSettingsOfItsIndex) {
  StateMachine machine;
  ApplyNext(machine, BatchBuilder(1000).Enqueue(MakeJob("a", "one")).Pause("two"));
  const uint64_t digest = machine.Digest();
  machine.BeginSnapshot();
  ApplyNext(machine, BatchBuilder(1000).Pause("one").Resume("two").Pause("three"));
  std::string image;
  while (!machine.ContinueSnapshot(100, &image)) {
  }
  StateMachine restored;
  ASSERT_TRUE(Restore(image, machine.snapshot_index(), digest, &restored).ok());
  EXPECT_THAT(TakeIds(restored, {"one"}, 9), ElementsAre("a"));
  EXPECT_FALSE(restored.HasQueue("three"));
}

TEST(SnapshotTest, ASideBufferIsDrainedInPieces) {
  StateMachine machine;
  BatchBuilder fill(1000);
  for (int i = 0; i < 300; ++i) {
    auto job = MakeJob(std::to_string(i));
    job.set_payload(std::string(1000, 'x'));
    fill.Enqueue(job);
  }
  ApplyNext(machine, fill);
  machine.BeginSnapshot();
  BatchBuilder change(2000);
  for (int i = 0; i < 300; ++i) change.Complete(std::to_string(i), {1, 1}, std::string(500, 'y'));
  ApplyNext(machine, change);
  std::string image;
  size_t last = 0;
  while (!machine.ContinueSnapshot(4096, &image)) {
    EXPECT_LT(image.size() - last, 4096u + 2000);
    last = image.size();
  }
  StateMachine restored;
  ASSERT_TRUE(Restore(image, machine.snapshot_index(), machine.snapshot_digest(), &restored).ok());
  EXPECT_EQ(restored.View(restored.Find("7")).state, v1::JOB_STATE_READY);
}

// Passing over freed slots takes time as well, and must end a call.
TEST(SnapshotTest, ACallPassesABoundedNumberOfFreeSlots) {
  StateMachine machine;
  for (int round = 0; round < 2; ++round) {
    BatchBuilder batch(1000 + round);
    for (int i = 0; i < 4000; ++i) {
      auto job = MakeJob(std::to_string(i));
      job.set_retention_ms(0);
      round == 0 ? batch.Enqueue(job) : batch.Cancel(std::to_string(i));
    }
    ApplyNext(machine, batch);
  }
  ApplyNext(machine, BatchBuilder(2000));
  ASSERT_EQ(machine.job_count(), 0u);
  std::string image;
  int calls = 0;
  machine.BeginSnapshot();
  do {
    ++calls;
  } while (!machine.ContinueSnapshot(800, &image));
  EXPECT_GE(calls, 40);
  EXPECT_LE(calls, 60);
}

// The heart of it: whatever happens while the walk is under way, the image is the state at its
// index, byte for byte the same digest, and what a restored replica does next is what the other
// does.
TEST(SnapshotTest, ImagesAreOfTheirIndexWhateverHappensMeanwhile) {
  for (uint64_t seed = 0; seed < 150; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Workload workload(seed);
    StateMachine machine;
    struct Image {
      std::string bytes;
      raft::Index index;
      uint64_t digest;
      std::vector<BatchBuilder> since;
    };
    std::vector<Image> done;
    std::string running;
    std::vector<BatchBuilder> since;
    uint64_t digest = 0;
    raft::Index index;
    for (int i = 0; i < 250; ++i) {
      const BatchBuilder batch = workload.Batch(8);
      ApplyNext(machine, batch);
      since.push_back(batch);
      for (Image& image : done) {
        if (image.since.size() < 40) image.since.push_back(batch);
      }
      if (workload.Chance(30)) TakeIds(machine, {workload.Queue()}, workload.Below(5));
      if (machine.snapshot_running()) {
        if (workload.Chance(1)) {
          machine.AbandonSnapshot();
          EXPECT_FALSE(machine.snapshot_running());
        } else if (workload.Chance(60) &&
                   machine.ContinueSnapshot(workload.Below(3000), &running)) {
          ASSERT_EQ(machine.snapshot_index(), index);
          ASSERT_EQ(machine.snapshot_digest(), digest);
          done.push_back({running, index, digest, since});
        }
      } else if (workload.Chance(20)) {
        machine.BeginSnapshot();
        running.clear();
        since.clear();
        index = machine.applied_index();
        digest = machine.Digest();
      }
    }
    ASSERT_FALSE(done.empty());
    for (const Image& image : done) {
      StateMachine restored;
      const absl::Status status =
          Restore(image.bytes, image.index, image.digest, &restored, 1 + workload.Below(5000));
      ASSERT_TRUE(status.ok()) << status;
      ASSERT_EQ(restored.CheckConsistency(), "");
      ASSERT_EQ(restored.applied_index(), image.index);
      for (const BatchBuilder& batch : image.since) ApplyNext(restored, batch);
      ASSERT_EQ(restored.CheckConsistency(), "");
    }
    // The last one, brought up to now, is the machine itself.
    StateMachine caught_up;
    const std::string last = [&] {
      if (machine.snapshot_running()) machine.AbandonSnapshot();
      return TakeImage(machine, 1 + workload.Below(10000));
    }();
    ASSERT_TRUE(Restore(last, machine.applied_index(), machine.Digest(), &caught_up).ok());
    for (int i = 0; i < 60; ++i) {
      const BatchBuilder batch = workload.Batch(8);
      std::vector<CommandResult> a = ApplyNext(machine, batch);
      std::vector<CommandResult> b = ApplyNext(caught_up, batch);
      ASSERT_EQ(machine.Digest(), caught_up.Digest());
      ASSERT_EQ(machine.NextTickMs(), caught_up.NextTickMs());
      for (size_t r = 0; r < a.size(); ++r) ASSERT_EQ(a[r].code, b[r].code);
    }
    machine.ReleaseAll();
    const std::vector<std::string> queues = {"queue0", "queue1", "queue2", "queue3"};
    ASSERT_EQ(TakeIds(machine, queues, 1000), TakeIds(caught_up, queues, 1000));
  }
}

// A replica at an image's index, by replay, has the digest of the image (R10).
TEST(SnapshotTest, RestoringEqualsReplaying) {
  for (uint64_t seed = 500; seed < 540; ++seed) {
    Workload workload(seed);
    StateMachine machine;
    std::vector<BatchBuilder> history;
    for (int i = 0; i < 100; ++i) {
      history.push_back(workload.Batch(10));
      ApplyNext(machine, history.back());
    }
    StateMachine restored;
    ASSERT_TRUE(
        Restore(TakeImage(machine, 777), machine.applied_index(), machine.Digest(), &restored, 1000)
            .ok());
    StateMachine replayed;
    for (const BatchBuilder& batch : history) ApplyNext(replayed, batch);
    EXPECT_EQ(restored.Digest(), replayed.Digest());
    EXPECT_EQ(restored.RecomputeDigest(), replayed.Digest());
  }
}

TEST(SnapshotTest, AcceptsPiecesOfAnySize) {
  StateMachine machine;
  Workload workload(7);
  for (int i = 0; i < 60; ++i) ApplyNext(machine, workload.Batch(8));
  const std::string image = TakeImage(machine);
  for (const size_t piece : {1, 2, 3, 7, 64, 1000, 1 << 20}) {
    StateMachine restored;
    EXPECT_TRUE(Restore(image, machine.applied_index(), machine.Digest(), &restored, piece).ok())
        << piece;
  }
}

TEST(SnapshotTest, RestoringReplacesThePreviousState) {
  StateMachine source;
  ApplyNext(source, BatchBuilder(1000).Enqueue(MakeJob("new")));
  StateMachine target;
  ApplyNext(target, BatchBuilder(5000).Enqueue(MakeJob("old", "old-queue")));
  TakeIds(target, {"old-queue"}, 1);
  target.BeginSnapshot();
  ASSERT_TRUE(Restore(TakeImage(source), source.applied_index(), source.Digest(), &target).ok());
  EXPECT_EQ(target.Find("old"), JobRef{});
  EXPECT_NE(target.Find("new"), JobRef{});
  EXPECT_EQ(target.time_ms(), 1000);
  EXPECT_FALSE(target.snapshot_running());
  EXPECT_EQ(target.CheckConsistency(), "");
}

// ---- damage ----

class DamageTest : public ::testing::Test {
 protected:
  DamageTest() {
    auto keyed = MakeJob("keyed");
    keyed.set_idempotency_key("k");
    keyed.set_idempotency_window_ms(100000);
    auto labelled = MakeJob("labelled", "q2");
    auto* label = labelled.add_labels();
    label->set_key("a");
    label->set_value("b");
    auto later = MakeJob("later");
    later.set_run_time_ms(9000);
    later.set_expire_time_ms(10000);
    ApplyNext(machine_, BatchBuilder(1000)
                            .Enqueue(keyed)
                            .Enqueue(labelled)
                            .Enqueue(later)
                            .Enqueue(MakeJob("dead"))
                            .Enqueue(MakeJob("done"))
                            .Fail("dead", {1, 1}, "why", 0, true, "w1", 1000)
                            .Complete("done", {1, 2}, "result")
                            .CreateKey(MakeKey("k1"))
                            .CreateKey(MakeKey("k2"))
                            .RevokeKey("k2"));
    image_ = TakeImage(machine_);
  }

  absl::Status TryRestore(std::string_view image, size_t piece = SIZE_MAX) {
    StateMachine restored;
    return Restore(image, machine_.applied_index(), machine_.Digest(), &restored, piece);
  }
  void ExpectDamage(const std::string& image, const std::string& reason) {
    const absl::Status status = TryRestore(image);
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << reason;
    EXPECT_THAT(std::string(status.message()), HasSubstr(reason));
  }

  // The image with one frame of this kind changed. `change` gets its body.
  template <class F>
  std::string WithFrame(FrameKind kind, const F& change, int which = 0) {
    std::string out = image_.substr(0, kImageMagic.size());
    size_t at = out.size();
    while (at < image_.size()) {
      uint32_t size = 0;
      std::memcpy(&size, image_.data() + at + 1, sizeof size);
      std::string body = image_.substr(at + kFrameHeaderSize, size);
      if (image_[at] == static_cast<char>(kind) && which-- == 0) change(body);
      out += Frame(image_[at], body);
      at += kFrameHeaderSize + size;
    }
    return out;
  }
  static std::string Frame(char kind, const std::string& body) {
    std::string frame(1, kind);
    const auto size = static_cast<uint32_t>(body.size());
    frame.append(reinterpret_cast<const char*>(&size), sizeof size);
    return frame + body;
  }

  StateMachine machine_;
  std::string image_;
};

TEST_F(DamageTest, TheUndamagedImageIsFine) { EXPECT_TRUE(TryRestore(image_).ok()); }

// As versions without attempts, API keys and settings of queues wrote them; the digest is the same.
TEST_F(DamageTest, ImagesOfVersions1And2AreFine) {
  StateMachine plain;
  ApplyNext(plain, BatchBuilder(1000).Enqueue(MakeJob("a", "q1")).Enqueue(MakeJob("b", "q2")));
  image_ = TakeImage(plain);
  const auto restores = [&] {
    StateMachine restored;
    return Restore(image_, plain.applied_index(), plain.Digest(), &restored).ok();
  };
  ASSERT_TRUE(restores());
  image_ = WithFrame(FrameKind::kHeader, [](std::string& b) { b[0] = 2; });
  EXPECT_FALSE(restores()) << "its counts are of version 3";
  for (const FrameKind kind : {FrameKind::kHeader, FrameKind::kEnd}) {
    image_ = WithFrame(kind, [](std::string& b) { b.pop_back(); });
  }
  EXPECT_TRUE(restores());
  image_ = WithFrame(FrameKind::kHeader, [](std::string& b) { b[0] = 1; });
  EXPECT_FALSE(restores()) << "its queues are of version 2";
  for (int queue = 0; queue < 2; ++queue) {
    image_ = WithFrame(
        FrameKind::kQueue, [](std::string& b) { b.pop_back(); }, queue);
  }
  EXPECT_TRUE(restores());
}

TEST_F(DamageTest, AnImageOfVersion2HasNoAttempts) {
  image_ = WithFrame(FrameKind::kHeader, [](std::string& b) {
    b[0] = 2;
    b.pop_back();
  });
  EXPECT_THAT(std::string(TryRestore(image_).message()), HasSubstr("attempts cannot be read"));
}

TEST_F(DamageTest, EveryTruncationIsFound) {
  for (size_t size = 0; size < image_.size(); ++size) {
    const absl::Status status = TryRestore(std::string_view(image_).substr(0, size));
    ASSERT_EQ(status.code(), absl::StatusCode::kDataLoss) << size;
  }
}

TEST_F(DamageTest, EveryFlippedBitIsFound) {
  for (size_t i = 0; i < image_.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = image_;
      damaged[i] = static_cast<char>(damaged[i] ^ (1 << bit));
      const absl::Status status = TryRestore(damaged, 1 + i % 50);
      ASSERT_EQ(status.code(), absl::StatusCode::kDataLoss) << "byte " << i << ", bit " << bit;
    }
  }
}

TEST_F(DamageTest, GarbageIsFound) {
  std::mt19937_64 random(3);
  for (int i = 0; i < 20000; ++i) {
    std::string damaged = image_;
    for (uint64_t n = 1 + random() % 4; n > 0; --n) {
      const size_t at = random() % damaged.size();
      switch (random() % 4) {
        case 0:
          damaged[at] = static_cast<char>(random());
          break;
        case 1:
          damaged.erase(at, random() % 20);
          break;
        case 2:
          damaged.insert(at, damaged.substr(random() % damaged.size(), random() % 40));
          break;
        case 3:
          damaged.replace(at, 1, std::string(1, random() % 2 == 0 ? '\xff' : '\0'));
          break;
      }
      if (damaged.empty()) damaged = "x";
    }
    const absl::Status status = TryRestore(damaged, 1 + random() % 300);
    ASSERT_EQ(status.code() == absl::StatusCode::kDataLoss, damaged != image_);
  }
}

TEST_F(DamageTest, EachKindOfDamageHasItsReason) {
  ExpectDamage("DQIMAGE2" + image_.substr(8), "does not begin with DQIMAGE1");
  ExpectDamage(image_.substr(0, 8) + image_.substr(image_.size() - kFrameHeaderSize - 4), "header");
  ExpectDamage(image_ + "x", "it is incomplete");
  ExpectDamage(image_ + Frame('E', std::string(4, '\0')), "something follows its end");
  ExpectDamage(WithFrame(FrameKind::kHeader, [](std::string& b) { b[0] = 9; }), "format version 9");
  ExpectDamage(WithFrame(FrameKind::kHeader, [](std::string& b) { b += "x"; }), "header cannot");
  ExpectDamage(WithFrame(FrameKind::kQueue, [](std::string& b) { b[0] = 1; }), "out of turn");
  ExpectDamage(WithFrame(FrameKind::kQueue, [](std::string& b) { b[0] = 77; }), "an unknown queue");
  ExpectDamage(WithFrame(FrameKind::kQueue, [](std::string& b) { b[3] ^= 1; }), "do not add up");
  ExpectDamage(WithFrame(FrameKind::kQueue, [](std::string& b) { b.pop_back(); }),
               "a queue cannot be read");
  for (const char settings : {'\2', '\4', '\7'}) {
    ExpectDamage(WithFrame(FrameKind::kQueue, [&](std::string& b) { b.back() = settings; }),
                 "a queue cannot be read");
  }
  ExpectDamage(WithFrame(FrameKind::kQueue, [](std::string& b) { b.back() = 1; }), "digest");
  ExpectDamage(WithFrame(FrameKind::kHeader, [](std::string& b) { b[0] = 5; }),
               "format version 5; this program reads 4: upgrade it");
  ExpectDamage(WithFrame(FrameKind::kHeader, [](std::string& b) { b[0] = 4; }), "header cannot");
  ExpectDamage(WithFrame(FrameKind::kHeader,
                         [](std::string& b) {
                           b[0] = 0;
                           b.pop_back();
                         }),
               "format version 0; the oldest is 1");
  const auto job = [&](int at, char value, const std::string& reason) {
    ExpectDamage(WithFrame(FrameKind::kJob, [&](std::string& b) { b[at] = value; }), reason);
  };
  job(0, 5, "an unknown queue");
  job(1, 0, "the state 0");
  job(1, 3, "the state 3");
  job(1, 7, "the state 7");
  job(2, 1, "a reason of death");
  job(2, 5, "a reason of death");
  job(3, 1, "a token that nothing ended");
  job(3, 4, "a token that nothing ended");
  job(4, 1, "digest");
  job(5, 0, "a sequence to come");
  job(5, 100, "a sequence to come");
  ExpectDamage(WithFrame(FrameKind::kJob, [](std::string& b) { b.clear(); }), "a job cannot");
  ExpectDamage(WithFrame(FrameKind::kJob, [](std::string& b) { b.resize(b.size() / 2); }),
               "a job cannot");
  const auto attempts = [&](const auto& change, const std::string& reason) {
    ExpectDamage(WithFrame(FrameKind::kAttempts, change), reason);
  };
  attempts([](std::string& b) { b.clear(); }, "attempts cannot be read");
  attempts([](std::string& b) { b.resize(1); }, "attempts cannot be read");
  attempts([](std::string& b) { b[2] = 9; }, "attempts cannot be read");
  attempts([](std::string& b) { b[0] = 1; }, "do not follow their job");
  attempts([](std::string& b) { b[1] = 2; }, "an attempt to come");
  attempts([](std::string& b) { b.back() ^= 1; }, "digest");
  ExpectDamage(WithFrame(FrameKind::kKey, [](std::string& b) { b[0] = 9; }), "an unknown queue");
  ExpectDamage(WithFrame(FrameKind::kKey, [](std::string& b) { b[1] = 99; }), "sequence to come");
  ExpectDamage(WithFrame(FrameKind::kKey, [](std::string& b) { b += "x"; }),
               "an idempotency key cannot");
  // Of an API key: id (with its length), digest, name, owner, type, scopes, times.
  const auto key = [&](const auto& change, const std::string& reason) {
    ExpectDamage(WithFrame(FrameKind::kApiKey, change), reason);
  };
  constexpr int kDigestAt = 3;
  constexpr int kNameAt = kDigestAt + 32;
  const int type_at = kNameAt + 1 + 10 + 1 + 3;
  key([&](std::string& b) { b.erase(0, 3).insert(0, 1, '\0'); }, "a key with a bad id");
  key([&](std::string& b) { b[2] = '2'; }, "it is there twice");
  key([&](std::string& b) { b[kDigestAt] ^= 1; }, "digest");
  key([&](std::string& b) { b.replace(kNameAt, 11, "\x81\x01" + std::string(129, 'n')); },
      "key k1: a long name");
  key([&](std::string& b) { b[type_at] = 0; }, "key k1: an unknown type");
  key([&](std::string& b) { b[type_at] = 4; }, "an API key cannot be read");
  key([&](std::string& b) { b.replace(type_at + 1, 2, "\x80\x10"); }, "key k1: unknown scopes");
  key([&](std::string& b) { b[b.size() - 2] = 0x7f; }, "digest");  // its last use
  key([&](std::string& b) { b.replace(b.size() - 2, 1, "\xff\x7f"); }, "a time to come");
  key([&](std::string& b) { b.back() = 101; }, "an API key cannot be read");
  key([&](std::string& b) { b.back() = 1, b += std::string("\0", 1); }, "key k1: a bad queue");
  key([&](std::string& b) { b.back() = 2, b += "\1q\1q"; }, "key k1: queues out of order");
  key([&](std::string& b) { b += "x"; }, "an API key cannot be read");
  ExpectDamage(WithFrame(FrameKind::kEnd, [](std::string& b) { b[1] = 4; }), "records are missing");
  ExpectDamage(WithFrame(FrameKind::kEnd, [](std::string& b) { b.clear(); }), "its end cannot");
}

// The last key's frame ends with its times, of which that of the revocation is changed.
TEST_F(DamageTest, MoreApiKeysThanThereCanBeAreFound) {
  for (const bool valid : {true, false}) {
    const size_t max = valid ? kKeysMax : kRevokedKeysMax;
    StateMachine full;
    BatchBuilder batch(1000);
    batch.CreateKey(MakeKey("last"));
    if (valid) batch.RevokeKey("last");
    for (size_t i = 0; i < max; ++i) {
      const std::string id = "k" + std::to_string(i);
      batch.CreateKey(MakeKey(id));
      if (!valid) batch.RevokeKey(id);
    }
    ApplyNext(full, batch);
    ASSERT_EQ(full.api_keys()->size(), max + 1);
    image_ = TakeImage(full);
    const std::string now("\xe8\x07");
    const std::string never(1, '\0');
    const auto change = [&](std::string& b) {
      const std::string& is = valid ? now : never;
      const size_t at = b.size() - 2 - is.size();
      ASSERT_EQ(b.substr(at, is.size()), is);
      b.replace(at, is.size(), valid ? never : now);
    };
    ExpectDamage(WithFrame(FrameKind::kApiKey, change, static_cast<int>(max)),
                 "key last: more keys than there can be");
  }
}

TEST_F(DamageTest, RepeatedAndMissingRecordsAreFound) {
  for (const FrameKind kind :
       {FrameKind::kHeader, FrameKind::kQueue, FrameKind::kJob, FrameKind::kAttempts,
        FrameKind::kKey, FrameKind::kApiKey, FrameKind::kEnd}) {
    std::string twice = image_.substr(0, kImageMagic.size());
    std::string missing = twice;
    bool changed = false;
    size_t at = twice.size();
    while (at < image_.size()) {
      uint32_t size = 0;
      std::memcpy(&size, image_.data() + at + 1, sizeof size);
      const std::string frame = image_.substr(at, kFrameHeaderSize + size);
      const bool this_one = !changed && image_[at] == static_cast<char>(kind);
      changed |= this_one;
      twice += this_one ? frame + frame : frame;
      if (!this_one) missing += frame;
      at += frame.size();
    }
    EXPECT_EQ(TryRestore(twice).code(), absl::StatusCode::kDataLoss) << static_cast<char>(kind);
    EXPECT_EQ(TryRestore(missing).code(), absl::StatusCode::kDataLoss) << static_cast<char>(kind);
  }
}

TEST_F(DamageTest, AnImageOfAnotherIndexOrDigestIsRefused) {
  StateMachine a;
  EXPECT_THAT(std::string(Restore(image_, raft::Index(7), machine_.Digest(), &a).message()),
              HasSubstr("it is of index 1, not of 7"));
  StateMachine b;
  EXPECT_THAT(
      std::string(Restore(image_, machine_.applied_index(), machine_.Digest() + 1, &b).message()),
      HasSubstr("its digest is not"));
}

TEST_F(DamageTest, AnErrorStays) {
  StateMachine target;
  StateMachine::Restorer restorer(&target);
  EXPECT_FALSE(restorer.Feed("not an image").ok());
  EXPECT_FALSE(restorer.Feed(image_).ok());
  EXPECT_FALSE(restorer.Finish(machine_.applied_index(), machine_.Digest()).ok());
}

}  // namespace
}  // namespace dqueue::queue
