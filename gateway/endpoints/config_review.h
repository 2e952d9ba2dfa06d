// POST /ui/config: what Duet would write into a project with a label config, for people who are
// writing one.
#ifndef DUET_GATEWAY_ENDPOINTS_CONFIG_REVIEW_H_
#define DUET_GATEWAY_ENDPOINTS_CONFIG_REVIEW_H_

#include <absl/status/statusor.h>

#include <boost/json/object.hpp>
#include <string>
#include <string_view>

#include "label_studio/task.h"
#include "prelabel/profiles.h"
#include "prelabel/project.h"
#include "prelabel/settings.h"

namespace gateway::endpoints {

struct ConfigQuestion {
  std::string label_config;          // XML
  boost::json::object extra_params;  // as a project's; unknown keys are refused
  boost::json::object task_data;     // for a config that takes images or labels from the task
};
// {"label_config": "<View>…", "extra_params": {…}, "task_data": {…}}, of which the last two
// may be left out. InvalidArgument names the field; ResourceExhausted if there is no memory for it.
absl::StatusOr<ConfigQuestion> ParseConfigQuestion(std::string_view body,
                                                   const label_studio::RequestLimits& limits);

// What a project writes, of these models' classes: {"images": [{"name": "image", "classes":
// [{"class": "cat", "targets": [{"control": "box", "tag": "RectangleLabels", "label": "Cat"}]}],
// "smart": [{"control": "click", "tag": "KeyPointLabels"}]}], "unmatched": ["dog"], "problems":
// ["…"], "depends_on_task": false}. A class is in `unmatched` if no image takes it. A bare
// control's target has no label. Of an error, which a project with the config would get from
// /setup, `problems` has the sentence. `task_data` is looked at if the config takes images or
// labels from the task.
boost::json::object Describe(prelabel::Project& project, const prelabel::ServedModels& models,
                             const boost::json::object& task_data);

// The same for a question. InvalidArgument for what is no label config, and for settings that can't
// be.
absl::StatusOr<boost::json::object> ReviewConfig(const ConfigQuestion& question,
                                                 const prelabel::Settings& base,
                                                 const prelabel::ServedModels& models);

}  // namespace gateway::endpoints

#endif  // DUET_GATEWAY_ENDPOINTS_CONFIG_REVIEW_H_
