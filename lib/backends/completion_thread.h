// The thread on which gRPC's answers arrive. One, with a completion queue of its own: the threads
// behind gRPC's callback interface are two at least, and wake each other for every answer.
//
// Internal to backends.
#ifndef DUET_BACKENDS_COMPLETION_THREAD_H_
#define DUET_BACKENDS_COMPLETION_THREAD_H_

#include <grpcpp/completion_queue.h>

#include <thread>

namespace backends {

class CompletionThread {
 public:
  // A tag in the queue.
  class Operation {
   public:
    virtual ~Operation() = default;
    // Runs on the thread when a step that was started with this as its tag has ended: hands over,
    // or starts the next step, and returns; may destroy the operation. `ok` is gRPC's: always true
    // for the end of a call.
    virtual void Complete(bool ok) = 0;
  };

  CompletionThread() : thread_([this] { Run(); }) {}
  // REQUIRES: nothing is started any more. Waits for what has been started.
  ~CompletionThread() {
    queue_.Shutdown();
    thread_.join();
  }
  CompletionThread(const CompletionThread&) = delete;
  CompletionThread& operator=(const CompletionThread&) = delete;

  grpc::CompletionQueue& queue() { return queue_; }

 private:
  void Run() {
    bool ok = false;
    for (void* tag = nullptr; queue_.Next(&tag, &ok);) static_cast<Operation*>(tag)->Complete(ok);
  }

  grpc::CompletionQueue queue_;
  std::thread thread_;  // last: uses queue_
};

}  // namespace backends

#endif  // DUET_BACKENDS_COMPLETION_THREAD_H_
