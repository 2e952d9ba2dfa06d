// How losses and scores of trainings went, of what the trainer has told of their progress, for a
// plot. In memory: a gateway that begins later sees the rest of a curve.
//
// Not thread-safe.
#ifndef DUET_GATEWAY_JOBS_PROGRESS_CURVES_H_
#define DUET_GATEWAY_JOBS_PROGRESS_CURVES_H_

#include <boost/json/array.hpp>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "duet/trainer/v1/trainer.pb.h"

namespace gateway::jobs {

class ProgressCurves {
 public:
  // Of a job. Once there are more, every other one goes, and those to come are as far apart.
  static constexpr std::size_t kMaxPoints = 120;

  // Of a step that was noted before, nothing is kept.
  void Note(const std::string& job, const duet::trainer::v1::Progress& progress);
  // Drops the curves of the jobs of which `is_gone` is true.
  void Forget(const std::function<bool(const std::string& job)>& is_gone);
  // [[step, loss, score], …]; null for what wasn't known. Empty if nothing was noted.
  boost::json::array Of(const std::string& job) const;

 private:
  struct Point {
    std::uint32_t step = 0;
    std::optional<double> loss;
    std::optional<double> score;
  };
  struct Curve {
    std::uint32_t apart = 1;  // steps between two points, at least
    std::vector<Point> points;
  };
  std::map<std::string, Curve> curves_;  // by job
};

}  // namespace gateway::jobs

#endif  // DUET_GATEWAY_JOBS_PROGRESS_CURVES_H_
