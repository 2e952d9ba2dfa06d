#include "serving/cpu.h"

#include <absl/strings/numbers.h>
#include <absl/strings/str_split.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>
#include <vector>

namespace serving {
namespace {

namespace fs = std::filesystem;

std::string FirstLine(const fs::path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

std::optional<double> Ratio(const std::string& quota, const std::string& period) {
  double quota_us = 0;
  double period_us = 0;
  if (!absl::SimpleAtod(quota, &quota_us) || !absl::SimpleAtod(period, &period_us)) return {};
  if (quota_us <= 0 || period_us <= 0) return {};  // "max" and -1: none
  return quota_us / period_us;
}

std::optional<double> QuotaAt(const fs::path& directory) {
  const std::vector<std::string> v2 = absl::StrSplit(FirstLine(directory / "cpu.max"), ' ');
  if (v2.size() == 2) return Ratio(v2[0], v2[1]);
  return Ratio(FirstLine(directory / "cpu.cfs_quota_us"),
               FirstLine(directory / "cpu.cfs_period_us"));
}

int AffinityCount() {
  // Machines with more CPUs than cpu_set_t holds (1024) answer EINVAL.
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1u, std::thread::hardware_concurrency());
}

}  // namespace

int CpuBudget::threads() const {
  int threads = affinity;
  if (quota) threads = std::min(threads, static_cast<int>(std::ceil(*quota)));
  return std::max(1, threads);
}

CpuBudget ReadCpuBudget(const std::string& root) {
  CpuBudget budget{.affinity = AffinityCount()};
  // Lines are "0::/path" (v2) or "3:cpu,cpuacct:/path" (v1).
  std::ifstream groups(root + "/proc/self/cgroup");
  std::string line;
  while (std::getline(groups, line)) {
    const std::vector<std::string> parts = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (parts.size() != 3 || parts[2].empty()) continue;
    const std::vector<std::string> controllers = absl::StrSplit(parts[1], ',');
    const bool v1_cpu =
        std::find(controllers.begin(), controllers.end(), "cpu") != controllers.end();
    if (!parts[1].empty() && !v1_cpu) continue;
    // Inside a container the path may be the host's; its mount then shows the container's own group
    // at the top, which is tried as the last parent.
    const fs::path mount = root + "/sys/fs/cgroup" + (v1_cpu ? "/cpu" : "");
    for (fs::path group = fs::path(parts[2]).relative_path();; group = group.parent_path()) {
      if (const std::optional<double> quota = QuotaAt(mount / group)) {
        budget.quota = std::min(budget.quota.value_or(*quota), *quota);
      }
      if (group.empty()) break;
    }
  }
  return budget;
}

void SetOpenMpVariables() {
  if (std::getenv("OMP_WAIT_POLICY") != nullptr) return;
  setenv("OMP_WAIT_POLICY", "passive", 1);
  setenv("GOMP_SPINCOUNT", "5000", /*overwrite=*/0);
}

void SetUpOpenMp(char** argv) {
  if (std::getenv("OMP_WAIT_POLICY") != nullptr) return;
  SetOpenMpVariables();
  // By its path, since ps and top would call it "exe" otherwise; unless the file was replaced.
  std::error_code error;
  const fs::path self = fs::read_symlink("/proc/self/exe", error);
  if (!error) execv(self.c_str(), argv);
  execv("/proc/self/exe", argv);
  // Without /proc: go on, slower beside a busy neighbour but right.
}

}  // namespace serving
