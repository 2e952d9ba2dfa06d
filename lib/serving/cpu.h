// How many threads to compute with, and how they wait.
//
// In a container std::thread::hardware_concurrency counts the machine's CPUs: the cgroup's quota
// and the affinity mask say how many this process gets. Two LibTorch processes share one machine
// here: OpenMP threads that spin while they wait for work, as libgomp's do by default, take the
// other process's cores, so they have to sleep.
#ifndef DUET_SERVING_CPU_H_
#define DUET_SERVING_CPU_H_

#include <optional>
#include <string>

namespace serving {

struct CpuBudget {
  // CPUs in the affinity mask.
  int affinity = 1;
  // CPU seconds a second, from the smallest quota of the cgroup and its parents. Absent:
  // there is no quota.
  std::optional<double> quota;

  // The smaller of both, quotas rounded up, at least 1.
  int threads() const;
};

// Reads cgroup v2 (cpu.max) or v1 (cpu.cfs_quota_us, cpu.cfs_period_us). What cannot be read counts
// as no quota. `root` precedes /proc and /sys: "" but for tests.
CpuBudget ReadCpuBudget(const std::string& root = "");

// Sets the variables by which OpenMP threads sleep while they wait (OMP_WAIT_POLICY=passive),
// unless the environment says otherwise; between the layers of a network they spin for some 0.1 ms
// first (GOMP_SPINCOUNT). For the programs that this one starts: libgomp reads them when it is
// loaded, before main. Call it before there are threads.
void SetOpenMpVariables();

// The same for this program: executes it once more if the variables weren't set, with the same
// arguments and process id. LibTorch is loaded twice then, which takes half a second; who starts
// such programs spares them that by SetOpenMpVariables. Call it first in main, of programs that
// link LibTorch.
void SetUpOpenMp(char** argv);

}  // namespace serving

#endif  // DUET_SERVING_CPU_H_
