#include "nn/compute_thread.h"

#include <omp.h>

#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>

#include "nn/threads.h"

namespace nn {
namespace {

// Returns what `work` threw, or null: an exception that leaves a thread ends the process.
std::exception_ptr RunWith(int threads, const std::function<void()>& work) {
  try {
    UseThreads(threads);
    work();
  } catch (...) {
    return std::current_exception();
  }
  return nullptr;
}

class ComputeThread {
 public:
  static ComputeThread& Instance() {
    static auto* thread = new ComputeThread;  // never ends: it may compute while statics go
    return *thread;
  }

  void Run(const std::function<void()>& work) {
    if (std::this_thread::get_id() == thread_.get_id()) return work();
    const int threads = omp_get_max_threads();
    const std::lock_guard turn(turn_);
    std::unique_lock lock(mutex_);
    std::exception_ptr thrown;
    work_ = [&] { thrown = RunWith(threads, work); };
    changed_.notify_all();
    changed_.wait(lock, [&] { return work_ == nullptr; });
    if (thrown) std::rethrow_exception(thrown);
  }

 private:
  ComputeThread() : thread_([this] { Loop(); }) {}

  [[noreturn]] void Loop() {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [&] { return work_ != nullptr; });
      work_();  // under the lock: who waits for its end needs it no earlier
      work_ = nullptr;
      changed_.notify_all();
    }
  }

  std::mutex turn_;  // held by the caller whose work it is
  std::mutex mutex_;
  std::condition_variable changed_;
  std::function<void()> work_;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace

void RunOnComputeThread(const std::function<void()>& work) { ComputeThread::Instance().Run(work); }

void RunOnTemporaryThread(const std::function<void()>& work) {
  std::exception_ptr thrown;
  const int threads = omp_get_max_threads();
  std::thread([&] { thrown = RunWith(threads, work); }).join();
  if (thrown) std::rethrow_exception(thrown);
}

}  // namespace nn
