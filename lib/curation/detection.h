// What a model found, as the measures of this room need it.
#ifndef DUET_CURATION_DETECTION_H_
#define DUET_CURATION_DETECTION_H_

#include <string>

#include "vision/geometry.h"

namespace curation {

// Detections below this score say nothing: most of them are background.
inline constexpr double kLeastScore = 0.05;

struct Detection {
  std::string label;  // what its class is called in the project
  double score = 0;   // 0 to 1
  vision::Box box;
};

}  // namespace curation

#endif  // DUET_CURATION_DETECTION_H_
