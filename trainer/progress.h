// Reports the progress of a training run: a line every few seconds with the loss, the speed and the
// time that is left.
#ifndef DUET_TRAINER_PROGRESS_H_
#define DUET_TRAINER_PROGRESS_H_

#include <chrono>
#include <map>
#include <string>

namespace trainer {

class ProgressPrinter {
 public:
  ProgressPrinter(std::string name, int steps) : name_(std::move(name)), steps_(steps) {}

  // After step `step` (from 0). `losses` are averaged over the steps of a line.
  void Step(int step, double learning_rate, const std::map<std::string, double>& losses);

  double seconds() const;

 private:
  using Clock = std::chrono::steady_clock;

  const std::string name_;
  const int steps_;
  const Clock::time_point start_ = Clock::now();
  Clock::time_point last_line_ = start_;
  int averaged_ = 0;
  std::map<std::string, double> sums_;
};

}  // namespace trainer

#endif  // DUET_TRAINER_PROGRESS_H_
