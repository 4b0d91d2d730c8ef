#include "transport/listeners/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <utility>

#include "transport/keys/secret_file.h"
#include "transport/logging/escape.h"

namespace dqueue::transport {
namespace {

using std::chrono::system_clock;

constexpr std::chrono::seconds kLookEvery{1};
constexpr std::chrono::hours kWarnBefore{14 * 24};
constexpr std::chrono::hours kWarnEvery{24};
constexpr size_t kFileBytesMax = 1 << 20;

template <auto Free>
struct Freer {
  template <class T>
  void operator()(T* thing) const {
    Free(thing);
  }
};
using Bio = std::unique_ptr<BIO, Freer<BIO_free_all>>;
using Certificate = std::unique_ptr<X509, Freer<X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Freer<EVP_PKEY_free>>;
using Context = std::unique_ptr<SSL_CTX, Freer<SSL_CTX_free>>;
using Store = std::unique_ptr<X509_STORE, Freer<X509_STORE_free>>;
using StoreContext = std::unique_ptr<X509_STORE_CTX, Freer<X509_STORE_CTX_free>>;
using Names = std::unique_ptr<GENERAL_NAMES, Freer<GENERAL_NAMES_free>>;
using Certificates = std::vector<Certificate>;

absl::Status Bad(const char* flag, const std::string& file, const std::string& problem) {
  return absl::InvalidArgumentError(std::string(flag) + " " + EscapeText(file) + ": " + problem);
}

// The last OpenSSL error of this thread. Clears the error queue.
std::string OpenSslProblem() {
  const unsigned long code = ERR_peek_last_error();
  ERR_clear_error();
  const char* reason = ERR_reason_error_string(code);
  return reason == nullptr ? "OpenSSL refuses it" : reason;
}

Bio MemoryOf(const std::string& pem) {
  return Bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
}

absl::StatusOr<Certificates> ParseCertificates(const char* flag, const std::string& path,
                                               const std::string& pem) {
  Certificates found;
  const Bio bio = MemoryOf(pem);
  while (Certificate next{PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)}) {
    found.push_back(std::move(next));
  }
  const bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  if (found.empty() && at_end) {
    ERR_clear_error();
    return Bad(flag, path, "there is no certificate in PEM (\"BEGIN CERTIFICATE\") in it");
  }
  if (!at_end) return Bad(flag, path, "a certificate in it is damaged: " + OpenSslProblem());
  ERR_clear_error();
  return found;
}

absl::StatusOr<Key> ParseKey(const char* flag, const std::string& path, const std::string& pem) {
  bool encrypted = false;
  const auto no_password = [](char*, int, int, void* asked) {
    *static_cast<bool*>(asked) = true;
    return -1;
  };
  Key key(PEM_read_bio_PrivateKey(MemoryOf(pem).get(), nullptr, no_password, &encrypted));
  if (key != nullptr) return key;
  if (encrypted) {
    ERR_clear_error();
    return Bad(flag, path,
               "the key is encrypted, and a node cannot ask for its password; decrypt it with "
               "openssl pkey");
  }
  const bool none = pem.find("PRIVATE KEY-----") == std::string::npos;
  const std::string problem = OpenSslProblem();
  return Bad(flag, path,
             none ? "there is no private key in PEM (\"BEGIN PRIVATE KEY\") in it"
                  : "the private key in it is damaged: " + problem);
}

std::time_t UnixTime(const ASN1_TIME* time) {
  std::tm parts{};
  return ASN1_TIME_to_tm(time, &parts) == 1 ? timegm(&parts) : 0;
}

std::string TimeText(std::time_t time) {
  std::tm parts{};
  gmtime_r(&time, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

std::vector<std::string> DnsNames(const X509* certificate) {
  std::vector<std::string> found;
  const Names names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; names != nullptr && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_DNS) continue;
    found.emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.dNSName)),
                       static_cast<size_t>(ASN1_STRING_length(name->d.dNSName)));
  }
  return found;
}

