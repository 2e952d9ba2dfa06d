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
    // Runs once, on the thread: hands over and returns; may destroy the operation.
    virtual void Complete() = 0;
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
    bool ok = false;  // always, for the end of a call
    for (void* tag = nullptr; queue_.Next(&tag, &ok);) static_cast<Operation*>(tag)->Complete();
  }

  grpc::CompletionQueue queue_;
  std::thread thread_;  // last: uses queue_
};

}  // namespace backends

#endif  // DUET_BACKENDS_COMPLETION_THREAD_H_
