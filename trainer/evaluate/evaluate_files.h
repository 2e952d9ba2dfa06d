// `duet-train evaluate --data`: annotated images in, scores out.
#ifndef DUET_TRAINER_EVALUATE_EVALUATE_FILES_H_
#define DUET_TRAINER_EVALUATE_EVALUATE_FILES_H_

#include <absl/status/statusor.h>

#include <boost/json/object.hpp>
#include <string>

namespace trainer {

// Paths. Either `checkpoint`, with `images`, or `detections` is given.
struct EvaluationFiles {
  // COCO's, or Label Studio's with a checkpoint (dataset/annotations_reader.h): results name
  // categories by their ids, which only COCO has.
  std::string annotations;
  std::string images;      // the folder that the annotations' images lie in
  std::string checkpoint;  // a detector's
  std::string detections;  // COCO's results (coco_results.h)
  // Where what `checkpoint` finds is written as COCO's results; the annotations must be COCO's. May
  // be empty.
  std::string found;
};

// EvaluationReport with the ten worst images, and "left_out": what the annotations' reader didn't
// use, or found odd, as sentences. `precision` as in ServedModel. An error names the file.
absl::StatusOr<boost::json::object> EvaluateFiles(const EvaluationFiles& files,
                                                  const std::string& precision);

}  // namespace trainer

#endif  // DUET_TRAINER_EVALUATE_EVALUATE_FILES_H_
