// Each mutant of storage/log/mutants.h must break the crash test.
#include <gtest/gtest.h>

#include <stdexcept>

#include "base/check.h"
#include "storage/log/mutants.h"
#include "storage/testing/log_crash.h"

namespace dqueue::storage {
namespace {

class LogMutantTest : public testing::TestWithParam<const Mutant*> {
 protected:
  void SetUp() override {
    SetCheckFailureHandler([](const std::string& text) { throw std::runtime_error(text); });
  }
  void TearDown() override {
    active_mutant = nullptr;
    SetCheckFailureHandler(nullptr);
  }
};

std::string FirstViolation() {
  for (uint64_t seed = 1; seed < 7; ++seed) {
    try {
      std::string violation = CrashEverywhere(seed, 90, 4);
      if (!violation.empty()) return violation;
    } catch (const std::runtime_error& e) {
      return e.what();
    }
  }
  return {};
}

TEST_P(LogMutantTest, IsDetected) {
  active_mutant = GetParam();
  const std::string violation = FirstViolation();
  EXPECT_NE(violation, "");
  RecordProperty("violation", violation);
  std::printf("%s: %s\n", GetParam()->name, violation.c_str());
}

INSTANTIATE_TEST_SUITE_P(Storage, LogMutantTest,
                         testing::Values(&mutants::kDirectoryNotSynced, &mutants::kSyncSkipped,
                                         &mutants::kHardStateNotCarried),
                         [](const auto& param) { return std::string(param.param->name); });

// This mutant shows only with a flipped bit, not with a crash.
TEST_F(LogMutantTest, CutAcknowledgedIsDetected) {
  for (const bool mutated : {false, true}) {
    FaultFileSystem fs;
    CrashWorkload workload(&fs, 1, 5);
    workload.Run();
    ASSERT_TRUE(workload.finished());
    fs.FlipBit("data/wal/0000000000000001.wal", (4096 + 64 + 45) * 8);
    if (mutated) active_mutant = &mutants::kCutAcknowledged;
    const std::string violation = CheckAfterCrash(fs, workload);
    const bool refused = violation.find("acknowledged data is damaged") != std::string::npos;
    EXPECT_EQ(refused, !mutated) << violation;
  }
}

}  // namespace
}  // namespace dqueue::storage
