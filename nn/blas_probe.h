// Debian's LibTorch multiplies matrices with whatever libblas.so.3 the machine has selected. With
// the reference BLAS that is twenty times slower than with OpenBLAS, and nothing says so. This
// probe measures it at start-up.
#ifndef DUET_NN_BLAS_PROBE_H_
#define DUET_NN_BLAS_PROBE_H_

#include <string>

namespace nn {

struct BlasSpeed {
  double gflops = 0;  // fp32 GEMM, all threads of the caller
  double gflops_per_thread = 0;
  // Empty if the speed is plausible; else one sentence for the log: what was measured and what to
  // install.
  std::string warning;
};

// Multiplies for about 20 ms with the caller's threads (UseThreads).
BlasSpeed ProbeBlas();

}  // namespace nn

#endif  // DUET_NN_BLAS_PROBE_H_
