#include "nn/threads.h"

#include <ATen/Parallel.h>
#include <omp.h>

namespace nn {

void UseThreads(int count) {
  // Only on a change: it rebuilds a pool of threads that nothing here uses.
  if (at::get_num_threads() != count) at::set_num_threads(count);
  omp_set_num_threads(count);  // at:: skips this for threads it did not see first
}

}  // namespace nn
