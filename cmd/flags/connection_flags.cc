#include "cmd/flags/connection_flags.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/ascii.h"
#include "transport/keys/secret_file.h"

namespace dqueue::cmd {
namespace {

absl::Status Bad(const std::string& message) { return absl::InvalidArgumentError(message); }

}  // namespace

absl::Status ReadKeyFile(const std::string& flag, const std::string& path, std::string* key) {
  const std::string name = flag + " " + Quoted(path) + ": ";
  absl::StatusOr<std::string> text = transport::ReadSecretFile(path, {.pipes = true});
  if (!text.ok()) return Bad(name + std::string(text.status().message()));
  *key = std::string(absl::StripTrailingAsciiWhitespace(*text));
  if (key->empty()) return Bad(name + "is empty");
  return absl::OkStatus();
}

void AddConnectionFlags(ConnectionFlags* flags, const std::string& help, FlagTable* table) {
  table->List("server", &flags->servers, "HOST:PORT,…", help).OlderEnv("DQUEUE_ENDPOINT");
  table->Bool("tls", &flags->tls, "use TLS; https://HOST:PORT, --ca and --cert imply it");
  table->Text("ca", &flags->ca, "FILE", "CA of the servers' certificates; none: the system's CAs");
  table->Text("cert", &flags->cert, "FILE", "client certificate to show to servers");
  table->Text("key", &flags->key, "FILE", "private key of --cert");
  table->Text("server-name", &flags->server_name, "NAME",
              "name required in servers' certificates; none: the host of --server");
  table->Text("api-key-file", &flags->api_key_file, "FILE",
              "file with the API key; only its owner may have access to it");
  table
      ->Text("api-key", &flags->api_key, "KEY",
             "API key; other users of this machine can see it in ps, so prefer the file or the "
             "variable")
      .OlderEnv("DQUEUE_TOKEN")
      .Secret();
  table->AddVariables();
}

absl::Status Connect(const ConnectionFlags& flags, client::ClientOptions* options) {
  setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  if (absl::Status status = CheckServers(flags.servers); !status.ok()) {
    return Bad("--server: " + std::string(status.message()));
  }
  const auto first = [&](const char* scheme) {
    const auto it =
        std::find_if(flags.servers.begin(), flags.servers.end(),
                     [&](const std::string& server) { return server.starts_with(scheme); });
    return it == flags.servers.end() ? "" : *it;
  };
  const std::string secure = first("https://");
  const std::string plain = first("http://");
  std::string asks = secure;
  for (const auto& [name, given] :
       {std::pair{"--tls", flags.tls}, std::pair{"--ca", !flags.ca.empty()},
        std::pair{"--cert", !flags.cert.empty()}, std::pair{"--key", !flags.key.empty()},
        std::pair{"--server-name", !flags.server_name.empty()}}) {
    if (asks.empty() && given) asks = name;
  }
  if (!plain.empty() && !asks.empty()) {
    return Bad("--server: " + Quoted(plain) + " asks for plain text, and " + asks + " for TLS");
  }
  if (flags.cert.empty() != flags.key.empty()) {
    return Bad(flags.cert.empty() ? "--key needs --cert" : "--cert needs --key");
  }
  for (const auto& [name, file] : {std::pair{"--ca", flags.ca}, std::pair{"--cert", flags.cert},
                                   std::pair{"--key", flags.key}}) {
    if (!file.empty() && access(file.c_str(), R_OK) != 0) {
      return Bad(std::string(name) + " " + Quoted(file) + ": " + std::strerror(errno));
    }
  }
  options->servers = flags.servers;
  if (!asks.empty()) {
    options->tls = client::TlsOptions{.ca_file = flags.ca,
                                      .cert_file = flags.cert,
                                      .key_file = flags.key,
                                      .server_name = flags.server_name};
  }
  if (!flags.api_key_file.empty() && !flags.api_key.empty()) {
    return Bad("--api-key-file and --api-key are both given; one is enough");
  }
  options->api_key = flags.api_key;
  if (!flags.api_key_file.empty()) {
    return ReadKeyFile("--api-key-file", flags.api_key_file, &options->api_key);
  }
  return absl::OkStatus();
}

std::string Advice(const client::Status& status) {
  struct Row {
    const char* reason;
    const char* advice;
  };
  static constexpr Row kRows[] = {
      {"NAME_NOT_RESOLVED", "--server has the addresses of the nodes"},
      {"CONNECTION_REFUSED",
       "--server has the addresses of the nodes (their --grpc-addr or --client-addr); is a node "
       "running there?"},
      {"CONNECTION_FAILED", "--server has the addresses of the nodes"},
      {"CONNECTION_TIMEOUT", "--server has the addresses of the nodes"},
      {"CONNECTION_CLOSED", "--server has the addresses of the nodes"},
      {"SERVER_SILENT", "--server has the addresses of the nodes; is it another program's?"},
      {"NOT_GRPC", "--server wants the address of --grpc-addr or --client-addr of the nodes"},
      {"TLS_REQUIRED", "--tls turns TLS on, and --ca names the CA"},
      {"TLS_NOT_SPOKEN", "leave out --tls, --ca, --cert and https://"},
      {"TLS_CERTIFICATE", "--ca names the CA, --server-name the name in the certificate"},
      {"TLS_CLIENT_CERTIFICATE", "--cert and --key have the certificate of this client"},
      {"TLS_FAILED", "see --ca, --server-name, --cert and --key"},
      {"KEY_MISSING", "--api-key-file names the file with the API key"},
      {"KEY_INVALID", "--api-key-file names the file with the API key"},
      {"KEY_REVOKED", "--api-key-file names the file with the API key"},
      {"SCOPE_MISSING",
       "--api-key-file names the file with the API key; dqueue-cli key create makes keys"},
      {"QUEUE_DENIED", "see --queue, or use another key with --api-key-file"},
      {"NO_SERVERS", "--server has the addresses of the nodes"},
  };
  for (const Row& row : kRows) {
    if (status.reason == row.reason) return std::string("; ") + row.advice;
  }
  return "";
}

}  // namespace dqueue::cmd
