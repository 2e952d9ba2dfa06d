#include "curation/label_issues.h"

#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <tuple>

#include "vision/box.h"

namespace curation {
namespace {

// Boxes of one object overlap so much, as in COCO's AP50.
constexpr double kSameObject = 0.5;
// A box that overlaps the object less was not meant for it.
constexpr double kMeantForIt = 0.1;
// People and models place boxes as differently as this without anybody being wrong; below the other
// one the box is wrong for certain.
constexpr double kGoodIou = 0.8;
constexpr double kBadIou = 0.4;
// That a model finds nothing says less than that it finds something else: what it can't see, small
// and hidden objects, is drawn by people all the same.
constexpr double kAbsence = 0.8;

double Misfit(double iou) { return std::clamp((kGoodIou - iou) / (kGoodIou - kBadIou), 0.0, 1.0); }

constexpr int kNobody = -1;

// One image.
class Comparison {
 public:
  Comparison(absl::Span<const AnnotatedObject> objects, absl::Span<const Detection> detections)
      : objects_(objects) {
    for (const Detection& detection : detections) {
      if (detection.score > kLeastScore) found_.push_back(&detection);
    }
    std::stable_sort(found_.begin(), found_.end(),
                     [](const auto* a, const auto* b) { return a->score > b->score; });
    explains_.assign(found_.size(), kNobody);
    match_.assign(objects_.size(), kNobody);
  }

  std::vector<Issue> Issues() {
    Match();
    std::vector<Issue> issues;
    for (std::size_t i = 0; i < objects_.size(); ++i) {
      if (!objects_[i].can_be_found) continue;
      const Issue issue = IssueOf(static_cast<int>(i));
      if (issue.suspicion > 0) issues.push_back(issue);
    }
    AddMissing(&issues);
    std::stable_sort(issues.begin(), issues.end(),
                     [](const Issue& a, const Issue& b) { return a.suspicion > b.suspicion; });
    return issues;
  }

 private:
  double Iou(std::size_t object, std::size_t found) const {
    return vision::BoxIou(objects_[object].box, found_[found]->box);
  }
  bool SameLabel(std::size_t object, std::size_t found) const {
    const auto& labels = objects_[object].labels;
    return labels.empty() ||
           std::find(labels.begin(), labels.end(), found_[found]->label) != labels.end();
  }
  void Match();
  Issue IssueOf(int object) const;
  Issue WrongLabel(std::size_t object, double own_score) const;
  void AddMissing(std::vector<Issue>* issues) const;

