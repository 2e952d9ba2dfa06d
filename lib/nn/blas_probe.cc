#include "nn/blas_probe.h"

#include <ATen/Parallel.h>
#include <absl/strings/str_format.h>
#include <time.h>
#include <torch/types.h>

#include <algorithm>
#include <limits>

#include "nn/threads.h"

namespace nn {
namespace {

constexpr int kSide = 384;  // 0.11 GFLOP: 28 ms with the reference BLAS, 1 ms with a good one
constexpr double kBudgetSeconds = 0.02;
// The reference BLAS does 2 to 5 GFLOP/s on a core, OpenBLAS and MKL 30 (SSE4) to 120 (AVX-512).
constexpr double kSlowGflopsPerThread = 10;

double ThreadSeconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

}  // namespace

BlasSpeed ProbeBlas() {
  c10::InferenceMode no_autograd;
  const int threads = at::get_num_threads();
  UseThreads(1);
  const at::Tensor a = at::ones({kSide, kSide});
  const at::Tensor b = at::ones({kSide, kSide});
  at::Tensor c = at::empty({kSide, kSide});
  double best_seconds = std::numeric_limits<double>::infinity();
  const double start = ThreadSeconds();
  for (double begin = start; begin - start < kBudgetSeconds;) {  // the best turn counts
    at::mm_out(c, a, b);
    const double end = ThreadSeconds();
    best_seconds = std::min(best_seconds, end - begin);
    begin = end;
  }
  UseThreads(threads);

  BlasSpeed speed;
  speed.gflops_per_thread = 2.0 * kSide * kSide * kSide / best_seconds / 1e9;
  if (speed.gflops_per_thread < kSlowGflopsPerThread) {
    speed.warning = absl::StrFormat(
        "matrix multiplication runs at %.1f GFLOP/s per thread; a good BLAS does 30 or more. "
        "Install libopenblas0-openmp and select it (update-alternatives --config "
        "libblas.so.3-$(uname -m)-linux-gnu)",
        speed.gflops_per_thread);
  }
  return speed;
}

}  // namespace nn
