#include "nn/onednn/kernel_time.h"

#include <omp.h>

#include <algorithm>
#include <ctime>
#include <limits>

namespace nn::onednn {

double ThreadSeconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

double LeastSeconds(int runs, const std::function<void()>& kernel,
                    const std::function<double()>& clock) {
  double least = std::numeric_limits<double>::infinity();
  for (int run = 0; run < runs; ++run) {
    const double start = clock();
    kernel();
    least = std::min(least, clock() - start);
  }
  return least;
}

AloneOnOneThread::AloneOnOneThread() : threads_before_(omp_get_max_threads()) {
  omp_set_num_threads(1);
}

AloneOnOneThread::~AloneOnOneThread() { omp_set_num_threads(threads_before_); }

}  // namespace nn::onednn
