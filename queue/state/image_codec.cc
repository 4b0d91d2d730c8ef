#include "queue/state/image_codec.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "queue/state/byte_codec.h"

namespace dqueue::queue {
namespace {

// Makes room for a frame of at most `size_max` body bytes at the end of *out, lets `write` fill it,
// and cuts what was not needed.
template <class Write>
void AppendFrame(FrameKind kind, size_t size_max, std::string* out, const Write& write) {
  const size_t start = out->size();
  out->resize(start + kFrameHeaderSize + size_max);
  char* const body = out->data() + start + kFrameHeaderSize;
  const size_t size = static_cast<size_t>(write(body) - body);
  DQ_CHECK(size <= size_max && size <= UINT32_MAX);
  char* const frame = out->data() + start;
  frame[0] = static_cast<char>(kind);
  for (int i = 0; i < 4; ++i) frame[1 + i] = static_cast<char>(size >> (8 * i));
  out->resize(start + kFrameHeaderSize + size);
}

char* PutFixed64(char* p, uint64_t value) {
  for (int shift = 0; shift < 64; shift += 8) *p++ = static_cast<char>(value >> shift);
  return p;
}

char* PutCounts(char* p, const ImageCounts& counts, uint32_t version) {
  p = PutVarint(p, counts.queues);
  p = PutVarint(p, counts.jobs);
  p = PutVarint(p, counts.keys);
  p = PutVarint(p, counts.api_keys);
  return version > 3 ? PutVarint(p, counts.requests) : p;
}

ImageCounts ReadCounts(ByteReader& reader, uint32_t version) {
  ImageCounts counts;
  counts.queues = reader.Varint();
  counts.jobs = reader.Varint();
  counts.keys = reader.Varint();
  if (version > 2) counts.api_keys = reader.Varint();
  if (version > 3) counts.requests = reader.Varint();
  return counts;
}

constexpr uint8_t kPausedBit = 1;
constexpr uint8_t kRefusesEnqueuesBit = 2;
// In the byte of a job's token_end, since version 4.
constexpr uint8_t kOfRequestBit = 0x80;

char* PutSettings(char* p, const QueueSettings& settings) {
  const int bits =
      (settings.paused ? kPausedBit : 0) | (settings.refuses_enqueues ? kRefusesEnqueuesBit : 0);
  *p++ = static_cast<char>(bits);
  return p;
}

// False if such settings cannot exist.
bool ReadSettings(ByteReader& reader, QueueSettings* out) {
  const uint8_t bits = reader.Byte();
  out->paused = (bits & kPausedBit) != 0;
  out->refuses_enqueues = (bits & kRefusesEnqueuesBit) != 0;
  return bits <= (kPausedBit | kRefusesEnqueuesBit) && (out->paused || !out->refuses_enqueues);
}

bool AtEnd(const ByteReader& reader) { return reader.ok() && reader.remaining() == 0; }

// A time of the log, or a failed read.
int64_t ReadTime(ByteReader& reader, bool* in_range) {
  const uint64_t value = reader.Varint();
  if (value > static_cast<uint64_t>(kTimeMsMax)) {
    *in_range = false;
    return 0;
  }
  return static_cast<int64_t>(value);
}

}  // namespace

void AppendHeader(const ImageHeader& header, std::string* out) {
  out->append(kImageMagic);
  const uint32_t version = header.version();
  AppendFrame(FrameKind::kHeader, (12 + kTotals) * kVarintBytesMax, out, [&](char* p) {
    p = PutVarint(p, version);
    p = PutVarint(p, header.applied);
    p = PutVarint(p, static_cast<uint64_t>(header.time_ms));
    p = PutVarint(p, header.next_sequence);
    p = PutFixed64(p, header.digest);
    p = PutCounts(p, header.counts, version);
    if (version < 4) return p;
    p = PutVarint(p, header.level);
    p = PutVarint(p, header.forgotten_queues);
    for (const uint64_t value : header.forgotten.values()) p = PutVarint(p, value);
    return p;
  });
}

bool ParseHeader(std::string_view body, uint32_t* version, ImageHeader* out) {
  ByteReader reader(body);
  bool in_range = true;
  *version = reader.Varint32();
  out->applied = reader.Varint();
  out->time_ms = ReadTime(reader, &in_range);
  out->next_sequence = reader.Varint();
  out->digest = reader.Fixed64();
  out->counts = ReadCounts(reader, *version);
  if (*version > 3) {
    out->level = reader.Varint32();
    out->forgotten_queues = reader.Varint();
    for (uint64_t& value : out->forgotten.values()) value = reader.Varint();
  }
  return AtEnd(reader) && in_range;
}

void AppendQueue(uint32_t number, const QueueRecord& queue, uint32_t version, std::string* out) {
  AppendFrame(FrameKind::kQueue, 1 + (3 + kTotals) * kVarintBytesMax + queue.name.size(), out,
              [&](char* p) {
                p = PutVarint(p, number);
                p = PutString(p, queue.name);
                for (const uint64_t value : queue.totals.values()) p = PutVarint(p, value);
                p = PutSettings(p, queue.settings);
                if (version < 4) return p;
                return PutVarint(p, static_cast<uint64_t>(queue.idle_since_ms));
              });
}

bool ParseQueue(std::string_view body, uint32_t version, ImageQueue* out) {
  ByteReader reader(body);
  out->number = reader.Varint32();
  out->name = reader.String();
  for (uint64_t& value : out->totals.values()) value = reader.Varint();
  if (version > 1 && !ReadSettings(reader, &out->settings)) return false;
  bool in_range = true;
  if (version > 3) out->idle_since_ms = ReadTime(reader, &in_range);
  return AtEnd(reader) && in_range;
}

void AppendJob(const StoredJob& job, uint32_t queue, std::string_view type, std::string* out) {
  const std::string_view error = job.outcome.error();
  const std::string_view result = job.outcome.result();
  const size_t size_max =
      17 * kVarintBytesMax + type.size() + error.size() + result.size() + job.spec_size;
  AppendFrame(FrameKind::kJob, size_max, out, [&](char* p) {
    p = PutVarint(p, queue);
    *p++ = static_cast<char>(job.state);
    *p++ = static_cast<char>(job.dead_reason);
    *p++ = static_cast<char>(static_cast<uint8_t>(job.token_end) |
                             (job.of_request ? kOfRequestBit : 0));
    *p++ = static_cast<char>(job.priority);
    p = PutVarint(p, job.sequence);
    p = PutVarint(p, static_cast<uint64_t>(job.create_ms));
    p = PutVarint(p, static_cast<uint64_t>(job.run_ms));
    p = PutVarint(p, static_cast<uint64_t>(job.expire_ms));
    p = PutVarint(p, static_cast<uint64_t>(job.since_ms));
    p = PutVarint(p, job.last_token.term);
    p = PutVarint(p, job.last_token.sequence);
    p = PutVarint(p, job.failed);
    p = PutVarint(p, job.expired);
    p = PutVarint(p, job.delivered);
    p = PutString(p, type);
    p = PutString(p, error);
    p = PutString(p, result);
    return PutBytes(p, job.spec_view());
  });
  const std::string_view attempts = job.outcome.attempts();
  if (attempts.empty()) return;
  AppendFrame(FrameKind::kAttempts, kVarintBytesMax + attempts.size(), out,
              [&](char* p) { return PutBytes(PutVarint(p, job.sequence), attempts); });
}

bool ParseAttemptsFrame(std::string_view body, ImageAttempts* out) {
  ByteReader reader(body);
  out->sequence = reader.Varint();
  out->attempts = reader.Bytes(reader.remaining());
  return reader.ok() && !out->attempts.empty();
}

bool ParseJob(std::string_view body, uint32_t version, ImageJob* out) {
  ByteReader reader(body);
  bool in_range = true;
  out->queue = reader.Varint32();
  out->state = reader.Byte();
  out->dead_reason = reader.Byte();
  out->token_end = reader.Byte();
  if (version > 3) {
    out->of_request = (out->token_end & kOfRequestBit) != 0;
    out->token_end &= static_cast<uint8_t>(~kOfRequestBit);
  }
  out->priority = reader.Byte();
  out->sequence = reader.Varint();
  out->create_ms = ReadTime(reader, &in_range);
  out->run_ms = ReadTime(reader, &in_range);
  out->expire_ms = ReadTime(reader, &in_range);
  out->since_ms = ReadTime(reader, &in_range);
  out->last_token.term = reader.Varint();
  out->last_token.sequence = reader.Varint();
  out->failed = reader.Varint32();
  out->expired = reader.Varint32();
  out->delivered = reader.Varint32();
  out->type = reader.String();
  out->error = reader.String();
  out->result = reader.String();
  out->spec = reader.Bytes(reader.remaining());
  return reader.ok() && in_range;
}

void AppendKey(const IdempotencyTable::Entry& entry, uint32_t queue_number, uint32_t version,
               std::string* out) {
  const size_t size_max = 7 * kVarintBytesMax + entry.key_size + entry.id_size + entry.queue_size;
  AppendFrame(FrameKind::kKey, size_max, out, [&](char* p) {
    p = version < 4 ? PutVarint(p, queue_number) : PutString(p, entry.queue());
    p = PutVarint(p, entry.sequence);
    p = PutVarint(p, static_cast<uint64_t>(entry.end_ms));
    p = PutFixed64(p, entry.identity);
    p = PutString(p, entry.key());
    return PutString(p, entry.job_id());
  });
}

bool ParseKey(std::string_view body, uint32_t version, ImageKey* out) {
  ByteReader reader(body);
  bool in_range = true;
  if (version < 4) {
    out->queue_number = reader.Varint32();
  } else {
    out->queue_name = reader.String();
  }
  out->sequence = reader.Varint();
  out->end_ms = ReadTime(reader, &in_range);
  out->identity = reader.Fixed64();
  out->key = reader.String();
  out->job_id = reader.String();
  return AtEnd(reader) && in_range;
}

void AppendRequest(const RequestTable::Entry& entry, std::string* out) {
  AppendFrame(FrameKind::kRequest, 5 * kVarintBytesMax, out, [&](char* p) {
    p = PutFixed64(p, entry.key.high);
    p = PutFixed64(p, entry.key.low);
    p = PutFixed64(p, entry.identity);
    p = PutVarint(p, entry.sequence);
    return PutVarint(p, static_cast<uint64_t>(entry.end_ms));
  });
}

bool ParseRequest(std::string_view body, RequestTable::Entry* out) {
  ByteReader reader(body);
  bool in_range = true;
  out->key.high = reader.Fixed64();
  out->key.low = reader.Fixed64();
  out->identity = reader.Fixed64();
  out->sequence = reader.Varint();
  out->end_ms = ReadTime(reader, &in_range);
  return AtEnd(reader) && in_range;
}

void AppendApiKey(const KeyRecord& key, std::string* out) {
  size_t size_max = key.digest.size() + 9 * kVarintBytesMax + key.id.size() + key.name.size() +
                    key.owner_id.size();
  for (const std::string& queue : key.queues) size_max += kVarintBytesMax + queue.size();
  AppendFrame(FrameKind::kApiKey, size_max, out, [&](char* p) {
    p = PutString(p, key.id);
    p = std::copy(key.digest.begin(), key.digest.end(), p);
    p = PutString(p, key.name);
    p = PutString(p, key.owner_id);
    p = PutVarint(p, static_cast<uint64_t>(key.type));
    p = PutVarint(p, key.scopes);
    p = PutVarint(p, static_cast<uint64_t>(key.create_time_ms));
    p = PutVarint(p, static_cast<uint64_t>(key.revoke_time_ms));
    p = PutVarint(p, static_cast<uint64_t>(key.last_use_time_ms));
    p = PutVarint(p, key.queues.size());
    for (const std::string& queue : key.queues) p = PutString(p, queue);
    return p;
  });
}

bool ParseApiKey(std::string_view body, KeyRecord* out) {
  ByteReader reader(body);
  bool in_range = true;
  out->id = std::string(reader.String());
  const std::string_view digest = reader.Bytes(out->digest.size());
  std::copy(digest.begin(), digest.end(), out->digest.begin());
  out->name = std::string(reader.String());
  out->owner_id = std::string(reader.String());
  const uint32_t type = reader.Varint32();
  if (type > static_cast<uint32_t>(v1::KeyType_MAX)) return false;
  out->type = static_cast<v1::KeyType>(type);
  out->scopes = reader.Varint32();
  out->create_time_ms = ReadTime(reader, &in_range);
  out->revoke_time_ms = ReadTime(reader, &in_range);
  out->last_use_time_ms = ReadTime(reader, &in_range);
  const uint64_t queues = reader.Varint();
  if (queues > kKeyQueuesMax) return false;
  for (uint64_t i = 0; i < queues; ++i) out->queues.emplace_back(reader.String());
  return AtEnd(reader) && in_range;
}

void AppendEnd(const ImageCounts& counts, uint32_t version, std::string* out) {
  AppendFrame(FrameKind::kEnd, 5 * kVarintBytesMax, out,
              [&](char* p) { return PutCounts(p, counts, version); });
}

bool ParseEnd(std::string_view body, uint32_t version, ImageCounts* out) {
  ByteReader reader(body);
  *out = ReadCounts(reader, version);
  return AtEnd(reader);
}

}  // namespace dqueue::queue
