#include "nn/onednn/kernel_plan.h"

#include <absl/status/statusor.h>
#include <absl/strings/ascii.h>
#include <absl/strings/escaping.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_split.h>
#include <absl/strings/string_view.h>
#include <absl/strings/strip.h>
#include <fcntl.h>
#include <oneapi/dnnl/dnnl_debug.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <limits>
#include <oneapi/dnnl/dnnl.hpp>
#include <utility>

#include "files/atomic_file.h"
#include "files/text_file.h"
#include "nn/onednn/kernel_time.h"

namespace nn::onednn {
namespace {

constexpr std::size_t kMaxFileBytes = std::size_t{4} << 20;
constexpr absl::string_view kIs = " = ";
constexpr std::string_view kFirstLine =
    "# Which kernels Duet computes with, chosen by measuring: --kernel_plan";

struct PlanFile {
  struct Choice {
    std::string kernel;
    std::size_t line;
  };

  std::vector<std::string> lines;
  // Of one machine.
  std::map<std::string, Choice> choices;  // by layer
  bool has_section = false;
  std::size_t end_of_section = 0;  // the line after its last one
};

absl::StatusOr<PlanFile> ReadPlan(const std::string& path, const std::string& machine) {
  PlanFile plan;
  const absl::StatusOr<std::string> text = files::ReadText(path, kMaxFileBytes);
  if (!text.ok() && !absl::IsNotFound(text.status())) return text.status();
  if (text.ok() && !text->empty())
    plan.lines = absl::StrSplit(absl::StripSuffix(*text, "\n"), '\n');
  const std::string header = absl::StrCat("[", machine, "]");
  bool in_a_section = false, in_ours = false;
  for (std::size_t i = 0; i < plan.lines.size(); ++i) {
    const absl::string_view line = absl::StripAsciiWhitespace(plan.lines[i]);
    if (line.empty() || line[0] == '#') continue;
    if (line.front() == '[' && line.back() == ']') {
      in_a_section = true;
      in_ours = line == header;
      plan.has_section |= in_ours;
      if (in_ours) plan.end_of_section = i + 1;
      continue;
    }
    const std::pair<absl::string_view, absl::string_view> choice = absl::StrSplit(line, kIs);
    if (!in_a_section || choice.first.empty() || choice.second.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(
          path, ": line ", i + 1, " is '", absl::CHexEscape(line.substr(0, 80)),
          "'; needed: '[MACHINE]' or below one 'LAYER = KERNEL'; a plan that was removed is made "
          "anew"));
    }
    if (in_ours) {
      plan.choices.try_emplace(std::string(choice.first),
                               PlanFile::Choice{std::string(choice.second), i});
      plan.end_of_section = i + 1;
    }
  }
  return plan;
}

// Of several processes that write a plan each waits for the others, since each writes what it has
// read with a line more. Where there can be no lock, writing itself says why, or they are on their
// own.
class Turn {
 public:
  explicit Turn(const std::string& plan)
      : file_(open((plan + ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666)) {
    while (file_ >= 0 && flock(file_, LOCK_EX) != 0 && errno == EINTR) {
    }
  }
  ~Turn() {
    if (file_ >= 0) close(file_);
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  const int file_;
};

bool IsOneOf(const std::vector<KernelPlan::Candidate>& candidates, std::string_view name) {
  return std::any_of(candidates.begin(), candidates.end(),
                     [&](const KernelPlan::Candidate& each) { return each.name == name; });
}

// The name of the fastest. In turns, since what else the machine does slows down whoever has it to
// bear; until one is ahead of all others by a tenth in the least of its times, or for five turns.
std::string_view Fastest(const std::vector<KernelPlan::Candidate>& candidates) {
  constexpr int kLeastTurns = 2, kMostTurns = 5;
  constexpr double kAhead = 0.9;
  std::vector<double> least(candidates.size(), std::numeric_limits<double>::infinity());
  for (int turn = 1;; ++turn) {
    for (std::size_t i = 0; i < candidates.size(); ++i) {
      least[i] = std::min(least[i], candidates[i].seconds());
    }
    const auto first = std::min_element(least.begin(), least.end());
    const bool ahead = std::all_of(least.begin(), least.end(), [&](const double& other) {
      return &other == &*first || *first < kAhead * other;
    });
    if (turn == kMostTurns || (ahead && turn >= kLeastTurns)) {
      return candidates[first - least.begin()].name;
    }
  }
}

// "model name" of the first CPU, and its family, model and stepping.
std::string CpuModel() {
  std::map<std::string, std::string> values;
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line) && !line.empty();) {
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(line, absl::MaxSplits(':', 1));
    values.emplace(absl::StripAsciiWhitespace(parts.first),
                   absl::StripAsciiWhitespace(parts.second));
  }
  return absl::StrCat(values["model name"], " ", values["cpu family"], ".", values["model"], ".",
                      values["stepping"]);
}

}  // namespace

