#include <algorithm>
#include <set>

#include "base/check.h"
#include "storage/files/crc32c.h"
#include "storage/files/little_endian.h"
#include "storage/snapshots/snapshot_store.h"

namespace dqueue::storage {
namespace {

constexpr std::string_view kMagic = "dqsnapmf";
constexpr uint32_t kVersion = 1;
constexpr size_t kAtCrc = 8;  // covers all bytes after it
constexpr size_t kAtVersion = 12;
constexpr size_t kFixedBytes = 48;
constexpr size_t kMaxFiles = 65536;
constexpr size_t kMaxNameBytes = 64;
constexpr size_t kMaxConfigBytes = 1 << 20;
constexpr uint64_t kMaxFileBytes = uint64_t{1} << 40;

bool ValidName(std::string_view name) {
  const auto valid = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-';
  };
  return !name.empty() && name.size() <= kMaxNameBytes && name.front() != '.' &&
         std::all_of(name.begin(), name.end(), valid);
}

void AppendU32(std::string* out, uint32_t v) {
  char bytes[4];
  StoreU32(bytes, v);
  out->append(bytes, sizeof bytes);
}
void AppendU64(std::string* out, uint64_t v) {
  char bytes[8];
  StoreU64(bytes, v);
  out->append(bytes, sizeof bytes);
}

absl::Status Bad(const std::string& reason) { return absl::DataLossError("manifest: " + reason); }

}  // namespace

uint64_t Manifest::TotalBytes() const {
  uint64_t total = 0;
  for (const SnapshotFile& file : files) total += file.size;
  return total;
}

std::string ManifestProblem(const Manifest& manifest) {
  if (manifest.meta.index.value() == 0) return "index 0";
  if (manifest.meta.config.size() > kMaxConfigBytes) return "a configuration that is too long";
  if (manifest.files.size() > kMaxFiles) return "too many files";
  std::set<std::string_view> names;
  for (const SnapshotFile& file : manifest.files) {
    if (!ValidName(file.name)) return "an invalid file name";
    if (!names.insert(file.name).second) return "the file name " + file.name + " twice";
    if (file.size > kMaxFileBytes) return "an impossible size of " + file.name;
    if (file.size == 0 && file.crc32c != 0) return "a wrong checksum of the empty " + file.name;
  }
  return {};
}

std::string EncodeManifest(const Manifest& manifest) {
  const std::string problem = ManifestProblem(manifest);
  DQ_CHECK_MSG(problem.empty(), problem);
  std::string out(kMagic);
  AppendU32(&out, 0);
  AppendU32(&out, kVersion);
  AppendU64(&out, manifest.meta.index.value());
  AppendU64(&out, manifest.meta.term.value());
  AppendU64(&out, manifest.digest);
  AppendU32(&out, static_cast<uint32_t>(manifest.meta.config.size()));
  AppendU32(&out, static_cast<uint32_t>(manifest.files.size()));
  DQ_CHECK(out.size() == kFixedBytes);
  out += manifest.meta.config;
  for (const SnapshotFile& file : manifest.files) {
    AppendU64(&out, file.size);
    AppendU32(&out, file.crc32c);
    AppendU32(&out, static_cast<uint32_t>(file.name.size()));
    out += file.name;
  }
  StoreU32(out.data() + kAtCrc, Crc32c(std::string_view(out).substr(kAtVersion)));
  return out;
}

absl::StatusOr<Manifest> DecodeManifest(std::string_view bytes) {
  if (bytes.size() < kFixedBytes) return Bad("too short");
  if (bytes.substr(0, kMagic.size()) != kMagic) return Bad("wrong magic");
  const char* p = bytes.data();
  if (LoadU32(p + kAtCrc) != Crc32c(bytes.substr(kAtVersion))) return Bad("checksum mismatch");
  if (LoadU32(p + kAtVersion) != kVersion) {
    return Bad("version " + std::to_string(LoadU32(p + kAtVersion)) + " needs a newer dqueue");
  }
  Manifest out;
  out.meta.index = raft::Index(LoadU64(p + 16));
  out.meta.term = raft::Term(LoadU64(p + 24));
  out.digest = LoadU64(p + 32);
  const size_t config_bytes = LoadU32(p + 40);
  const size_t file_count = LoadU32(p + 44);
  std::string_view rest = bytes.substr(kFixedBytes);
  if (config_bytes > rest.size()) return Bad("it ends within the configuration");
  out.meta.config = std::string(rest.substr(0, config_bytes));
  rest.remove_prefix(config_bytes);
  for (size_t i = 0; i < file_count; ++i) {
    if (rest.size() < 16) return Bad("it ends within the files");
    SnapshotFile file;
    file.size = LoadU64(rest.data());
    file.crc32c = LoadU32(rest.data() + 8);
    const size_t name_bytes = LoadU32(rest.data() + 12);
    rest.remove_prefix(16);
    if (name_bytes > rest.size()) return Bad("it ends within a name");
    file.name = std::string(rest.substr(0, name_bytes));
    rest.remove_prefix(name_bytes);
    out.files.push_back(std::move(file));
  }
  if (!rest.empty()) return Bad("bytes after its end");
  if (std::string problem = ManifestProblem(out); !problem.empty()) return Bad(problem);
  return out;
}

}  // namespace dqueue::storage
