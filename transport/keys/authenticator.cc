#include "transport/keys/authenticator.h"

#include <spdlog/spdlog.h>

#include <utility>

#include "absl/strings/match.h"
#include "transport/keys/secret_key.h"
#include "transport/logging/escape.h"

namespace dqueue::transport {
namespace {

constexpr std::chrono::seconds kFailureWindow{10};
constexpr size_t kSourcesMax = 4096;

queue::Error KeyError(const char* reason, std::string message) {
  queue::Error error;
  error.code = absl::StatusCode::kUnauthenticated;
  error.reason = reason;
  error.message = std::move(message);
  return error;
}

// The key in "Bearer <key>"; empty: there is none.
std::string_view BearerOf(std::string_view authorization) {
  constexpr std::string_view kScheme = "bearer ";
  if (authorization.size() <= kScheme.size()) return "";
  const std::string_view scheme = authorization.substr(0, kScheme.size());
  if (!absl::EqualsIgnoreCase(absl::string_view(scheme.data(), scheme.size()),
                              absl::string_view(kScheme.data(), kScheme.size()))) {
    return "";
  }
  return authorization.substr(kScheme.size());
}

}  // namespace

bool SameRights(const Caller& a, const Caller& b) {
  const auto same_queues = [](const queue::QueueAccessPtr& x, const queue::QueueAccessPtr& y) {
    if (x == nullptr || y == nullptr) return x == y;
    return x->patterns() == y->patterns();
  };
  return a.key_id == b.key_id && a.owner_id == b.owner_id && a.scopes == b.scopes &&
         a.admin == b.admin && same_queues(a.access, b.access);
}

queue::Error ScopeMissingError(queue::Scope scope) {
  queue::Error error;
  error.code = absl::StatusCode::kPermissionDenied;
  error.reason = "SCOPE_MISSING";
  error.message = "the key has no right to " + std::string(queue::ScopeName(scope));
  error.metadata = {{"scope", std::string(queue::ScopeName(scope))}};
  return error;
}

Authenticator::Ruling Authenticator::Check(const Credentials& credentials, queue::Scope needed,
                                           Clock::time_point now) {
  Ruling ruling = Look(credentials, needed);
  if (!on_) return ruling;
  if (ruling.standing == Standing::kAllowed) {
    allowed_.fetch_add(1, std::memory_order_relaxed);
    const std::lock_guard lock(mutex_);
    used_.insert(ruling.caller.key_id);
    return ruling;
  }
  NoteFailure(credentials, now, &ruling);
  return ruling;
}

Authenticator::Ruling Authenticator::Look(const Credentials& credentials,
                                          queue::Scope needed) const {
  Ruling ruling;
  if (!on_) return ruling;
  ruling.standing = Standing::kRefused;
  const std::string_view text = BearerOf(credentials.authorization);
  if (text.empty()) {
    ruling.error = KeyError("KEY_MISSING",
                            "this node wants an API key: --api-key-file FILE of the programs, or "
                            "the header \"authorization: Bearer KEY\"");
    return ruling;
  }
  // One error for everything that is not a key: a caller must not learn which part was right.
  ruling.error = KeyError("KEY_INVALID", "there is no such API key");
  const std::optional<SecretKey> key = ParseSecretKey(text);
  if (!key) return ruling;
  std::shared_ptr<const KnownKeys> keys;
  {
    const std::lock_guard lock(mutex_);
    keys = known_;
  }
  static const Known kNoKey;
  const auto found = keys->find(key->id);
  const Known& known = found == keys->end() ? kNoKey : found->second;
  // Computed and compared for an unknown key, too, so that both take the same time.
  const bool same = SameDigest(DigestOfKey(text), known.digest);
  if (found == keys->end()) {
    ruling.standing = Standing::kUnknown;
    return ruling;
  }
  if (!same) return ruling;
  if (known.revoked) {
    ruling.error = KeyError("KEY_REVOKED", "the API key " + key->id + " is revoked");
    return ruling;
  }
  if ((known.caller.scopes & queue::ScopeBit(needed)) != queue::ScopeBit(needed)) {
    ruling.error = ScopeMissingError(needed);
    return ruling;
  }
  ruling.standing = Standing::kAllowed;
  ruling.caller = known.caller;
  return ruling;
}

void Authenticator::NoteFailure(const Credentials& credentials, Clock::time_point now,
                                Ruling* ruling) {
  bool log = false;
  {
    const std::lock_guard lock(mutex_);
    if (failures_.size() >= kSourcesMax && !failures_.contains(credentials.source)) {
      std::erase_if(failures_,
                    [now](const auto& entry) { return now - entry.second.since > kFailureWindow; });
      // Still full: a flood from many addresses. Forget them all rather than grow.
      if (failures_.size() >= kSourcesMax) failures_.clear();
    }
    Failures& failures = failures_[credentials.source];
    if (now - failures.since > kFailureWindow) failures = Failures{.since = now};
    if (ruling->standing == Standing::kUnknown && ++failures.unknown > kUnknownPerSource) {
      ruling->standing = Standing::kRefused;
    }
    log = ruling->standing == Standing::kRefused && !std::exchange(failures.logged, true);
  }
  if (ruling->standing != Standing::kRefused) return;
  refused_.fetch_add(1, std::memory_order_relaxed);
  if (log) {
    spdlog::warn(
        "audit: refused a call from {}: {} (further ones of this caller are not logged "
        "for ten seconds)",
        EscapeText(credentials.source), ruling->error.reason);
  }
}

bool Authenticator::SetKeys(const queue::KeyTable& keys) {
  auto known = std::make_shared<KnownKeys>();
  for (const auto& [id, record] : keys) {
    Known& entry = (*known)[id];
    entry.digest = record.digest;
    entry.revoked = record.revoked();
    entry.caller = {.key_id = id,
                    .owner_id = record.owner_id,
                    .scopes = record.scopes,
                    .access = nullptr,
                    .admin = record.type == v1::KEY_TYPE_ADMIN};
    if (!record.queues.empty()) {
      entry.caller.access = std::make_shared<const queue::QueueAccess>(record.queues);
    }
  }
  bool lost = false;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [id, old] : *known_) {
      if (old.revoked) continue;
      const auto now = known->find(id);
      lost = lost || now == known->end() || now->second.revoked ||
             now->second.digest != old.digest || !SameRights(now->second.caller, old.caller);
    }
    known_ = std::move(known);
  }
  if (lost) losses_.fetch_add(1, std::memory_order_release);
  return lost;
}

std::optional<queue::Error> Authenticator::LostRights(const Credentials& credentials,
                                                      queue::Scope needed,
                                                      const Caller* began) const {
  if (!on_) return std::nullopt;
  Ruling ruling = Look(credentials, needed);
  if (began == nullptr) {
    // The leader judges a key that this node does not know.
    if (ruling.standing != Standing::kRefused) return std::nullopt;
    return std::move(ruling.error);
  }
  if (ruling.standing != Standing::kAllowed) return std::move(ruling.error);
  if (SameRights(ruling.caller, *began)) return std::nullopt;
  queue::Error error;
  error.code = absl::StatusCode::kUnavailable;
  error.reason = "KEY_CHANGED";
  error.message = "the rights of the API key changed while the call ran; repeat the call";
  return error;
}

std::vector<std::string> Authenticator::TakeUses() {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> uses(used_.begin(), used_.end());
  used_.clear();
  return uses;
}

Authenticator::Counts Authenticator::counts() const {
  return {allowed_.load(std::memory_order_relaxed), refused_.load(std::memory_order_relaxed)};
}

size_t Authenticator::sources() const {
  const std::lock_guard lock(mutex_);
  return failures_.size();
}

}  // namespace dqueue::transport
