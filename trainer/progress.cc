#include "trainer/progress.h"

#include <absl/strings/str_format.h>

#include <iostream>

namespace trainer {

double ProgressPrinter::seconds() const {
  return std::chrono::duration<double>(Clock::now() - start_).count();
}

void ProgressPrinter::Step(int step, double learning_rate,
                           const std::map<std::string, double>& losses) {
  constexpr std::chrono::seconds kBetweenLines(10);
  ++averaged_;
  for (const auto& [name, value] : losses) sums_[name] += value;
  const Clock::time_point now = Clock::now();
  if (now - last_line_ < kBetweenLines && step + 1 < steps_) return;
  const double elapsed = seconds();
  const double left = elapsed / (step + 1) * (steps_ - step - 1);
  std::string line = absl::StrFormat("%s step %d/%d", name_, step + 1, steps_);
  for (const auto& [name, sum] : sums_)
    absl::StrAppendFormat(&line, " %s=%.4f", name, sum / averaged_);
  absl::StrAppendFormat(&line, " lr=%.2g steps/s=%.2f elapsed=%.0fs left=%.0fs", learning_rate,
                        (step + 1) / elapsed, elapsed, left);
  std::cerr << line << std::endl;
  last_line_ = now;
  averaged_ = 0;
  sums_.clear();
}

}  // namespace trainer
