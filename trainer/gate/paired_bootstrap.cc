#include "trainer/gate/paired_bootstrap.h"

#include <algorithm>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <limits>

#include "trainer/scenes/random.h"

namespace trainer {
namespace {

// The mean and the standard deviation of numbers that come one by one (Welford 1962).
class Spread {
 public:
  void Add(double value) {
    ++count_;
    const double step = value - mean_;
    mean_ += step / count_;
    squares_ += step * (value - mean_);
  }
  double deviation() const { return count_ > 1 ? std::sqrt(squares_ / (count_ - 1)) : 0; }

 private:
  int count_ = 0;
  double mean_ = 0;
  double squares_ = 0;
};

double Quantile(double confidence, int images) {
  return boost::math::quantile(boost::math::students_t(images - 1), confidence);
}

}  // namespace

double Difference::AtLeast(double confidence) const {
  if (images < 2) return -std::numeric_limits<double>::infinity();
  return value() - Quantile(confidence, images) * error;
}

double Difference::AtMost(double confidence) const {
  if (images < 2) return std::numeric_limits<double>::infinity();
  return value() + Quantile(confidence, images) * error;
}

std::vector<std::optional<Difference>> PairedBootstrap(std::size_t images, Measure measure,
                                                       const BootstrapOptions& options) {
  std::vector<int> counts(images, 1);
  const ScorePairs on_all = measure(counts);
  std::vector<Spread> spreads(on_all.size());
  Random random(options.seed);
  for (int draw = 0; draw < options.draws && images > 1; ++draw) {
    std::fill(counts.begin(), counts.end(), 0);
    for (std::size_t i = 0; i < images; ++i) ++counts[random.Next() % images];
    const ScorePairs scores = measure(counts);
    for (std::size_t s = 0; s < scores.size(); ++s) {
      if (scores[s]) spreads[s].Add(scores[s]->new_score - scores[s]->old_score);
    }
  }
  // A draw varies about the mean of these images, from which they themselves are not independent.
  const double correction =
      images > 1 ? std::sqrt(static_cast<double>(images) / static_cast<double>(images - 1))
                 : std::numeric_limits<double>::infinity();
  std::vector<std::optional<Difference>> result(on_all.size());
  for (std::size_t s = 0; s < result.size(); ++s) {
    if (!on_all[s]) continue;
    result[s] = Difference{.old_score = on_all[s]->old_score,
                           .new_score = on_all[s]->new_score,
                           .images = static_cast<int>(images),
                           .error = images > 1 ? correction * spreads[s].deviation() : correction};
  }
  return result;
}

}  // namespace trainer
