#include "transport/listeners/tls_credentials.h"

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_certificate_verifier.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <algorithm>
#include <utility>

#include "transport/logging/escape.h"

namespace dqueue::transport {
namespace {

namespace tls = grpc::experimental;

// Takes the store's current set at each handshake. Only gRPC's C API allows that; its C++ API reads
// the files itself and accepts a set that is replaced by half.
class StoreServerCredentials final : public grpc::ServerCredentials {
 public:
  StoreServerCredentials(std::shared_ptr<TlsStore> store, bool ask_for_certificates)
      : store_(std::move(store)),
        ask_(ask_for_certificates),
        credentials_(grpc_ssl_server_credentials_create_with_options(
            grpc_ssl_server_credentials_create_options_using_config_fetcher(
                ask_ ? GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY
                     : GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE,
                &StoreServerCredentials::Fetch, this))) {}
  // Outlives the server that uses them: ServerBuilder and Server hold a reference.
  ~StoreServerCredentials() override { grpc_server_credentials_release(credentials_); }

  void SetAuthMetadataProcessor(const std::shared_ptr<grpc::AuthMetadataProcessor>&) override {}

 private:
  int AddPortToServer(const std::string& address, grpc_server* server) override {
    return grpc_server_add_http2_port(server, address.c_str(), credentials_);
  }

  // gRPC calls this under a lock of the port.
  static grpc_ssl_certificate_config_reload_status Fetch(
      void* self, grpc_ssl_server_certificate_config** config) {
    return static_cast<StoreServerCredentials*>(self)->FetchIfNew(config);
  }
  grpc_ssl_certificate_config_reload_status FetchIfNew(grpc_ssl_server_certificate_config** out) {
    const std::shared_ptr<const TlsMaterial> now = store_->current();
    if (now == fetched_) return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
    const grpc_ssl_pem_key_cert_pair pair{now->key.c_str(), now->cert.c_str()};
    // gRPC demands roots even if it asks for no certificates; then it does not use them.
    const std::string& roots = ask_ ? now->ca : now->cert;
    *out = grpc_ssl_server_certificate_config_create(roots.c_str(), &pair, 1);
    fetched_ = now;
    return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
  }

  const std::shared_ptr<TlsStore> store_;
  const bool ask_;
  grpc_server_credentials* const credentials_;
  std::shared_ptr<const TlsMaterial> fetched_;
};

// Checks the name. gRPC has verified the chain.
class MemberVerifier final : public tls::ExternalCertificateVerifier {
 public:
  explicit MemberVerifier(std::string member) : member_(std::move(member)) {}

  bool Verify(tls::TlsCustomVerificationCheckRequest* request, std::function<void(grpc::Status)>,
              grpc::Status* status) override {
    std::string have;
    for (const grpc::string_ref& each : request->dns_names()) {
      const std::string name(each.data(), each.size());
      if (name == member_) return true;
      have += (have.empty() ? "" : ", ") + EscapeText(name);
    }
    *status = grpc::Status(grpc::StatusCode::UNAUTHENTICATED,
                           "the certificate does not name " + member_ + "; it has " +
                               (have.empty() ? "no DNS name" : have));
    return true;
  }
  void Cancel(tls::TlsCustomVerificationCheckRequest*) override {}

 private:
  const std::string member_;
};

}  // namespace

std::shared_ptr<grpc::ServerCredentials> TlsServerCredentials(std::shared_ptr<TlsStore> store,
                                                              bool ask_for_certificates) {
  return std::make_shared<StoreServerCredentials>(std::move(store), ask_for_certificates);
}

std::shared_ptr<grpc::ChannelCredentials> TlsMemberCredentials(const TlsStore& store,
                                                               const std::string& member) {
  const std::shared_ptr<const TlsMaterial> now = store.current();
  tls::TlsChannelCredentialsOptions options;
  options.set_certificate_provider(std::make_shared<tls::StaticDataCertificateProvider>(
      now->ca, std::vector<tls::IdentityKeyCertPair>{{now->key, now->cert}}));
  options.watch_root_certs();
  options.watch_identity_key_cert_pairs();
  options.set_certificate_verifier(
      tls::ExternalCertificateVerifier::Create<MemberVerifier>(member));
  // MemberVerifier checks the name: addresses change, and certificates need not contain them.
  options.set_check_call_host(false);
  return tls::TlsCredentials(options);
}

std::vector<std::string> CallerNames(const grpc::AuthContext& caller) {
  std::vector<std::string> names;
  for (const grpc::string_ref& name : caller.FindPropertyValues(GRPC_PEER_DNS_PROPERTY_NAME)) {
    names.emplace_back(name.data(), name.size());
  }
  return names;
}

}  // namespace dqueue::transport
