// For tests: certificates, generated when needed.
#pragma once

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "transport/listeners/tls.h"

namespace dqueue::transport {

struct TestCertificate {
  std::string cert;  // PEM
  std::string key;   // PEM
};

struct TestCertificateOptions {
  std::string names = "DNS:localhost,IP:127.0.0.1";  // as subjectAltName has them; empty: none
  std::string usage{};                               // extendedKeyUsage; empty: any
  long begins_in_s = -3600;
  long ends_in_s = 3600;
  bool ca = false;
};

// A certificate authority.
class TestCa {
 public:
  explicit TestCa(const std::string& name = "test CA")
      : key_(EVP_EC_gen("P-256"), EVP_PKEY_free), name_(name) {
    cert_ = Make(key_.get(), name_, {.names = "", .ca = true});
  }

  std::string cert() const { return CertificatePem(cert_.get()); }
  TestCertificate Issue(const TestCertificateOptions& options = {}) const {
    const KeyPtr key(EVP_EC_gen("P-256"), EVP_PKEY_free);
    return IssueFor(key.get(), options);
  }
  TestCertificate IssueFor(EVP_PKEY* key, const TestCertificateOptions& options) const {
    return {CertificatePem(Make(key, "a node", options).get()), KeyPem(key)};
  }
  // A certificate of the node `name`, on loopback.
  TestCertificate IssueNode(const std::string& name) const {
    return Issue({.names = "DNS:" + name + ",DNS:localhost,IP:127.0.0.1"});
  }

  static std::string KeyPem(EVP_PKEY* key, const char* password = nullptr) {
    const BioPtr bio(BIO_new(BIO_s_mem()), BIO_free_all);
    PEM_write_bio_PrivateKey(bio.get(), key, password == nullptr ? nullptr : EVP_aes_128_cbc(),
                             nullptr, 0, nullptr, const_cast<char*>(password));
    return Text(bio.get());
  }
  static std::string EncryptedKey() {
    const KeyPtr key(EVP_EC_gen("P-256"), EVP_PKEY_free);
    return KeyPem(key.get(), "secret");
  }

 private:
  using BioPtr = std::unique_ptr<BIO, void (*)(BIO*)>;
  using KeyPtr = std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)>;
  using CertificatePtr = std::unique_ptr<X509, void (*)(X509*)>;

  static std::string Text(BIO* bio) {
    char* data = nullptr;
    const long size = BIO_get_mem_data(bio, &data);
    return std::string(data, static_cast<size_t>(size));
  }
  static std::string CertificatePem(X509* certificate) {
    const BioPtr bio(BIO_new(BIO_s_mem()), BIO_free_all);
    PEM_write_bio_X509(bio.get(), certificate);
    return Text(bio.get());
  }
  static void AddExtension(X509* certificate, X509* issuer, int nid, const std::string& value) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
    ASSERT_NE(extension, nullptr) << value;
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
  }

  CertificatePtr Make(EVP_PKEY* key, const std::string& common_name,
                      const TestCertificateOptions& options) const {
    static long serial = 1;
    CertificatePtr made(X509_new(), X509_free);
    X509_set_version(made.get(), 2);
    ASN1_INTEGER_set(X509_get_serialNumber(made.get()), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(made.get()), options.begins_in_s);
    X509_gmtime_adj(X509_getm_notAfter(made.get()), options.ends_in_s);
    X509_set_pubkey(made.get(), key);
    const auto set_name = [](X509_NAME* name, const std::string& text) {
      X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                                 reinterpret_cast<const unsigned char*>(text.c_str()), -1, -1, 0);
    };
    set_name(X509_get_subject_name(made.get()), common_name);
    X509* issuer = cert_ == nullptr ? made.get() : cert_.get();
    X509_set_issuer_name(made.get(), X509_get_subject_name(issuer));
    if (options.ca) {
      AddExtension(made.get(), issuer, NID_basic_constraints, "critical,CA:TRUE");
      AddExtension(made.get(), issuer, NID_key_usage, "critical,keyCertSign,cRLSign");
    }
    if (!options.names.empty()) {
      AddExtension(made.get(), issuer, NID_subject_alt_name, options.names);
    }
    if (!options.usage.empty()) {
      AddExtension(made.get(), issuer, NID_ext_key_usage, options.usage);
    }
    X509_sign(made.get(), key_.get(), EVP_sha256());
    return made;
  }

  const KeyPtr key_;
  const std::string name_;
  CertificatePtr cert_{nullptr, X509_free};
};

// A directory with files, removed at the end.
class TestFiles {
 public:
  TestFiles() : directory_(testing::TempDir() + "/dqueue-tls-XXXXXX") {
    EXPECT_NE(mkdtemp(directory_.data()), nullptr);
  }
  ~TestFiles() { std::filesystem::remove_all(directory_); }
  TestFiles(const TestFiles&) = delete;
  TestFiles& operator=(const TestFiles&) = delete;

  std::string path(const std::string& name) const { return directory_ + "/" + name; }
  // Replaces the file atomically. Returns its path.
  std::string Write(const std::string& name, const std::string& text, mode_t mode = 0600) const {
    const std::string fresh = path(name + ".new");
    std::ofstream(fresh, std::ios::binary) << text;
    EXPECT_EQ(chmod(fresh.c_str(), mode), 0);
    EXPECT_EQ(std::rename(fresh.c_str(), path(name).c_str()), 0);
    return path(name);
  }
  // The files that the node `name` needs.
  TlsFiles WriteNode(const TestCa& ca, const std::string& name) const {
    return WriteNode(ca, name, ca.IssueNode(name));
  }
  TlsFiles WriteNode(const TestCa& ca, const std::string& name,
                     const TestCertificate& certificate) const {
    return {.cert = Write(name + ".crt", certificate.cert),
            .key = Write(name + ".key", certificate.key),
            .ca = Write("ca.crt", ca.cert()),
            .node_name = name};
  }

 private:
  std::string directory_;
};

}  // namespace dqueue::transport
