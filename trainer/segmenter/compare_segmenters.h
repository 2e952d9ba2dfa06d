// `duet-train compare` of segmenters: images with annotated masks and two checkpoints in, a verdict
// out.
#ifndef DUET_TRAINER_SEGMENTER_COMPARE_SEGMENTERS_H_
#define DUET_TRAINER_SEGMENTER_COMPARE_SEGMENTERS_H_

#include <absl/status/statusor.h>

#include <boost/json/object.hpp>
#include <string>

#include "trainer/gate/compare_files.h"

namespace trainer {

// Whether the file is a checkpoint that has a mask decoder. False, too, if it can't be read.
bool IsSegmenter(const std::string& checkpoint);

// ToJson of the comparison (gate/compare_prompts.h), by click_scores.h: each object is asked for by
// its tight box and by five clicks, which follow from the object and the model's own answers, not
// from chance; and "left_out" as in CompareFiles. Where old and new have the same encoder, as tuned
// ones have, each image is encoded once. Images without an object that has a mask don't count.
//
// The models are files.old_checkpoint, which may be empty, and files.new_checkpoint. An error names
// the file or the flag; also for what only detectors have: detections, a label config, a precision.
absl::StatusOr<boost::json::object> CompareSegmenters(const ComparedFiles& files,
                                                      const CompareOptions& options);

}  // namespace trainer

#endif  // DUET_TRAINER_SEGMENTER_COMPARE_SEGMENTERS_H_