  const absl::Span<const AnnotatedObject> objects_;
  std::vector<const Detection*> found_;  // best first
  // Of each that was found, the object that it is the same as: by label and place; by place alone,
  // if nothing is left by label.
  std::vector<int> explains_;
  std::vector<int> match_;  // of each object, what was found of it by its label
};

// Each detection stands for one object at most, and the other way around, the best pairs first.
void Comparison::Match() {
  std::vector<std::tuple<double, std::size_t, std::size_t>> pairs;
  for (std::size_t i = 0; i < objects_.size(); ++i) {
    for (std::size_t j = 0; j < found_.size(); ++j) {
      const double iou = Iou(i, j);
      if (SameLabel(i, j) && iou >= kMeantForIt) pairs.emplace_back(iou * found_[j]->score, i, j);
    }
  }
  std::stable_sort(pairs.begin(), pairs.end(),
                   [](const auto& a, const auto& b) { return std::get<0>(a) > std::get<0>(b); });
  for (const auto& [worth, i, j] : pairs) {
    if (match_[i] != kNobody || explains_[j] != kNobody) continue;
    match_[i] = static_cast<int>(j);
    explains_[j] = static_cast<int>(i);
  }
}

Issue Comparison::WrongLabel(std::size_t object, double own_score) const {
  Issue issue{.kind = IssueKind::kWrongLabel, .object = static_cast<int>(object)};
  for (std::size_t j = 0; j < found_.size(); ++j) {
    if (SameLabel(object, j) || explains_[j] != kNobody) continue;
    const double iou = Iou(object, j);
    const double suspicion = found_[j]->score * (1 - own_score);
    if (!(iou >= kSameObject) || suspicion <= issue.suspicion) continue;
    issue.suspicion = suspicion;
    issue.found = *found_[j];
    issue.iou = iou;
  }
  return issue;
}

Issue Comparison::IssueOf(int object) const {
  const auto i = static_cast<std::size_t>(object);
  double own_score = 0;
  Issue bad_box{.kind = IssueKind::kBadBox, .object = object};
  if (match_[i] != kNobody) {
    const auto j = static_cast<std::size_t>(match_[i]);
    bad_box.found = *found_[j];
    bad_box.iou = Iou(i, j);
    bad_box.suspicion = found_[j]->score * Misfit(bad_box.iou);
    if (bad_box.iou >= kSameObject) own_score = found_[j]->score;
  }
  Issue spurious{.kind = IssueKind::kSpurious, .object = object};
  for (std::size_t j = 0; j < found_.size(); ++j) {
    const bool others = explains_[j] != kNobody && explains_[j] != object;
    if (others || !(Iou(i, j) >= kMeantForIt) || found_[j]->score <= spurious.found.score) continue;
    spurious.found = *found_[j];
    spurious.iou = Iou(i, j);
  }
  spurious.suspicion = kAbsence * (1 - spurious.found.score);
  const Issue wrong_label = WrongLabel(i, own_score);
  return std::max({wrong_label, bad_box, spurious},
                  [](const Issue& a, const Issue& b) { return a.suspicion < b.suspicion; });
}

void Comparison::AddMissing(std::vector<Issue>* issues) const {
  std::vector<const Detection*> missing;
  for (std::size_t j = 0; j < found_.size(); ++j) {
    if (explains_[j] != kNobody) continue;
    // One object may be found as several classes.
    bool known = false;
    for (std::size_t i = 0; i < objects_.size(); ++i) known = known || Iou(i, j) >= kSameObject;
    for (const Detection* other : missing) {
      known = known || vision::BoxIou(other->box, found_[j]->box) >= kSameObject;
    }
    if (known) continue;
    missing.push_back(found_[j]);
    issues->push_back(
        {.kind = IssueKind::kMissing, .suspicion = found_[j]->score, .found = *found_[j]});
  }
}

}  // namespace

std::string_view NameOf(IssueKind kind) {
  switch (kind) {
    case IssueKind::kWrongLabel:
      return "wrong_label";
    case IssueKind::kBadBox:
      return "bad_box";
    case IssueKind::kSpurious:
      return "spurious";
    case IssueKind::kMissing:
      return "missing";
  }
  return "";
}

std::vector<Issue> FindIssues(absl::Span<const AnnotatedObject> objects,
                              absl::Span<const Detection> detections) {
  return Comparison(objects, detections).Issues();
}

std::string Sentence(const Issue& issue, absl::Span<const std::string> labels) {
  const std::string annotated = absl::StrJoin(labels, ", ");
  const Detection& found = issue.found;
  switch (issue.kind) {
    case IssueKind::kWrongLabel:
      return absl::StrFormat("annotated as %s, but the model finds %s there (score %.2f)",
                             annotated, found.label, found.score);
    case IssueKind::kBadBox:
      return absl::StrFormat(
          "the model places the %s differently (score %.2f, the boxes overlap by IoU %.2f)",
          found.label, found.score, issue.iou);
    case IssueKind::kSpurious:
      if (found.score == 0) return absl::StrFormat("the model finds no %s there", annotated);
      return absl::StrFormat("the model hardly finds the %s: at best %s with score %.2f", annotated,
                             found.label, found.score);
    case IssueKind::kMissing:
      return absl::StrFormat("nobody annotated the %s that the model finds (score %.2f)",
                             found.label, found.score);
  }
  return "";
}

}  // namespace curation
