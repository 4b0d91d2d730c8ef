#include "storage/log/segment_chain.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "storage/files/file_window.h"

namespace dqueue::storage {
namespace {

void Mark(ChainLink& link, std::string problem, uint64_t offset, bool inconsistent) {
  link.problem = std::move(problem);
  link.problem_offset = offset;
  link.inconsistent = inconsistent;
  link.header.reset();
}

absl::Status ReadHeader(FileSystem& fs, ChainLink& link) {
  absl::StatusOr<std::unique_ptr<File>> file = fs.OpenForRead(link.path);
  if (!file.ok()) return file.status();
  link.segment = std::make_shared<Segment>();
  link.segment->path = link.path;
  link.segment->sequence = link.sequence;
  link.segment->reader = *std::move(file);
  absl::StatusOr<SegmentHeader> header = ReadSegmentHeader(*link.segment->reader);
  if (absl::IsFailedPrecondition(header.status())) {
    return absl::FailedPreconditionError(link.path +
                                         ":0: " + std::string(header.status().message()));
  }
  if (absl::IsDataLoss(header.status())) {
    Mark(link, std::string(header.status().message()), 0, false);
    return absl::OkStatus();
  }
  if (!header.ok()) return header.status();
  if (header->sequence != link.sequence) {
    Mark(link,
         "the file holds segment " + SegmentName(header->sequence) + ": it was copied or renamed",
         0, true);
    return absl::OkStatus();
  }
  if (header->segment_bytes != link.size) {
    Mark(link,
         "the file has " + std::to_string(link.size) + " bytes, its header says " +
             std::to_string(header->segment_bytes) + ": it was truncated or extended",
         std::min(link.size, header->segment_bytes), true);
    return absl::OkStatus();
  }
  link.segment->base_lsn = header->base_lsn;
  link.segment->salt = header->salt;
  link.header = *std::move(header);
  return absl::OkStatus();
}

void CheckIdentities(std::vector<ChainLink>& links, Identity* identity) {
  const ChainLink* first = nullptr;
  for (ChainLink& link : links) {
    if (!link.header) continue;
    if (first == nullptr) {
      first = &link;
      *identity = link.header->identity;
    } else if (link.header->identity != *identity) {
      Mark(link,
           "the segment belongs to another log than " + first->path + " (node \"" +
               link.header->identity.node_name + "\", not \"" + identity->node_name +
               "\", or another cluster or incarnation)",
           0, true);
    }
  }
}

}  // namespace

absl::StatusOr<SegmentHeader> ReadSegmentHeader(const File& file) {
  absl::StatusOr<uint64_t> size = file.Size();
  if (!size.ok()) return size.status();
  FileWindow window(file, std::min<uint64_t>(*size, kHeaderFixedBytes));
  absl::StatusOr<std::string_view> fixed = window.Get(0, kHeaderFixedBytes);
  if (!fixed.ok()) return fixed.status();
  absl::StatusOr<uint64_t> header_bytes = DecodeHeaderBytes(*fixed);
  if (!header_bytes.ok()) return header_bytes.status();
  FileWindow all(file, std::min(*size, *header_bytes));
  absl::StatusOr<std::string_view> bytes = all.Get(0, *header_bytes);
  if (!bytes.ok()) return bytes.status();
  return DecodeSegmentHeader(*bytes);
}

absl::StatusOr<SegmentChain> ReadSegmentChain(FileSystem& fs, const std::string& directory) {
  absl::StatusOr<std::vector<DirectoryEntry>> list = fs.List(directory);
  if (!list.ok()) return list.status();
  SegmentChain chain;
  std::vector<ChainLink> all;  // sorted by name, and so by sequence
  for (const DirectoryEntry& entry : *list) {
    const std::string path = JoinPath(directory, entry.name);
    const std::optional<uint64_t> sequence = ParseSegmentName(entry.name);
    if (!sequence) {
      if (entry.regular && IsLeftoverName(entry.name)) chain.leftover_paths.push_back(path);
      continue;
    }
    ChainLink& link = all.emplace_back();
    link.sequence = *sequence;
    link.path = path;
    link.size = entry.size;
    if (!entry.regular) {
      Mark(link, "not a regular file", 0, true);
    } else if (absl::Status s = ReadHeader(fs, link); !s.ok()) {
      return s;
    }
  }
  if (all.empty()) return absl::NotFoundError("no log in " + directory);
  CheckIdentities(all, &chain.identity);
  chain.next_sequence = all.back().sequence + 1;

  // Follow previous_sequence from the newest segment back.
  uint64_t wanted = all.back().sequence;
  for (auto link = all.rbegin(); link != all.rend(); ++link) {
    if (link->sequence > wanted) {
      chain.void_paths.push_back(link->path);
      continue;
    }
    if (link->sequence < wanted) {
      // Compaction removes the oldest segments first, so a gap means that a segment was lost.
      link->missing_after = JoinPath(directory, SegmentName(wanted));
    }
    wanted = link->header ? link->header->previous_sequence : link->sequence - 1;
    chain.links.push_back(std::move(*link));
  }
  std::reverse(chain.links.begin(), chain.links.end());
  DQ_CHECK(!chain.links.empty());
  return chain;
}

}  // namespace dqueue::storage
