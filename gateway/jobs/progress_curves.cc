#include "gateway/jobs/progress_curves.h"

#include <algorithm>

namespace gateway::jobs {
namespace {

namespace json = boost::json;

json::value OrNull(const std::optional<double>& number) {
  return number ? json::value(*number) : json::value(nullptr);
}

}  // namespace

void ProgressCurves::Note(const std::string& job, const duet::trainer::v1::Progress& progress) {
  if (!progress.has_loss() && !progress.has_score()) return;
  Curve& curve = curves_[job];
  Point point{.step = progress.step()};
  if (progress.has_loss()) point.loss = progress.loss();
  if (progress.has_score()) point.score = progress.score();
  if (!curve.points.empty()) {
    const Point& last = curve.points.back();
    // It begins again from its last save.
    if (point.step < last.step) {
      std::erase_if(curve.points, [&](const Point& old) { return old.step >= point.step; });
    } else if (point.step - last.step < curve.apart && point.score == last.score) {
      return;
    }
  }
  curve.points.push_back(point);
  if (curve.points.size() <= kMaxPoints) return;
  std::size_t kept = 0;
  for (std::size_t i = 0; i < curve.points.size(); i += 2) curve.points[kept++] = curve.points[i];
  curve.points.resize(kept);
  curve.apart = std::max(2 * curve.apart, (curve.points.back().step - curve.points.front().step) /
                                              static_cast<std::uint32_t>(kMaxPoints));
}

void ProgressCurves::Forget(const std::function<bool(const std::string& job)>& is_gone) {
  std::erase_if(curves_, [&](const auto& entry) { return is_gone(entry.first); });
}

json::array ProgressCurves::Of(const std::string& job) const {
  json::array points;
  const auto found = curves_.find(job);
  if (found == curves_.end()) return points;
  for (const Point& point : found->second.points) {
    points.push_back(json::array{point.step, OrNull(point.loss), OrNull(point.score)});
  }
  return points;
}

}  // namespace gateway::jobs