// Checks the validity period, the key, and use by a TLS server.
absl::Status CheckUse(const TlsFiles& files, const Certificates& chain, EVP_PKEY* key) {
  X509* leaf = chain.front().get();
  const std::time_t now = std::time(nullptr);
  const std::time_t begins = UnixTime(X509_get0_notBefore(leaf));
  const std::time_t ends = UnixTime(X509_get0_notAfter(leaf));
  if (now > ends) {
    return Bad("--tls-cert", files.cert, "the certificate has expired at " + TimeText(ends));
  }
  if (now < begins) {
    return Bad("--tls-cert", files.cert, "the certificate is not valid before " + TimeText(begins));
  }
  if (X509_check_private_key(leaf, key) != 1) {
    ERR_clear_error();
    return Bad("--tls-key", files.key,
               "the key does not fit the certificate of --tls-cert " + EscapeText(files.cert));
  }
  if (X509_check_purpose(leaf, X509_PURPOSE_SSL_SERVER, 0) != 1) {
    return Bad("--tls-cert", files.cert,
               "the certificate is not for servers (extendedKeyUsage serverAuth)");
  }
  const Context context(SSL_CTX_new(TLS_server_method()));
  bool usable = SSL_CTX_use_certificate(context.get(), leaf) == 1;
  for (size_t i = 1; usable && i < chain.size(); ++i) {
    usable = SSL_CTX_add1_chain_cert(context.get(), chain[i].get()) == 1;
  }
  if (!usable || SSL_CTX_use_PrivateKey(context.get(), key) != 1) {
    return Bad("--tls-cert", files.cert, "the certificate cannot be used: " + OpenSslProblem());
  }
  return absl::OkStatus();
}

// Checks what peers will check.
absl::Status CheckForPeers(const TlsFiles& files, const Certificates& chain,
                           const Certificates& ca) {
  X509* leaf = chain.front().get();
  const std::vector<std::string> names = DnsNames(leaf);
  if (std::find(names.begin(), names.end(), files.node_name) == names.end()) {
    std::string have;
    for (const std::string& name : names) have += (have.empty() ? "" : ", ") + EscapeText(name);
    return Bad("--tls-cert", files.cert,
               "the certificate does not name this node, \"" + files.node_name +
                   "\", in subjectAltName as DNS, where peers look for it; it has " +
                   (have.empty() ? "no DNS name" : have));
  }
  if (X509_check_purpose(leaf, X509_PURPOSE_SSL_CLIENT, 0) != 1) {
    return Bad("--tls-cert", files.cert,
               "the certificate is not for clients as well (extendedKeyUsage clientAuth), which "
               "this node is to its peers");
  }
  const Store store(X509_STORE_new());
  for (const Certificate& each : ca) X509_STORE_add_cert(store.get(), each.get());
  STACK_OF(X509)* between = sk_X509_new_null();
  for (size_t i = 1; i < chain.size(); ++i) sk_X509_push(between, chain[i].get());
  const StoreContext context(X509_STORE_CTX_new());
  X509_STORE_CTX_init(context.get(), store.get(), leaf, between);
  X509_STORE_CTX_set_purpose(context.get(), X509_PURPOSE_SSL_SERVER);
  const bool good = X509_verify_cert(context.get()) == 1;
  const int error = X509_STORE_CTX_get_error(context.get());
  sk_X509_free(between);
  ERR_clear_error();
  if (good) return absl::OkStatus();
  return Bad("--tls-cert", files.cert,
             "the certificate does not come from --tls-ca " + EscapeText(files.ca) + ": " +
                 X509_verify_cert_error_string(error));
}

// Identifies the content of the files by their metadata.
std::string Fingerprint(const TlsFiles& files) {
  std::string print;
  for (const std::string* path : {&files.cert, &files.key, &files.ca}) {
    if (path->empty()) continue;
    struct stat info {};
    if (stat(path->c_str(), &info) != 0) {
      print += "errno " + std::to_string(errno) + ";";
      continue;
    }
    for (const int64_t part :
         {int64_t(info.st_dev), int64_t(info.st_ino), int64_t(info.st_size), int64_t(info.st_mode),
          int64_t(info.st_mtim.tv_sec), int64_t(info.st_mtim.tv_nsec)}) {
      print += std::to_string(part) + ",";
    }
  }
  return print;
}

}  // namespace

