#include "transport/keys/secret_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

namespace dqueue::transport {
namespace {

class SecretFileTest : public testing::Test {
 protected:
  SecretFileTest() {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "dqueue-secret-XXXXXX").string();
    directory_ = mkdtemp(pattern.data());
  }
  ~SecretFileTest() override {
    unsetenv("CREDENTIALS_DIRECTORY");
    std::filesystem::remove_all(directory_);
  }
  std::string Write(const std::string& text, mode_t mode = 0600) {
    const std::string path = directory_ + "/file";
    std::ofstream(path) << text;
    chmod(path.c_str(), mode);
    return path;
  }
  // "OK: " and the text, or the error.
  static std::string Read(const std::string& path, const SecretFileRules& rules = {}) {
    const auto text = ReadSecretFile(path, rules);
    return text.ok() ? "OK: " + *text : text.status().ToString();
  }

  std::string directory_;
};

TEST_F(SecretFileTest, ReadsUpToTheLimit) {
  const std::string path = Write("12345678");
  EXPECT_EQ(Read(path, {.bytes_max = 8}), "OK: 12345678");
  EXPECT_EQ(Read(path, {.bytes_max = 7}), "INVALID_ARGUMENT: has 8 bytes, the limit is 7");
  EXPECT_EQ(Read(Write("")), "OK: ");
  std::filesystem::create_symlink(path, directory_ + "/link");
  Write("as of a mounted secret");
  EXPECT_EQ(Read(directory_ + "/link"), "OK: as of a mounted secret");
}

TEST_F(SecretFileTest, FilesOpenToOthersAreRefused) {
  for (const mode_t mode : {0640, 0604, 0660, 0601}) {
    char shown[8];
    std::snprintf(shown, sizeof shown, "%04o", static_cast<unsigned>(mode));
    const std::string path = Write("x", mode);
    EXPECT_EQ(Read(path), std::string("INVALID_ARGUMENT: others than its owner have access to it "
                                      "(mode ") +
                              shown + "); make it 0600");
    EXPECT_EQ(Read(path, {.secret = false}), "OK: x");
  }
}

TEST_F(SecretFileTest, CredentialsOfAServiceHaveTheirOwnRules) {
  const std::string path = Write("x", 0440);
  setenv("CREDENTIALS_DIRECTORY", directory_.c_str(), 1);
  EXPECT_EQ(Read(path), "OK: x");
  for (const char* other : {"/nowhere", "", "/"}) {
    setenv("CREDENTIALS_DIRECTORY", other, 1);
    EXPECT_TRUE(Read(path).starts_with("INVALID_ARGUMENT: others")) << other;
  }
  const std::string inner = directory_ + "/inner";
  std::filesystem::create_directory(inner);
  setenv("CREDENTIALS_DIRECTORY", inner.c_str(), 1);
  EXPECT_TRUE(Read(inner + "/../file").starts_with("INVALID_ARGUMENT: others"));
}

TEST_F(SecretFileTest, OnlyFilesAreRead) {
  EXPECT_EQ(Read(directory_), "INVALID_ARGUMENT: is not a file");
  EXPECT_EQ(Read(directory_ + "/none"), "NOT_FOUND: No such file or directory");
  EXPECT_EQ(Read("/dev/zero"), "INVALID_ARGUMENT: is not a file");
  EXPECT_EQ(Read("/dev/zero", {.pipes = true}), "INVALID_ARGUMENT: is not a file");
  const std::string pipe = directory_ + "/pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0644), 0);
  EXPECT_EQ(Read(pipe), "INVALID_ARGUMENT: is not a file") << "and nobody waited for a writer";
  std::thread writer([&pipe] {
    std::ofstream out(pipe);
    out << "in " << std::flush;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    out << "parts";
  });
  EXPECT_EQ(Read(pipe, {.pipes = true}), "OK: in parts");
  writer.join();
}

}  // namespace
}  // namespace dqueue::transport
