// Detections and masks, as the regions and predictions that Label Studio stores
// (docs/label_studio.md).
//
// Regions are in percent of the image's width and height, clamped to [0, 100]. Scores are clamped
// to [0, 1], since a mask's IoU estimate may exceed 1. What is empty after clamping is dropped and
// counted. Every region gets an id of 10 characters: a random one, unless it has to be the same
// each time that the same thing is written.
#ifndef DUET_LABEL_STUDIO_RESULT_H_
#define DUET_LABEL_STUDIO_RESULT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "label_studio/answer_plan.h"
#include "label_studio/context.h"
#include "label_studio/emission_plan.h"
#include "label_studio/region_kind.h"
#include "vision/geometry.h"
#include "vision/mask.h"
#include "vision/rotated_box.h"

namespace label_studio {

// One object of one image.
struct Object {
  std::string class_name;
  float score = 0;  // the detector's
  vision::Box box;
  std::optional<vision::RotatedBox> rotated_box;
  std::optional<vision::Mask> mask;
  float mask_score = 0;  // the segmenter's estimate, or the detector's score for its own masks
};

// Regions as a JSON fragment: a run-length code is long, so it is written as text at once.
struct Regions {
  std::string json;                            // comma-separated objects, no brackets
  int count = 0;                               // of regions; shape and labels are one
  double score_sum = 0;                        // of the regions' clamped scores
  std::optional<double> score;                 // of the prediction; absent: the regions' mean
  int degenerate = 0;                          // objects or masks dropped as empty
  std::vector<std::string> unmatched_classes;  // each once: no control takes them

  void Append(Regions&& other);
};

// The regions of one image. `item_index`: which image of a list tag; -1 for a single one.
// `id_seed`: what the regions' ids are made of; absent: of chance.
Regions MakeRegions(const EmissionPlan& plan, vision::Size size, const std::vector<Object>& objects,
                    int item_index = -1, std::optional<std::uint64_t> id_seed = std::nullopt);

// The answer to a smart tool: one object, written into each of the targets (several polygons if the
// mask has several parts). `mask` has the image's real size, which may differ from `prompt.size`.
// No region if the mask is empty.
Regions MakeAnswer(const InteractivePrompt& prompt, const std::vector<AnswerTarget>& targets,
                   const vision::Mask& mask, float score);

// {"result":[...],"score":`regions.score`, else the mean of the regions' scores, or 0,
// "model_version":"..."}: one item of `results`.
std::string PredictionJson(const Regions& regions, std::string_view model_version);

// {"results":[...],"model_version":"..."} from one item a task, in the tasks' order; "{}" stands
// for a task that Label Studio shall ask again for.
std::string PredictResponseJson(std::vector<std::string> predictions,
                                std::string_view model_version);

}  // namespace label_studio

#endif  // DUET_LABEL_STUDIO_RESULT_H_
