// Measures how long a kernel takes, so that the faster of two can be chosen while other threads of
// the process serve. The kernel runs on the calling thread alone, and that thread's CPU time
// counts. The process's CPU time would count other threads' work too, and so would the wall clock
// of several threads, since a team waits for its slowest.
#ifndef DUET_NN_ONEDNN_KERNEL_TIME_H_
#define DUET_NN_ONEDNN_KERNEL_TIME_H_

#include <functional>

namespace nn::onednn {

// Seconds of CPU that the calling thread has used.
double ThreadSeconds();

// The shortest of `runs` calls of `kernel` by `clock`, since interrupts only make a call longer.
double LeastSeconds(int runs, const std::function<void()>& kernel,
                    const std::function<double()>& clock = ThreadSeconds);

// While it lives, OpenMP has one thread in parallel regions of the calling thread.
class AloneOnOneThread {
 public:
  AloneOnOneThread();
  ~AloneOnOneThread();
  AloneOnOneThread(const AloneOnOneThread&) = delete;
  AloneOnOneThread& operator=(const AloneOnOneThread&) = delete;

 private:
  const int threads_before_;
};

}  // namespace nn::onednn

#endif  // DUET_NN_ONEDNN_KERNEL_TIME_H_
