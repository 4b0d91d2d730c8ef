// Compares the reader with Protobuf: it reads what Protobuf wrote as Protobuf reads it, and refuses
// bytes that Protobuf refuses or would read only in part.
#include "queue/state/command_reader.h"

#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "dqueue/v1/command.pb.h"
#include "gtest/gtest.h"
#include "queue/state/tables/api_key_registry.h"
#include "queue/state/testing/command_builder.h"
#include "queue/state/testing/workload.h"

namespace dqueue::queue {
namespace {

std::string Text(std::string_view s) { return std::string(s); }

void SetKeyCommand(const CommandView& view, log::v1::Command* out) {
  KeyCommand command;
  EXPECT_EQ(ReadKeyCommand(view.kind, view.text, &command), ReadStatus::kOk);
  if (view.kind == CommandKind::kCreateKey) {
    log::v1::CreateKey* create = out->mutable_create_key();
    create->set_id(Text(command.id));
    create->set_digest(Text(command.digest));
    create->set_name(Text(command.name));
    create->set_owner_id(Text(command.owner_id));
    create->set_type(command.type);
    create->set_scopes(command.scopes);
    for (const std::string_view queue : command.queues) create->add_queues(Text(queue));
  } else if (view.kind == CommandKind::kRevokeKey) {
    out->mutable_revoke_key()->set_id(Text(command.id));
    out->mutable_revoke_key()->set_owner_id(Text(command.owner_id));
  } else {
    out->mutable_use_keys();
    for (const std::string_view id : command.ids) out->mutable_use_keys()->add_ids(Text(id));
  }
}

// A batch as the reader sees it, as a message again.
log::v1::CommandBatch AsMessage(const BatchView& view) {
  log::v1::CommandBatch batch;
  batch.set_time_ms(view.time_ms);
  batch.set_level(view.level);
  for (const CommandView& command : view.commands) {
    log::v1::Command& out = *batch.add_commands();
    const auto set_token = [&command](log::v1::Token* token) {
      token->set_term(command.token.term);
      token->set_sequence(command.token.sequence);
      token->set_job_sequence(command.job_sequence);
    };
    switch (command.kind) {
      case CommandKind::kNone:
        ADD_FAILURE() << "a command without a kind";
        break;
      case CommandKind::kEnqueue:
        out.mutable_enqueue();
        for (uint32_t i = 0; i < command.job_count; ++i) {
          const EnqueuedJob& job = view.jobs[command.first_job + i];
          log::v1::Enqueue::Job& to = *out.mutable_enqueue()->add_jobs();
          to.set_id(Text(job.id));
          to.set_queue(Text(job.queue));
          to.set_type(Text(job.type));
          to.set_payload(Text(job.payload));
          to.set_id_of_request(job.id_of_request);
          to.set_request_key(Text(job.request_key));
          to.set_priority(job.priority);
          to.set_run_time_ms(job.run_time_ms);
          to.set_expire_time_ms(job.expire_time_ms);
          to.set_max_retries(job.max_retries);
          to.set_max_expirations(job.max_expirations);
          to.set_backoff(job.backoff);
          to.set_backoff_base_ms(job.backoff_base_ms);
          to.set_backoff_max_ms(job.backoff_max_ms);
          to.set_jitter_permille(job.jitter_permille);
          to.set_idempotency_key(Text(job.idempotency_key));
          to.set_idempotency_window_ms(job.idempotency_window_ms);
          to.set_ordering_key(Text(job.ordering_key));
          to.set_retention_ms(job.retention_ms);
          to.set_lease_duration_ms(job.lease_duration_ms);
          const auto add = [](auto* pairs) {
            return [pairs](std::string_view key, std::string_view value) {
              log::v1::KeyValue& pair = *pairs->Add();
              pair.set_key(Text(key));
              pair.set_value(Text(value));
            };
          };
          ForEachHeader(job, add(to.mutable_headers()));
          ForEachLabel(job, add(to.mutable_labels()));
        }
        break;
      case CommandKind::kComplete:
        out.mutable_complete()->set_id(Text(command.id));
        set_token(out.mutable_complete()->mutable_token());
        out.mutable_complete()->set_result(Text(command.text));
        break;
      case CommandKind::kFail:
        out.mutable_fail()->set_id(Text(command.id));
        set_token(out.mutable_fail()->mutable_token());
        out.mutable_fail()->set_error(Text(command.text));
        out.mutable_fail()->set_reject(command.reject);
        out.mutable_fail()->set_next_run_time_ms(command.next_run_time_ms);
        out.mutable_fail()->set_worker_id(Text(command.worker_id));
        out.mutable_fail()->set_held_ms(command.held_ms);
        break;
      case CommandKind::kExpire:
        out.mutable_expire()->set_id(Text(command.id));
        set_token(out.mutable_expire()->mutable_token());
        out.mutable_expire()->set_worker_id(Text(command.worker_id));
        out.mutable_expire()->set_held_ms(command.held_ms);
        break;
      case CommandKind::kCancel:
        out.mutable_cancel()->set_id(Text(command.id));
        out.mutable_cancel()->set_job_sequence(command.job_sequence);
        break;
      case CommandKind::kRetry:
        out.mutable_retry()->set_id(Text(command.id));
        out.mutable_retry()->set_job_sequence(command.job_sequence);
        break;
      case CommandKind::kDelete:
        out.mutable_delete_job()->set_id(Text(command.id));
        out.mutable_delete_job()->set_job_sequence(command.job_sequence);
        out.mutable_delete_job()->set_states(command.states);
        break;
      case CommandKind::kSetQueue:
        out.mutable_set_queue()->set_queue(Text(command.text));
        out.mutable_set_queue()->set_paused(command.paused);
        out.mutable_set_queue()->set_refuse_enqueues(command.refuse_enqueues);
        break;
      case CommandKind::kCreateKey:
      case CommandKind::kRevokeKey:
      case CommandKind::kUseKeys:
        SetKeyCommand(command, &out);
        break;
      case CommandKind::kTrim:
        out.mutable_trim()->set_finished(command.trim.finished);
        out.mutable_trim()->set_dead(command.trim.dead);
        out.mutable_trim()->set_ids(command.trim.ids);
        out.mutable_trim()->set_requests(command.trim.requests);
        break;
    }
  }
  return batch;
}

// Tokens are always there in AsMessage's.
log::v1::CommandBatch WithTokens(log::v1::CommandBatch batch) {
  for (log::v1::Command& command : *batch.mutable_commands()) {
    if (command.has_complete()) command.mutable_complete()->mutable_token();
    if (command.has_fail()) command.mutable_fail()->mutable_token();
    if (command.has_expire()) command.mutable_expire()->mutable_token();
  }
  return batch;
}

TEST(CommandReaderTest, ReadsWhatProtobufWrote) {
  BatchView view;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    Workload workload(seed);
    for (int i = 0; i < 50; ++i) {
      const std::string bytes = workload.Batch(20).Bytes();
      ASSERT_EQ(ReadBatch(bytes, &view), ReadStatus::kOk);
      ASSERT_EQ(AsMessage(view).SerializeAsString(), bytes);
    }
  }
}

TEST(CommandReaderTest, ReadsExtremeNumbers) {
  log::v1::Enqueue::Job job;
  job.set_priority(UINT32_MAX);
  job.set_run_time_ms(INT64_MIN);
  job.set_expire_time_ms(INT64_MAX);
  job.set_retention_ms(INT64_MIN);
  job.set_backoff_base_ms(-1);
  job.set_max_retries(UINT32_MAX);
  const std::string bytes =
      BatchBuilder(INT64_MIN).Enqueue(job).Complete("", {UINT64_MAX, UINT64_MAX}).Bytes();
  BatchView view;
  ASSERT_EQ(ReadBatch(bytes, &view), ReadStatus::kOk);
  EXPECT_EQ(AsMessage(view).SerializeAsString(), bytes);
}

TEST(CommandReaderTest, AnEmptyEntryIsATick) {
  BatchView view;
  view.time_ms = 5;
  view.commands.resize(3);
  EXPECT_EQ(ReadBatch("", &view), ReadStatus::kOk);
  EXPECT_EQ(view.time_ms, 0);
  EXPECT_TRUE(view.commands.empty());
}

TEST(CommandReaderTest, TheBrokersPaddedTimeIsRead) {
  BatchView view;
  EXPECT_EQ(ReadBatch(std::string("\x08\x85\x80\x80\x80\x80\x00", 7), &view), ReadStatus::kOk);
  EXPECT_EQ(view.time_ms, 5);
}

TEST(CommandReaderTest, UnknownFieldsAndCommandsAreReported) {
  struct Case {
    const char* what;
    std::string bytes;
  };
  const Case cases[] = {
      {"a field of the batch", "\x78\x01"},
      {"a fixed 64-bit field of the batch", "\x79" + std::string(8, 'x')},
      {"a fixed 32-bit field of the batch", "\x7d" + std::string(4, 'x')},
      {"a command without a kind", std::string("\x12\x00", 2)},
      {"a kind of command", "\x12\x04\xa2\x06\x01x"},
      {"a field of enqueue", "\x12\x04\x0a\x02\x78\x01"},
      {"a field of a job", "\x12\x07\x0a\x05\x0a\x03\xf8\x01\x01"},
      {"a field of a header", "\x12\x09\x0a\x07\x0a\x05\x8a\x01\x02\x78\x01"},
      {"a field of complete", "\x12\x04\x12\x02\x78\x01"},
      {"a field of a token", "\x12\x06\x12\x04\x12\x02\x78\x01"},
      {"a field of fail", "\x12\x04\x1a\x02\x78\x01"},
      {"a field of expire", "\x12\x04\x22\x02\x78\x01"},
      {"a field of cancel", "\x12\x04\x2a\x02\x78\x01"},
      {"a field of retry", "\x12\x04\x32\x02\x78\x01"},
      {"a field of delete", "\x12\x04\x3a\x02\x78\x01"},
      {"a field of set queue", "\x12\x04\x42\x02\x78\x01"},
      {"a field of create key", "\x12\x04\x4a\x02\x78\x01"},
      {"a field of revoke key", "\x12\x04\x52\x02\x78\x01"},
      {"a digest in revoke key", std::string("\x12\x05\x52\x03\x1a\x01x")},
      {"a field of use keys", "\x12\x04\x5a\x02\x78\x01"},
      {"an owner in use keys", std::string("\x12\x05\x5a\x03\x12\x01x")},
      {"a sequence in complete", "\x12\x04\x12\x02\x10\x01"},
      {"a token in cancel", std::string("\x12\x04\x2a\x02\x12\x00", 6)},
      {"fail's next run time in expire", "\x12\x04\x22\x02\x28\x01"},
      {"fail's time held in complete", "\x12\x04\x12\x02\x38\x01"},
      {"delete's states in retry", "\x12\x04\x32\x02\x18\x01"},
      {"a number where text was", "\x12\x04\x2a\x02\x08\x01"},
  };
  BatchView view;
  for (const Case& c : cases) {
    EXPECT_EQ(ReadBatch(c.bytes, &view), ReadStatus::kUnknown) << c.what;
    log::v1::CommandBatch message;
    EXPECT_TRUE(message.ParseFromString(c.bytes)) << c.what << ": the bytes are sound";
  }
}

TEST(CommandReaderTest, MalformedBytesAreRefused) {
  const std::string cases[] = {"\xff", "\x08", "\x08\x80", "\x08" + std::string(10, '\xff'),
                               "\x12\x05x", "\x12\xff\xff\xff\xff\x0f", "\x12\x03\x2a\x02x",
                               std::string("\x00\x01", 2), "\x0b\x0c", "\x0e",
                               // Two kinds in one command: no writer does that.
                               std::string("\x12\x04\x2a\x00\x32\x00", 6),
                               // A key's id, and a use's, that are cut.
                               "\x12\x05\x4a\x03\x0a\x05x", "\x12\x05\x5a\x03\x0a\x05x"};
  BatchView view;
  for (const std::string& bytes : cases) {
    EXPECT_EQ(ReadBatch(bytes, &view), ReadStatus::kMalformed) << testing::PrintToString(bytes);
  }
}

// Whatever is accepted, Protobuf reads in the same way (except that it refuses text that is not
// UTF-8, and merges a command's repeated parts).
TEST(CommandReaderTest, GarbageIsReadAsProtobufReadsItOrNotAtAll) {
  std::mt19937_64 random(11);
  int accepted = 0;
  BatchView view;
  for (int i = 0; i < 200000; ++i) {
    static std::string original;
    if (i % 100 == 0) original = Workload(static_cast<uint64_t>(i)).Batch(4).Bytes();
    std::string bytes = original;
    for (uint64_t n = 1 + random() % 3; n > 0 && !bytes.empty(); --n) {
      const size_t at = random() % bytes.size();
      switch (random() % 3) {
        case 0:
          bytes[at] = static_cast<char>(bytes[at] ^ (1 << random() % 8));
          break;
        case 1:
          bytes.erase(at, 1 + random() % 3);
          break;
        case 2:
          bytes.insert(at, 1, static_cast<char>(random()));
          break;
      }
    }
    if (ReadBatch(bytes, &view) != ReadStatus::kOk) continue;
    log::v1::CommandBatch message;
    if (!message.ParseFromString(bytes)) continue;
    ++accepted;
    ASSERT_EQ(AsMessage(view).SerializeAsString(), WithTokens(message).SerializeAsString());
  }
  EXPECT_GT(accepted, 10000);
}

}  // namespace
}  // namespace dqueue::queue
