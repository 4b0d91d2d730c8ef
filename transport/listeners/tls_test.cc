#include "transport/listeners/tls.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/rsa.h>

#include <functional>

#include "transport/testing/test_certificates.h"

namespace dqueue::transport {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::MatchesRegex;
using testing::StartsWith;

class TlsTest : public testing::Test {
 protected:
  const TestCa ca_;
  const TestFiles disk_;
};

TEST_F(TlsTest, AGoodSet) {
  const TestCertificate certificate = ca_.IssueNode("n1");
  const TlsFiles files = disk_.WriteNode(ca_, "n1", certificate);
  const absl::StatusOr<TlsMaterial> material = LoadTlsMaterial(files);
  ASSERT_TRUE(material.ok()) << material.status();
  EXPECT_EQ(material->cert, certificate.cert);
  EXPECT_EQ(material->key, certificate.key);
  EXPECT_EQ(material->ca, ca_.cert());
  EXPECT_GT(material->expires, std::chrono::system_clock::now());
}

TEST_F(TlsTest, WithoutPeersTheNameAndTheCaDoNotMatter) {
  TlsFiles files = disk_.WriteNode(ca_, "n1", ca_.Issue({.names = "", .usage = "serverAuth"}));
  files.ca.clear();
  EXPECT_TRUE(LoadTlsMaterial(files).ok()) << LoadTlsMaterial(files).status();
}

// Each problem by itself, in what is otherwise a good set.
TEST_F(TlsTest, BadSets) {
  const TestCertificate good = ca_.IssueNode("n1");
  const auto issue = [&](TestCertificateOptions options) {
    if (options.names == TestCertificateOptions().names) options.names = "DNS:n1";
    const TestCertificate made = ca_.Issue(options);
    disk_.Write("n1.crt", made.cert);
    disk_.Write("n1.key", made.key);
  };
  struct Case {
    std::function<void(TlsFiles*)> spoil;
    std::string flag;
    std::string problem;  // a regular expression; all that comes after the file's name
  };
  const Case cases[] = {
      {[&](TlsFiles* f) { f->cert += ".not"; }, "--tls-cert", "No such file or directory"},
      {[&](TlsFiles* f) { f->cert = disk_.path("."); }, "--tls-cert", "is not a file"},
      {[&](TlsFiles*) { disk_.Write("n1.crt", std::string((1 << 20) + 1, 'x')); }, "--tls-cert",
       "has 1048577 bytes, the limit is 1048576"},
      {[&](TlsFiles*) { disk_.Write("n1.crt", "garbage\n"); }, "--tls-cert",
       "there is no certificate in PEM \\(\"BEGIN CERTIFICATE\"\\) in it"},
      {[&](TlsFiles*) { disk_.Write("n1.crt", ""); }, "--tls-cert",
       "there is no certificate in PEM \\(\"BEGIN CERTIFICATE\"\\) in it"},
      {[&](TlsFiles*) { disk_.Write("n1.crt", good.key); }, "--tls-cert",
       "there is no certificate in PEM \\(\"BEGIN CERTIFICATE\"\\) in it"},
      {[&](TlsFiles*) { disk_.Write("n1.crt", good.cert.substr(0, good.cert.size() / 2)); },
       "--tls-cert", "a certificate in it is damaged: .*"},
      {[&](TlsFiles*) { issue({.begins_in_s = -7200, .ends_in_s = -3600}); }, "--tls-cert",
       "the certificate has expired at 20..-..-..T..:..:..Z"},
      {[&](TlsFiles*) { issue({.begins_in_s = 3600, .ends_in_s = 7200}); }, "--tls-cert",
       "the certificate is not valid before 20..-..-..T..:..:..Z"},
      {[&](TlsFiles*) { issue({.usage = "clientAuth"}); }, "--tls-cert",
       "the certificate is not for servers \\(extendedKeyUsage serverAuth\\)"},
      {[&](TlsFiles*) { issue({.usage = "serverAuth"}); }, "--tls-cert",
       "the certificate is not for clients as well \\(extendedKeyUsage clientAuth\\), which this "
       "node is to its peers"},
      {[&](TlsFiles*) { issue({.names = "DNS:n2,DNS:n11,DNS:*,IP:127.0.0.1"}); }, "--tls-cert",
       "the certificate does not name this node, \"n1\", in subjectAltName as DNS, where peers "
       "look "
       "for it; it has n2, n11, \\*"},
      {[&](TlsFiles*) { issue({.names = "URI:n1"}); }, "--tls-cert",
       "the certificate does not name this node, .*; it has no DNS name"},
      {[&](TlsFiles*) { issue({.names = ""}); }, "--tls-cert",
       "the certificate does not name this node, .*; it has no DNS name"},
      {[&](TlsFiles*) { disk_.Write("ca.crt", TestCa("another CA").cert()); }, "--tls-cert",
       "the certificate does not come from --tls-ca .*ca.crt: unable to get local issuer "
       "certificate"},
      {[&](TlsFiles* f) { f->key += ".not"; }, "--tls-key", "No such file or directory"},
      {[&](TlsFiles*) { disk_.Write("n1.key", good.key, 0640); }, "--tls-key",
       "others than its owner have access to it \\(mode 0640\\); make it 0600"},
      {[&](TlsFiles*) { disk_.Write("n1.key", good.key, 0604); }, "--tls-key",
       "others than its owner have access to it \\(mode 0604\\); make it 0600"},
      {[&](TlsFiles*) { disk_.Write("n1.key", "garbage"); }, "--tls-key",
       "there is no private key in PEM \\(\"BEGIN PRIVATE KEY\"\\) in it"},
      {[&](TlsFiles*) { disk_.Write("n1.key", good.key.substr(0, good.key.size() / 2)); },
       "--tls-key", "the private key in it is damaged: .*"},
      {[&](TlsFiles*) { disk_.Write("n1.key", TestCa::EncryptedKey()); }, "--tls-key",
       "the key is encrypted, and a node cannot ask for its password; decrypt it with openssl "
       "pkey"},
      {[&](TlsFiles*) { disk_.Write("n1.key", ca_.IssueNode("n1").key); }, "--tls-key",
       "the key does not fit the certificate of --tls-cert .*n1.crt"},
      {[&](TlsFiles* f) { f->ca += ".not"; }, "--tls-ca", "No such file or directory"},
      {[&](TlsFiles*) { disk_.Write("ca.crt", "garbage"); }, "--tls-ca",
       "there is no certificate in PEM \\(\"BEGIN CERTIFICATE\"\\) in it"},
  };
  for (const Case& c : cases) {
    TlsFiles files = disk_.WriteNode(ca_, "n1", good);
    ASSERT_TRUE(LoadTlsMaterial(files).ok()) << LoadTlsMaterial(files).status();
    c.spoil(&files);
    const absl::Status status = LoadTlsMaterial(files).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << c.problem;
    const std::string& file = c.flag == "--tls-cert"  ? files.cert
                              : c.flag == "--tls-key" ? files.key
                                                      : files.ca;
    const std::string message(status.message());
    const std::string start = c.flag + " " + file + ": ";
    ASSERT_THAT(message, StartsWith(start));
    EXPECT_THAT(message.substr(start.size()), MatchesRegex(c.problem));
  }
}

TEST_F(TlsTest, AWeakKeyIsRefused) {
  // OpenSSL's security level refuses this key.
  const TlsFiles files = disk_.WriteNode(ca_, "n1");
  EVP_PKEY* weak = EVP_RSA_gen(1024);
  const TestCertificate made = ca_.IssueFor(weak, {.names = "DNS:n1"});
  EVP_PKEY_free(weak);
  disk_.Write("n1.crt", made.cert);
  disk_.Write("n1.key", made.key);
  EXPECT_THAT(std::string(LoadTlsMaterial(files).status().message()),
              EndsWith("the certificate cannot be used: ee key too small"));
}

TEST_F(TlsTest, ACompleteNewSetIsUsed) {
  const TlsFiles files = disk_.WriteNode(ca_, "n1");
  const auto store = TlsStore::Open(files);
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_TRUE((*store)->for_peers());
  const auto first = (*store)->current();
  EXPECT_FALSE((*store)->Look()) << "nothing has changed";

  const TestCertificate renewed = ca_.IssueNode("n1");
  disk_.Write("n1.crt", renewed.cert);
  // The store's own thread may look as well; both must leave the old set.
  EXPECT_FALSE((*store)->Look()) << "the key is still the old one";
  EXPECT_EQ((*store)->current(), first);
  EXPECT_EQ((*store)->generation(), 1u);

  disk_.Write("n1.key", renewed.key);
  (*store)->Look();
  EXPECT_EQ((*store)->generation(), 2u);
  EXPECT_EQ((*store)->current()->cert, renewed.cert);
  EXPECT_EQ((*store)->current()->key, renewed.key);
}

TEST_F(TlsTest, ABadNewSetIsIgnored) {
  const TlsFiles files = disk_.WriteNode(ca_, "n1");
  const auto store = TlsStore::Open(files);
  ASSERT_TRUE(store.ok()) << store.status();
  const auto first = (*store)->current();
  for (const auto& spoil : std::initializer_list<std::function<void()>>{
           [&] { disk_.Write("n1.key", first->key, 0644); },
           [&] { std::filesystem::remove(files.key); },
           [&] { disk_.Write("ca.crt", "garbage"); },
           [&] { disk_.WriteNode(ca_, "n1", ca_.Issue({.names = "DNS:n1", .ends_in_s = -1800})); },
       }) {
    disk_.Write("n1.crt", first->cert);
    disk_.Write("n1.key", first->key);
    disk_.Write("ca.crt", first->ca);
    spoil();
    EXPECT_FALSE((*store)->Look());
    EXPECT_EQ((*store)->current()->cert, first->cert);
    EXPECT_EQ((*store)->current()->key, first->key);
  }
}

TEST_F(TlsTest, TheThreadNoticesChanges) {
  const TlsFiles files = disk_.WriteNode(ca_, "n1");
  const auto store = TlsStore::Open(files);
  ASSERT_TRUE(store.ok()) << store.status();
  const TestCertificate renewed = ca_.IssueNode("n1");
  disk_.Write("n1.crt", renewed.cert);
  disk_.Write("n1.key", renewed.key);
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while ((*store)->current()->cert != renewed.cert && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  EXPECT_EQ((*store)->current()->cert, renewed.cert);
}

}  // namespace
}  // namespace dqueue::transport
