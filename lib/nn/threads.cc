#include "nn/threads.h"

#include <ATen/Parallel.h>
#include <omp.h>
#include <sched.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <string>

namespace nn {
namespace {

// Cores of the CPU quota of this process's cgroup, rounded up; `fallback` if there is none.
int CgroupCores(int fallback) {
  double quota = 0;
  double period = 0;
  if (std::ifstream v2("/sys/fs/cgroup/cpu.max"); v2) {
    std::string text;
    v2 >> text >> period;
    if (text == "max" || text.empty()) return fallback;
    quota = std::strtod(text.c_str(), nullptr);
  } else {
    std::ifstream("/sys/fs/cgroup/cpu/cpu.cfs_quota_us") >> quota;
    std::ifstream("/sys/fs/cgroup/cpu/cpu.cfs_period_us") >> period;
  }
  if (quota <= 0 || period <= 0) return fallback;
  return std::max(1, static_cast<int>(std::ceil(quota / period)));
}

}  // namespace

int AvailableCores() {
  cpu_set_t set;
  int cores = 1;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) cores = std::max(1, CPU_COUNT(&set));
  return std::min(cores, CgroupCores(cores));
}

int UseThreads(int count) {
  if (count <= 0) count = AvailableCores();
  // Only on a change: it rebuilds a pool of threads that nothing here uses.
  if (at::get_num_threads() != count) at::set_num_threads(count);
  omp_set_num_threads(count);  // at:: skips this for threads it did not see first
  return count;
}

}  // namespace nn
