// Debian's LibTorch multiplies matrices with whatever libblas.so.3 the machine has selected. With
// the reference BLAS that is twenty times slower than with OpenBLAS, and nothing says so. This
// probe measures it at start-up.
#ifndef DUET_NN_BLAS_PROBE_H_
#define DUET_NN_BLAS_PROBE_H_

#include <string>

namespace nn {

struct BlasSpeed {
  double gflops_per_thread = 0;  // fp32 GEMM
  // Empty if the speed is plausible; else one sentence for the log: what was measured and what to
  // install.
  std::string warning;
};

// Multiplies for about 20 ms on the calling thread alone. CPU time counts, so that a busy machine
// is not taken for a slow library.
BlasSpeed ProbeBlas();

}  // namespace nn

#endif  // DUET_NN_BLAS_PROBE_H_
