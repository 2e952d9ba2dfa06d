// How good a segmenter's masks are for a user: the IoU from a box, and after each click.
#ifndef DUET_TRAINER_SEGMENTER_CLICK_SCORES_H_
#define DUET_TRAINER_SEGMENTER_CLICK_SCORES_H_

#include <absl/status/statusor.h>

#include <array>
#include <vector>

#include "segmenter_service/inference/embedding.h"
#include "trainer/segmenter/prompted_decoder.h"
#include "vision/mask.h"

namespace trainer {

inline constexpr std::size_t kScoredClicks = 5;

// Means over objects.
struct ClickScores {
  double box = 0;                              // the tight box around the object
  std::array<double, kScoredClicks> clicks{};  // after the first, the second, … click
  std::size_t objects = 0;

  // One number for all: the mean of the box's and the clicks' IoUs.
  double Mean() const;
  // The mean over the objects of both.
  void Add(const ClickScores& more);
};

// Prompts for each object as segment_anything's evaluation does: a click goes to the innermost
// pixel of the object, and each further one to that of where the answer is wrong, with the answer's
// logits. The first click is answered with the one of three masks whose predicted IoU is best. IoUs
// are of masks of the image's size, as clients get them. `masks` as TuningImage::masks.
absl::StatusOr<ClickScores> ScoreClicks(PromptedDecoder& decoder,
                                        const segmenter::ImageEmbedding& embedding,
                                        const std::vector<vision::Mask>& masks);

}  // namespace trainer

#endif  // DUET_TRAINER_SEGMENTER_CLICK_SCORES_H_
