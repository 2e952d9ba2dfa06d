// `duet-train compare`: annotated images and two models in, a verdict out.
#ifndef DUET_TRAINER_GATE_COMPARE_FILES_H_
#define DUET_TRAINER_GATE_COMPARE_FILES_H_

#include <absl/status/statusor.h>

#include <boost/json/object.hpp>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

namespace trainer {

// Paths. A model is its checkpoint, or what it found on these images.
struct ComparedFiles {
  std::string annotations;  // COCO's, or Label Studio's if both are checkpoints
  std::string images;       // the folder that the annotations' images lie in
  // Of the Label Studio project, XML; "": a checkpoint's classes are found by their names.
  std::string label_config;
  // Neither: nothing has served before, which finds nothing.
  std::string old_checkpoint;
  std::string old_detections;  // COCO's results (evaluate/coco_results.h)
  std::string new_checkpoint;
  std::string new_detections;
};

struct CompareOptions {
  std::string precision = "fp32";  // as in ServedModel
  int threads = 0;                 // of a segmenter; 0: as many as the process has CPUs
  std::uint64_t seed = 1;          // of the draws
  // As in GateRule.
  double looks = 1;
  int annotated = 0;
  // Told after each image that a checkpoint has answered, of both models together.
  std::function<void(std::size_t done, std::size_t all)> progress = nullptr;
};

// ToJson of the comparison, and besides:
//   "new_classes"      of the data set, which the new model knows and the old one doesn't
//   "removed_classes"  of the old model, which the new one doesn't know
//   "left_out"         what the annotations' reader didn't use, or found odd, as sentences
// The lists of classes are empty unless both are checkpoints. A class that a model doesn't know it
// finds nowhere. With a label config what a checkpoint's classes are called doesn't matter, but
// which labels they stand for (samples/class_match.h), and classes that stand for none are nobody's
// loss. Two files with the same bytes are not compared: the new one is not better.
//
// An error names the file or the flag.
absl::StatusOr<boost::json::object> CompareFiles(const ComparedFiles& files,
                                                 const CompareOptions& options);

}  // namespace trainer

#endif  // DUET_TRAINER_GATE_COMPARE_FILES_H_