absl::StatusOr<TlsMaterial> LoadTlsMaterial(const TlsFiles& files) {
  ERR_clear_error();
  TlsMaterial material;
  const auto load = [](const char* flag, const std::string& path, bool secret, std::string* out) {
    absl::StatusOr<std::string> pem =
        ReadSecretFile(path, {.bytes_max = kFileBytesMax, .secret = secret, .pipes = false});
    if (!pem.ok()) return Bad(flag, path, std::string(pem.status().message()));
    *out = *std::move(pem);
    return absl::OkStatus();
  };
  if (auto status = load("--tls-cert", files.cert, false, &material.cert); !status.ok()) {
    return status;
  }
  absl::StatusOr<Certificates> chain = ParseCertificates("--tls-cert", files.cert, material.cert);
  if (!chain.ok()) return chain.status();
  if (auto status = load("--tls-key", files.key, true, &material.key); !status.ok()) return status;
  const absl::StatusOr<Key> key = ParseKey("--tls-key", files.key, material.key);
  if (!key.ok()) return key.status();
  if (absl::Status status = CheckUse(files, *chain, key->get()); !status.ok()) {
    return status;
  }
  material.expires = system_clock::from_time_t(UnixTime(X509_get0_notAfter(chain->front().get())));
  if (files.ca.empty()) return material;
  if (auto status = load("--tls-ca", files.ca, false, &material.ca); !status.ok()) return status;
  const absl::StatusOr<Certificates> ca = ParseCertificates("--tls-ca", files.ca, material.ca);
  if (!ca.ok()) return ca.status();
  if (absl::Status status = CheckForPeers(files, *chain, *ca); !status.ok()) return status;
  return material;
}

absl::StatusOr<std::shared_ptr<TlsStore>> TlsStore::Open(const TlsFiles& files) {
  std::string seen = Fingerprint(files);
  absl::StatusOr<TlsMaterial> material = LoadTlsMaterial(files);
  if (!material.ok()) return material.status();
  return std::shared_ptr<TlsStore>(new TlsStore(files, *std::move(material), std::move(seen)));
}

TlsStore::TlsStore(TlsFiles files, TlsMaterial material, std::string seen)
    : files_(std::move(files)),
      current_(std::make_shared<const TlsMaterial>(std::move(material))),
      seen_(std::move(seen)) {
  WarnOfExpiry(current_->expires);
  thread_ = std::thread([this] { Watch(); });
}

TlsStore::~TlsStore() {
  {
    const std::lock_guard lock(stop_mutex_);
    stop_ = true;
  }
  stop_wake_.notify_all();
  thread_.join();
}

std::shared_ptr<const TlsMaterial> TlsStore::current() const {
  const std::lock_guard lock(mutex_);
  return current_;
}

uint64_t TlsStore::generation() const {
  const std::lock_guard lock(mutex_);
  return generation_;
}

void TlsStore::Watch() {
  std::unique_lock lock(stop_mutex_);
  while (!stop_wake_.wait_for(lock, kLookEvery, [this] { return stop_; })) {
    lock.unlock();
    Look();
    WarnOfExpiry(current()->expires);
    lock.lock();
  }
}

bool TlsStore::Look() {
  const std::lock_guard look_lock(look_mutex_);
  std::string print = Fingerprint(files_);
  if (print == seen_) return false;
  absl::StatusOr<TlsMaterial> material = LoadTlsMaterial(files_);
  // The files changed while they were read: the next check will see a complete set.
  if (Fingerprint(files_) != print) return false;
  seen_ = std::move(print);
  if (!material.ok()) {
    spdlog::error("the TLS files have changed and cannot be used, the old certificate stays: {}",
                  std::string(material.status().message()));
    return false;
  }
  spdlog::info("new TLS files are in use; the certificate expires at {}",
               TimeText(system_clock::to_time_t(material->expires)));
  const std::lock_guard lock(mutex_);
  current_ = std::make_shared<const TlsMaterial>(*std::move(material));
  ++generation_;
  return true;
}

void TlsStore::WarnOfExpiry(system_clock::time_point expires) {
  const system_clock::time_point now = system_clock::now();
  if (expires - now > kWarnBefore || now < warn_again_) return;
  warn_again_ = now + kWarnEvery;
  spdlog::warn("the certificate of --tls-cert {} {} at {}; renew it", EscapeText(files_.cert),
               expires > now ? "expires" : "has expired",
               TimeText(system_clock::to_time_t(expires)));
}

}  // namespace dqueue::transport
