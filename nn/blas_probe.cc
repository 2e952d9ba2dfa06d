#include "nn/blas_probe.h"

#include <ATen/Parallel.h>
#include <absl/strings/str_format.h>
#include <torch/types.h>

#include <algorithm>
#include <chrono>
#include <limits>

namespace nn {
namespace {

constexpr int kSide = 384;  // 0.11 GFLOP: 28 ms with the reference BLAS, 1 ms with a good one
constexpr std::chrono::milliseconds kBudget(20);
// The reference BLAS does 2 to 5 GFLOP/s on a core, OpenBLAS and MKL 30 (SSE4) to 120 (AVX-512).
constexpr double kSlowGflopsPerThread = 10;

}  // namespace

BlasSpeed ProbeBlas() {
  using Clock = std::chrono::steady_clock;
  c10::InferenceMode no_autograd;
  const at::Tensor a = at::ones({kSide, kSide});
  const at::Tensor b = at::ones({kSide, kSide});
  at::Tensor c = at::empty({kSide, kSide});
  double best_seconds = std::numeric_limits<double>::infinity();
  const Clock::time_point start = Clock::now();
  do {  // the first turn also pays for starting threads; the best one counts
    const Clock::time_point begin = Clock::now();
    at::mm_out(c, a, b);
    best_seconds =
        std::min(best_seconds, std::chrono::duration<double>(Clock::now() - begin).count());
  } while (Clock::now() - start < kBudget);

  BlasSpeed speed;
  const int threads = at::get_num_threads();
  speed.gflops = 2.0 * kSide * kSide * kSide / best_seconds / 1e9;
  speed.gflops_per_thread = speed.gflops / threads;
  if (speed.gflops_per_thread < kSlowGflopsPerThread) {
    speed.warning = absl::StrFormat(
        "matrix multiplication runs at %.1f GFLOP/s per thread; a good BLAS does 30 or more. "
        "Install "
        "libopenblas0-openmp and select it (update-alternatives --config "
        "libblas.so.3-x86_64-linux-gnu)",
        speed.gflops_per_thread);
  }
  return speed;
}

}  // namespace nn
