// For tests: a CA and certificates of servers on loopback, generated when needed.
#pragma once

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <chrono>
#include <memory>
#include <string>

namespace dqueue::client {

struct TestCertificate {
  std::string certificate;  // PEM
  std::string key;          // PEM
};

namespace test_certificates {

using BioPtr = std::unique_ptr<BIO, decltype(&BIO_free_all)>;
using KeyPtr = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using CertificatePtr = std::unique_ptr<X509, decltype(&X509_free)>;

inline std::string Text(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return std::string(data, static_cast<size_t>(size));
}

inline void AddExtension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

inline KeyPtr ReadKey(const std::string& pem) {
  const BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), BIO_free_all);
  return {PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr), EVP_PKEY_free};
}

inline CertificatePtr ReadCertificate(const std::string& pem) {
  const BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), BIO_free_all);
  return {PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr), X509_free};
}

}  // namespace test_certificates

// A certificate for `name` and 127.0.0.1 that `issuer` has signed, or a CA if that is null. It ends
// `ends_in` from now.
inline TestCertificate MakeTestCertificate(const std::string& name, const TestCertificate* issuer,
                                           std::chrono::seconds ends_in = std::chrono::hours(1)) {
  using namespace test_certificates;
  static long serial = 1;
  const KeyPtr key(EVP_EC_gen("P-256"), EVP_PKEY_free);
  const CertificatePtr made(X509_new(), X509_free);
  X509_set_version(made.get(), 2);
  ASN1_INTEGER_set(X509_get_serialNumber(made.get()), ++serial);
  X509_gmtime_adj(X509_getm_notBefore(made.get()), -24 * 3600);
  X509_gmtime_adj(X509_getm_notAfter(made.get()), static_cast<long>(ends_in.count()));
  X509_set_pubkey(made.get(), key.get());
  X509_NAME_add_entry_by_txt(X509_get_subject_name(made.get()), "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  if (issuer == nullptr) {
    X509_set_issuer_name(made.get(), X509_get_subject_name(made.get()));
    AddExtension(made.get(), made.get(), NID_basic_constraints, "critical,CA:TRUE");
    X509_sign(made.get(), key.get(), EVP_sha256());
  } else {
    const CertificatePtr ca = ReadCertificate(issuer->certificate);
    X509_set_issuer_name(made.get(), X509_get_subject_name(ca.get()));
    AddExtension(made.get(), ca.get(), NID_subject_alt_name, "DNS:" + name + ",IP:127.0.0.1");
    X509_sign(made.get(), ReadKey(issuer->key).get(), EVP_sha256());
  }
  const BioPtr certificate(BIO_new(BIO_s_mem()), BIO_free_all);
  PEM_write_bio_X509(certificate.get(), made.get());
  const BioPtr secret(BIO_new(BIO_s_mem()), BIO_free_all);
  PEM_write_bio_PrivateKey(secret.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  return {Text(certificate.get()), Text(secret.get())};
}

}  // namespace dqueue::client