std::string ThisMachine() {
  const dnnl_version_t& version = *dnnl_version();
  const auto isa = static_cast<dnnl_cpu_isa_t>(dnnl::get_effective_cpu_isa());
  return absl::StrCat(CpuModel(), ", ", dnnl_cpu_isa2str(isa), ", oneDNN ", version.major, ".",
                      version.minor, ".", version.patch);
}

KernelPlan& KernelPlan::OfProcess() {
  static KernelPlan* plan = new KernelPlan;
  return *plan;
}

absl::Status KernelPlan::KeepIn(const std::string& path) {
  const absl::StatusOr<PlanFile> file = ReadPlan(path, machine_);
  if (!file.ok()) return file.status();
  const std::lock_guard lock(mutex_);
  path_ = path;
  for (const auto& [layer, choice] : file->choices) kernels_.try_emplace(layer, choice.kernel);
  summary_.layers = static_cast<int>(kernels_.size());
  return absl::OkStatus();
}

std::string KernelPlan::Choose(const std::string& layer, const std::vector<Candidate>& candidates) {
  const std::lock_guard lock(mutex_);
  std::string& chosen = kernels_[layer];
  if (IsOneOf(candidates, chosen)) return chosen;
  const double start = ThreadSeconds();
  chosen = Fastest(candidates);
  summary_.layers = static_cast<int>(kernels_.size());
  ++summary_.measured;
  summary_.measuring_s += ThreadSeconds() - start;
  if (!path_.empty()) summary_.kept = Write(layer, candidates, &chosen);
  return chosen;
}

absl::Status KernelPlan::Write(const std::string& layer, const std::vector<Candidate>& candidates,
                               std::string* kernel) const {
  const Turn turn(path_);
  absl::StatusOr<PlanFile> file = ReadPlan(path_, machine_);
  if (!file.ok()) return file.status();
  std::vector<std::string>& lines = file->lines;
  const std::string line = absl::StrCat(layer, kIs, *kernel);
  if (const auto old = file->choices.find(layer); old != file->choices.end()) {
    if (IsOneOf(candidates, old->second.kernel)) {
      *kernel = old->second.kernel;
      return absl::OkStatus();
    }
    lines[old->second.line] = line;
  } else {
    if (lines.empty()) lines.emplace_back(kFirstLine);
    if (!file->has_section) {
      lines.push_back(absl::StrCat("[", machine_, "]"));
      file->end_of_section = lines.size();
    }
    lines.insert(lines.begin() + static_cast<std::ptrdiff_t>(file->end_of_section), line);
  }
  return files::WriteFile(path_, absl::StrCat(absl::StrJoin(lines, "\n"), "\n"));
}

KernelPlan::Summary KernelPlan::summary() const {
  const std::lock_guard lock(mutex_);
  return summary_;
}

}  // namespace nn::onednn
