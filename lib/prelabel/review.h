// From one annotated task to what the project's model contradicts in it (curation/label_issues.h).
//
// The model looks at the images anew. Stored predictions won't do: those of annotated tasks are
// mostly an older model's, since nobody renews them, and weak objects are in none. Those tell an
// object that the model can hardly see from one that isn't there.
#ifndef DUET_PRELABEL_REVIEW_H_
#define DUET_PRELABEL_REVIEW_H_

#include <absl/status/statusor.h>

#include <boost/asio/awaitable.hpp>
#include <boost/json/object.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "curation/label_issues.h"
#include "prelabel/predictor.h"
#include "vision/geometry.h"

namespace prelabel {

// Boxes are in pixels of the upright image, whose size is `size`.
struct TaskIssue {
  curation::Issue issue;  // `object` is of no use here
  std::string region_id;  // of the annotated object; "" for what is missing
  std::vector<std::string> labels;
  std::string to_name;  // the Image tag
  int item_index = 0;   // which image of a list
  vision::Size size;
};

struct TaskReview {
  std::int64_t task_id = 0;
  std::string annotation_id;  // the newest, which was looked at; "" if there is none
  std::int64_t objects = 0;   // that were looked at
  std::int64_t unknown = 0;   // of classes that the model can't find: not looked at
  std::vector<TaskIssue> issues;
  std::string model_version;
};

// `task`: as Label Studio's API gives it, with its annotations. Errors are Predictor::Find's, and
// InvalidArgument if it is no task. All must outlive the coroutine.
boost::asio::awaitable<absl::StatusOr<TaskReview>> ReviewTask(Predictor& predictor,
                                                              const boost::json::object& task,
                                                              PredictContext& context);

}  // namespace prelabel

#endif  // DUET_PRELABEL_REVIEW_H_
