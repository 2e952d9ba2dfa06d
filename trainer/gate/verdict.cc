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

// The difference as it would be known from so many images, if it stays what it is: its error
// shrinks with the square root of their number.
Difference KnownFrom(int images, const Difference& measured, double image_effect) {
  Difference known = measured;
  known.images = images;
  known.error =
      std::hypot(measured.error * std::sqrt(static_cast<double>(measured.images) / images),
                 image_effect / images);
  return known;
}

std::optional<Difference> KnownFrom(int images, const std::optional<Difference>& measured,
                                    double image_effect) {
  if (!measured) return std::nullopt;
  return KnownFrom(images, *measured, image_effect);
}

// What the whole gains at least, and with which confidence that is said.
struct Gain {
  double at_least;
  double confidence;
};

// The confidence that is asked of a gain, if `once` is enough for images that have never decided.
double AmongLooks(double once, const GateRule& rule) {
  return 1 - (1 - once) / std::max(rule.looks, 1.0);
}

std::optional<Gain> GainOf(const Difference& whole, const std::optional<Difference>& pooled,
                           const GateRule& rule) {
  const double needed = whole.old_score == 0 ? rule.first : 0;
  std::vector<double> confidences{AmongLooks(rule.confidence, rule)};
  if (pooled && pooled->AtLeast(confidences[0]) > needed)
    confidences.push_back(AmongLooks(rule.support, rule));
  for (const double confidence : confidences) {
    if (whole.AtLeast(confidence) > needed) return Gain{whole.AtLeast(confidence), confidence};
  }
  return std::nullopt;
}

// What a gain must reach to matter.
double GainThatMatters(const Difference& whole, const GateRule& rule) {
  return whole.old_score == 0 ? rule.first : rule.margin;
}

bool IsNoBetter(const Difference& whole, const GateRule& rule) {
  return whole.AtMost(rule.confidence) < GainThatMatters(whole, rule);
}

bool Fell(const Difference& measured, int images, const GateRule& rule) {
  const Difference known = KnownFrom(images, measured, rule.image_effect_on_part);
  return known.AtMost(rule.confidence) < -rule.fall;
}

// Which good parts fall for certain, and which seem to.
void FindFallen(const std::vector<ComparedPart>& parts, const GateRule& rule, Verdict* verdict) {
  for (const ComparedPart& part : parts) {
    const Difference& measured = part.difference;
    if (measured.old_score < rule.good) continue;
    if (Fell(measured, measured.images, rule)) {
      verdict->fallen.push_back(part.name);
    } else if (measured.value() < -rule.apparent_fall) {
      verdict->perhaps_fallen.push_back(part.name);
    }
  }
}

// The least number from `measured` on that decides. `decided` stays true once it is.
template <typename Decided>
int LeastImages(int measured, Decided decided) {
  int enough = std::max(measured, 1);
  while (enough < kMostImages && !decided(enough)) enough *= 2;
  int too_few = enough / 2;
  while (enough - too_few > 1) {
    const int middle = too_few + (enough - too_few) / 2;
    (decided(middle) ? enough : too_few) = middle;
  }
  return std::min(enough, kMostImages);
}

// Images of which `images` are compared on, as people count them.
int Annotated(int images, int compared, const GateRule& rule) {
  if (rule.annotated == 0) return images;
  return static_cast<int>(
      std::min(std::ceil(static_cast<double>(images) * rule.annotated / compared), 1e9));
}

int ImagesNeeded(const Difference& measured, const std::optional<Difference>& pooled,
                 const GateRule& rule) {
  if (measured.images < 2) return kImagesToBeginWith;
  return LeastImages(measured.images, [&](int images) {
    const Difference known = KnownFrom(images, measured, rule.image_effect);
    return GainOf(known, KnownFrom(images, pooled, rule.image_effect), rule) ||
           IsNoBetter(known, rule);
  });
}

// It gains, but good parts seem to fall: how many images with them would tell.
void LeaveUndecided(const std::string& figures, const std::vector<ComparedPart>& parts, int images,
                    const GateRule& rule, Verdict* verdict) {
  std::vector<std::string> sentences;
  for (const ComparedPart& part : parts) {
    const auto& names = verdict->perhaps_fallen;
    if (std::find(names.begin(), names.end(), part.name) == names.end()) continue;
    const Difference& measured = part.difference;
    const int needed = LeastImages(std::max(measured.images, 2), [&](int more) {
      Difference known = measured;
      known.error = std::isfinite(measured.error) ? measured.error : 0;
      return Fell(known, more, rule);
    });
    sentences.push_back(absl::StrFormat(
        "%s goes from %.2f to %.2f on %d image%s, and about %d annotated images with it would tell",
        part.name, measured.old_score, measured.new_score, measured.images,
        measured.images == 1 ? "" : "s", Annotated(needed, images, rule)));
    // All of them, if the part stays as frequent as it is.
    const double all = std::ceil(static_cast<double>(needed) * images / measured.images);
    verdict->images_needed =
        std::max(verdict->images_needed,
                 Annotated(static_cast<int>(std::min<double>(all, kMostImages)), images, rule));
  }
  verdict->reason =
      absl::StrFormat("%s, which would be better, but what was good may have fallen: %s.", figures,
                      absl::StrJoin(sentences, "; "));
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
               const std::vector<ComparedPart>& parts, int images, const GateRule& rule,
               const std::optional<Difference>& pooled) {
  Verdict verdict;
  if (!whole) {
    verdict.images_needed = std::max({kImagesToBeginWith, images + 1, rule.annotated + 1});
    verdict.reason = absl::StrFormat(
        "There is no object on the %d images to compare on, so nothing could be measured; about "
        "%d annotated images would tell more.",
        images, verdict.images_needed);
    return verdict;
  }
  const std::string figures = Figures(score, *whole, images);
  const Difference known = KnownFrom(whole->images, *whole, rule.image_effect);
  FindFallen(parts, rule, &verdict);
  if (!verdict.fallen.empty()) {
    verdict.decision = Decision::kNotBetter;
    verdict.reason = absl::StrFormat("%s, but what was good has fallen: %s.", figures,
                                     PartFigures(parts, verdict.fallen));
  } else if (const auto gain =
                 GainOf(known, KnownFrom(whole->images, pooled, rule.image_effect), rule)) {
    if (!verdict.perhaps_fallen.empty()) {
      LeaveUndecided(figures, parts, images, rule, &verdict);
      return verdict;
    }
    verdict.decision = Decision::kBetter;
    verdict.reason = absl::StrFormat("%s: better, by %.3f at least with %.3g %% certainty.",
                                     figures, gain->at_least, 100 * gain->confidence);
  } else if (IsNoBetter(known, rule)) {
    verdict.decision = Decision::kNotBetter;
    verdict.reason =
        absl::StrFormat("%s: not better, the gain is below %.2f with %.0f %% certainty.", figures,
                        GainThatMatters(known, rule), 100 * rule.confidence);
  } else {
    verdict.images_needed = Annotated(ImagesNeeded(*whole, pooled, rule), images, rule);
    verdict.reason = absl::StrFormat(
        "%s, which may be chance (standard error %.3f): about %d annotated images would decide it.",
        figures, known.error, verdict.images_needed);
  }
  return verdict;
}

}  // namespace trainer
