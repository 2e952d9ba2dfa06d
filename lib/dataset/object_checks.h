// What makes a drawn shape an object of a sample. Internal to dataset.
#ifndef DUET_DATASET_OBJECT_CHECKS_H_
#define DUET_DATASET_OBJECT_CHECKS_H_

#include <absl/status/status.h>

#include <string>
#include <vector>

#include "vision/geometry.h"

namespace dataset {

// True without width or height.
bool IsEmpty(const vision::Box& box);

// InvalidArgument if a name is empty or there twice.
absl::Status CheckClasses(const std::vector<std::string>& classes);

}  // namespace dataset

#endif  // DUET_DATASET_OBJECT_CHECKS_H_
