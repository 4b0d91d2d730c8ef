#include "transport/calls/rpc_methods.h"

#include <gtest/gtest.h>

#include <string>

#include "dqueue/v1/service.pb.h"
#include "transport/calls/audit.h"

namespace dqueue::transport {
namespace {

TEST(RpcMethodsTest, EveryCallIsAllowedWhileKeysAreOff) {
  Authenticator off(false);
  for (const RpcMethod* method : kRpcMethods) {
    const auto ruling = off.Check({}, method->scope);
    EXPECT_EQ(ruling.standing, Authenticator::Standing::kAllowed);
    EXPECT_TRUE(ruling.caller.admin);
    EXPECT_EQ(ruling.caller.access, nullptr);
  }
}

TEST(RpcMethodsTest, ChangesOfQueuesKeysAndClusterAreAudited) {
  EXPECT_TRUE(IsAudited(kPurgeQueue));
  EXPECT_TRUE(IsAudited(kCreateKey));
  EXPECT_TRUE(IsAudited(kRevokeKey));
  EXPECT_TRUE(IsAudited(kTransferLeadership));
  EXPECT_FALSE(IsAudited(kEnqueueJobs));
  EXPECT_FALSE(IsAudited(kListKeys));
}

// Default-deny: whoever adds a method to the API has to say here what it needs.
TEST(RpcMethodsTest, TheTableHasExactlyTheMethodsOfTheApi) {
  const auto* pool = google::protobuf::DescriptorPool::generated_pool();
  const auto* file = pool->FindFileByName("dqueue/v1/service.proto");
  ASSERT_NE(file, nullptr);
  size_t methods = 0;
  for (int i = 0; i < file->service_count(); ++i) {
    for (int j = 0; j < file->service(i)->method_count(); ++j) {
      ++methods;
      const std::string path =
          "/" + file->service(i)->full_name() + "/" + file->service(i)->method(j)->name();
      const RpcMethod* method = FindRpcMethod(path);
      ASSERT_NE(method, nullptr) << path;
      EXPECT_NE(method->scope, Scope::kNone) << path;
    }
  }
  EXPECT_EQ(methods, kRpcMethods.size());
  EXPECT_EQ(FindRpcMethod("/dqueue.v1.JobService/Nothing"), nullptr);
}

}  // namespace
}  // namespace dqueue::transport
