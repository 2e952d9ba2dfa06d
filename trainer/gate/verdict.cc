#include "trainer/gate/verdict.h"

#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>

#include <algorithm>
#include <cmath>

namespace trainer {
namespace {

constexpr int kMostImages = 1'000'000;
// Where nothing is known of how much a score varies, since there are no two images to measure it.
constexpr int kImagesToBeginWith = 10;

bool IsBetter(const Difference& whole, const GateRule& rule) {
  return whole.AtLeast(rule.gain_confidence) > 0 &&
         whole.AtLeast(rule.loss_confidence) > -rule.margin;
}

// It gains nothing that matters.
bool IsNoBetter(const Difference& whole, const GateRule& rule) {
  return whole.AtMost(rule.gain_confidence) < rule.margin;
}

std::vector<std::string> Fallen(const std::vector<ComparedPart>& parts, const GateRule& rule) {
  std::vector<std::string> fallen;
  for (const ComparedPart& part : parts) {
    const Difference& difference = part.difference;
    if (difference.old_score >= rule.good && difference.AtMost(rule.fall_confidence) < -rule.fall)
      fallen.push_back(part.name);
  }
  return fallen;
}

// If the difference stays what it is, and its error shrinks with the square root of the number.
int ImagesNeeded(const Difference& whole, const GateRule& rule) {
  if (whole.images < 2) return kImagesToBeginWith;
  const auto decided = [&](int images) {
    Difference more = whole;
    more.images = images;
    more.error *= std::sqrt(static_cast<double>(whole.images) / images);
    return IsBetter(more, rule) || IsNoBetter(more, rule);
  };
  int enough = whole.images;
  while (enough < kMostImages && !decided(enough)) enough *= 2;
  int too_few = enough / 2;
  while (enough - too_few > 1) {
    const int middle = too_few + (enough - too_few) / 2;
    (decided(middle) ? enough : too_few) = middle;
  }
  return std::min(enough, kMostImages);
}

std::string Figures(const std::string& score, const Difference& whole, int images) {
  return absl::StrFormat("%s goes from %.3f to %.3f on %d image%s", score, whole.old_score,
                         whole.new_score, images, images == 1 ? "" : "s");
}

std::string PartFigures(const std::vector<ComparedPart>& parts,
                        const std::vector<std::string>& names) {
  std::vector<std::string> figures;
  for (const ComparedPart& part : parts) {
    if (std::find(names.begin(), names.end(), part.name) == names.end()) continue;
    figures.push_back(absl::StrFormat("%s from %.2f to %.2f", part.name, part.difference.old_score,
                                      part.difference.new_score));
  }
  return absl::StrJoin(figures, ", ");
}

}  // namespace

const char* NameOf(Decision decision) {
  switch (decision) {
    case Decision::kBetter:
      return "better";
    case Decision::kNotBetter:
      return "not_better";
    case Decision::kUndecided:
      break;
  }
  return "undecided";
}

Verdict Decide(const std::string& score, const std::optional<Difference>& whole,
               const std::vector<ComparedPart>& parts, int images, const GateRule& rule) {
  Verdict verdict;
  if (!whole) {
    verdict.images_needed = std::max(kImagesToBeginWith, images + 1);
    verdict.reason = absl::StrFormat(
        "There is no object on the %d images to compare on, so nothing could be measured; about "
        "%d images with objects would tell more.",
        images, verdict.images_needed);
    return verdict;
  }
  const std::string figures = Figures(score, *whole, images);
  verdict.fallen = Fallen(parts, rule);
  if (!verdict.fallen.empty()) {
    verdict.decision = Decision::kNotBetter;
    verdict.reason = absl::StrFormat("%s, but what was good has fallen: %s.", figures,
                                     PartFigures(parts, verdict.fallen));
  } else if (IsBetter(*whole, rule)) {
    verdict.decision = Decision::kBetter;
    verdict.reason =
        absl::StrFormat("%s: better, by %.3f at least with %.0f %% certainty.", figures,
                        whole->AtLeast(rule.gain_confidence), 100 * rule.gain_confidence);
  } else if (IsNoBetter(*whole, rule)) {
    verdict.decision = Decision::kNotBetter;
    verdict.reason =
        absl::StrFormat("%s: not better, it gains less than %.2f with %.0f %% certainty.", figures,
                        rule.margin, 100 * rule.gain_confidence);
  } else {
    verdict.images_needed = ImagesNeeded(*whole, rule);
    verdict.reason = absl::StrFormat(
        "%s, which may be chance (standard error %.3f): about %d images would decide it.", figures,
        whole->error, verdict.images_needed);
  }
  return verdict;
}

}  // namespace trainer
