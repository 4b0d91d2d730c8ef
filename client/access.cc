#include "client/access.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>
#include <utility>

namespace dqueue::client {
namespace {

constexpr char kSystemRoots[] = "/etc/ssl/certs/ca-certificates.crt";
constexpr size_t kKeyBytesMax = 4096;

// False: *problem has the reason.
bool ReadFile(const char* field, const std::string& path, std::string* text, Status* problem) {
  errno = 0;
  std::ifstream in(path, std::ios::binary);
  std::ostringstream bytes;
  if (in) bytes << in.rdbuf();
  *text = std::move(bytes).str();
  if (in && text->find("-----BEGIN ") != std::string::npos) return true;
  const std::string why = !in && errno != 0 ? std::strerror(errno) : "the file has no PEM block";
  *problem = {Code::kInvalidArgument, "BAD_OPTIONS", std::string(field) + " " + path + ": " + why};
  return false;
}

}  // namespace

Access Access::From(const ClientOptions& options) {
  Access access;
  const auto bad = [&](std::string message) {
    access.problem = {Code::kInvalidArgument, "BAD_OPTIONS", std::move(message)};
    return access;
  };
  const auto any = [&](const char* scheme) {
    return std::any_of(options.servers.begin(), options.servers.end(),
                       [&](const std::string& server) { return server.starts_with(scheme); });
  };
  access.tls = options.tls.has_value() || any("https://");
  if (access.tls && any("http://")) {
    return bad("a server with http:// requires plain text, but another option requires TLS");
  }
  if (!options.api_key.empty()) {
    const bool printable = std::all_of(options.api_key.begin(), options.api_key.end(),
                                       [](char c) { return c > 0x20 && c < 0x7f; });
    if (!printable || options.api_key.size() > kKeyBytesMax) {
      return bad("the API key must be 1 to " + std::to_string(kKeyBytesMax) +
                 " visible ASCII characters");
    }
    access.authorization = "Bearer " + options.api_key;
  }
  if (!access.tls) {
    access.credentials = grpc::InsecureChannelCredentials();
    return access;
  }
  const TlsOptions tls = options.tls.value_or(TlsOptions());
  if (tls.cert_file.empty() != tls.key_file.empty()) {
    return bad("tls.cert_file and tls.key_file must be set together");
  }
  grpc::SslCredentialsOptions ssl;
  const std::string roots = tls.ca_file.empty() ? kSystemRoots : tls.ca_file;
  if (!ReadFile("tls.ca_file", roots, &ssl.pem_root_certs, &access.problem)) return access;
  if (!tls.cert_file.empty() &&
      (!ReadFile("tls.cert_file", tls.cert_file, &ssl.pem_cert_chain, &access.problem) ||
       !ReadFile("tls.key_file", tls.key_file, &ssl.pem_private_key, &access.problem))) {
    return access;
  }
  access.server_name = tls.server_name;
  access.roots_pem = ssl.pem_root_certs;
  access.cert_pem = ssl.pem_cert_chain;
  access.key_pem = ssl.pem_private_key;
  access.credentials = grpc::SslCredentials(ssl);
  return access;
}

}  // namespace dqueue::client
