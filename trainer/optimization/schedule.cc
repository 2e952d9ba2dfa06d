#include "trainer/optimization/schedule.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numbers>

namespace trainer {

std::vector<double> FlatCosineSchedule::LearningRates() const {
  const std::int64_t cosine_begin = std::int64_t{epochs / 2} * iterations_per_epoch;
  const std::int64_t period = epochs / 2 > 0 ? cosine_begin : iterations();  // T_max
  const double lowest = base * final_share;
  const auto cosine = [&](std::int64_t step) {
    return std::cos(std::numbers::pi * static_cast<double>(step) / static_cast<double>(period));
  };
  std::vector<double> rates(static_cast<std::size_t>(std::max<std::int64_t>(0, iterations())));
  double rate = base;
  for (std::int64_t i = 0; i < iterations(); ++i) {
    if (i < warmup_iterations && warmup_iterations > 1) {
      const double gain = 1 - warmup_start;
      rate *= i == 0 ? warmup_start
                     : 1 + gain / ((warmup_iterations - 1) * warmup_start +
                                   static_cast<double>(i - 1) * gain);
    }
    if (const std::int64_t step = i - cosine_begin; step > 0) {
      rate = (step - 1 - period) % (2 * period) == 0
                 ? rate + (base - lowest) *
                              (1 - std::cos(std::numbers::pi / static_cast<double>(period))) / 2
                 : (1 + cosine(step)) / (1 + cosine(step - 1)) * (rate - lowest) + lowest;
    }
    rates[static_cast<std::size_t>(i)] = rate;
  }
  return rates;
}

}  // namespace trainer
