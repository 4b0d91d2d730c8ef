#include "transport/http/routes/leased_jobs.h"

#include <random>

#include "transport/calls/give_back.h"
#include "transport/calls/rpc_methods.h"

namespace dqueue::transport {

std::function<void()> ReleaseLater(RpcBridge* bridge, const Credentials& credentials,
                                   const v1::LeaseJobsResponse& leased) {
  if (leased.jobs().empty()) return nullptr;
  const auto request = std::make_shared<const v1::ReleaseJobsRequest>(GiveBack(leased));
  return [bridge, credentials, request] { bridge->Tell(kReleaseJobs, request, credentials); };
}

std::string MakeRequestId() {
  constexpr char kDigits[] = "0123456789abcdef";
  constexpr int kWords = 4;
  thread_local std::random_device device;
  std::string id = "http-";
  for (int i = 0; i < kWords; ++i) {
    const uint32_t word = device();
    for (int shift = 28; shift >= 0; shift -= 4) id += kDigits[word >> shift & 15];
  }
  return id;
}

}  // namespace dqueue::transport
