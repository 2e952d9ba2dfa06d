// What somebody has marked on the page at /ui, as files for others: COCO, Label Studio's tasks,
// YOLO. They are those that dataset/ writes, so that Duet's commands and other tools read them.
#ifndef DUET_GATEWAY_ENDPOINTS_TRY_IT_EXPORT_H_
#define DUET_GATEWAY_ENDPOINTS_TRY_IT_EXPORT_H_

#include <absl/status/statusor.h>

#include <boost/json/object.hpp>
#include <string_view>

#include "label_studio/task.h"

namespace gateway::endpoints {

// `body`: {"format": "coco", "label_studio" or "yolo", "image": {"name": "a.jpg", "width": 640,
// "height": 480}, "labels": ["cat", …], "objects": [objects as try_it_messages.h has them]}.
// Labels of objects are among `labels`, which are numbered in their order.
//
// The answer: {"files": [{"name": "a.json", "text": "…"}, …], "notes": ["…"]}; the first file
// is the annotations, `notes` say what the format can't hold. Errors as those of the other
// messages.
absl::StatusOr<boost::json::object> ExportObjects(std::string_view body,
                                                  const label_studio::RequestLimits& limits);

}  // namespace gateway::endpoints

#endif  // DUET_GATEWAY_ENDPOINTS_TRY_IT_EXPORT_H_
