#include "serving/process_metrics.h"

#include <absl/strings/numbers.h>
#include <absl/strings/str_split.h>
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>

namespace serving {
namespace {

std::string Contents(const char* path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

void Add(std::vector<prometheus::MetricFamily>* families, const char* name, const char* help,
         std::optional<double> value, bool counter = false) {
  if (!value) return;
  prometheus::MetricFamily family{.name = name, .help = help};
  prometheus::ClientMetric metric;
  if (counter) {
    family.type = prometheus::MetricType::Counter;
    metric.counter.value = *value;
  } else {
    family.type = prometheus::MetricType::Gauge;
    metric.gauge.value = *value;
  }
  family.metric.push_back(std::move(metric));
  families->push_back(std::move(family));
}

std::optional<double> OpenFds() {
  std::error_code error;
  double count = 0;
  for (auto it = std::filesystem::directory_iterator("/proc/self/fd", error);
       !error && it != std::filesystem::directory_iterator(); it.increment(error)) {
    ++count;
  }
  if (error) return std::nullopt;
  return count - 1;  // the listing's own
}

// Seconds since 1970 at which the machine booted.
std::optional<double> BootTime() {
  for (const std::string& line :
       std::vector<std::string>(absl::StrSplit(Contents("/proc/stat"), '\n'))) {
    double seconds = 0;
    if (line.rfind("btime ", 0) == 0 && absl::SimpleAtod(line.substr(6), &seconds)) return seconds;
  }
  return std::nullopt;
}

}  // namespace

std::vector<prometheus::MetricFamily> ProcessMetrics::Collect() const {
  std::vector<prometheus::MetricFamily> families;
  // proc(5): the second field is the program's name in parentheses and may hold spaces; count from
  // after it.
  const std::string stat = Contents("/proc/self/stat");
  const std::size_t name_end = stat.rfind(')');
  std::vector<std::string> fields;
  if (name_end != std::string::npos && name_end + 2 < stat.size()) {
    fields = absl::StrSplit(stat.substr(name_end + 2), ' ');
  }
  // `number` as in proc(5), where the field after the name is number 3.
  const auto field = [&](std::size_t number) -> std::optional<double> {
    double value = 0;
    if (number - 3 >= fields.size() || !absl::SimpleAtod(fields[number - 3], &value))
      return std::nullopt;
    return value;
  };
  const double ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
  if (field(14) && field(15)) {
    Add(&families, "process_cpu_seconds_total", "User and system CPU time.",
        (*field(14) + *field(15)) / ticks, /*counter=*/true);
  }
  Add(&families, "process_threads", "Threads.", field(20));
  if (field(22) && BootTime()) {
    Add(&families, "process_start_time_seconds", "Start, seconds since 1970.",
        *BootTime() + *field(22) / ticks);
  }
  Add(&families, "process_virtual_memory_bytes", "Virtual memory.", field(23));
  if (const std::uint64_t resident = ResidentBytes(); resident > 0) {
    Add(&families, "process_resident_memory_bytes", "Resident memory.",
        static_cast<double>(resident));
  }
  Add(&families, "process_open_fds", "Open file descriptors.", OpenFds());
  if (rlimit limit{}; getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    Add(&families, "process_max_fds", "Most file descriptors allowed.",
        static_cast<double>(limit.rlim_cur));
  }
  return families;
}

std::uint64_t ResidentBytes() {
  std::uint64_t all_pages = 0, resident_pages = 0;
  std::ifstream("/proc/self/statm") >> all_pages >> resident_pages;
  return resident_pages * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace serving
