#include "transport/poller_reserve.h"

#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>

namespace dqueue::transport {
namespace {

using Clock = std::chrono::steady_clock;

class Reserve {
 public:
  static Reserve& Get() {
    // Never destroyed: a thread may be parked in it when the process ends.
    static Reserve* const reserve = new Reserve;
    return *reserve;
  }

  void Keep() {
    std::unique_lock lock(mutex_);
    kept_ = true;
    MaybeCall(lock);
  }
  void BeginWait() {
    const std::lock_guard lock(mutex_);
    if (waiting_++ == 0) since_ = Clock::now();
  }
  void EndWait() {
    std::unique_lock lock(mutex_);
    if (--waiting_ > 0) return;
    since_.reset();
    MaybeCall(lock);
  }

 private:
  // A call that fails at once, because its channel is lame; its callback parks the thread that
  // runs it. At most one at a time.
  void MaybeCall(std::unique_lock<std::mutex>& lock) {
    if (!kept_ || called_) return;
    called_ = true;
    lock.unlock();
    struct Call {
      grpc::GenericStub stub{grpc::CreateChannel("", nullptr)};
      grpc::ClientContext context;
      grpc::Slice nothing;
      grpc::ByteBuffer request{&nothing, 1};
      grpc::ByteBuffer response;
    };
    auto call = std::make_shared<Call>();
    call->stub.UnaryCall(&call->context, "/none", grpc::StubOptions(), &call->request,
                         &call->response, [this, call](const grpc::Status&) { Park(); });
  }

  void Park() {
    std::unique_lock lock(mutex_);
    while (!since_ || Clock::now() - *since_ < kPollerPatience) {
      // Nobody tells: a poller that is stuck cannot, and the others need not know.
      wake_.wait_for(lock, kPollerPatience);
    }
    called_ = false;
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  bool kept_ = false;
  bool called_ = false;  // a thread is parked, or will be
  int waiting_ = 0;
  std::optional<Clock::time_point> since_;  // somebody has been waiting
};

}  // namespace

void KeepOnePollerInReserve() { Reserve::Get().Keep(); }

PollerMayWait::PollerMayWait() { Reserve::Get().BeginWait(); }
PollerMayWait::~PollerMayWait() { Reserve::Get().EndWait(); }

}  // namespace dqueue::transport
