#include "gateway/endpoints/config_review.h"

#include <boost/json/array.hpp>
#include <set>
#include <utility>
#include <vector>

#include "label_studio/emission_plan.h"
#include "label_studio/json_fields.h"
#include "label_studio/json_parts.h"
#include "label_studio/label_config.h"
#include "prelabel/project.h"
#include "text/str_cat.h"

namespace gateway::endpoints {
namespace {

namespace json = boost::json;
using label_studio::JsonPart;

constexpr JsonPart kFields[] = {{.name = "label_config"},
                                {.name = "extra_params", .whole = true},
                                {.name = "task_data", .whole = true}};

// An object of the body; empty if it is absent.
absl::StatusOr<json::object> ObjectField(const json::object& body, std::string_view field) {
  const json::value* const value = body.if_contains(field);
  if (value == nullptr || value->is_null()) return json::object();
  if (!value->is_object()) {
    return absl::InvalidArgumentError(text::StrCat("'", field, "' is no object; needed: {…}"));
  }
  return json::object(value->get_object(), {});  // in memory that may outlive the body's
}

json::object ImageJson(const label_studio::EmissionPlan& plan,
                       const label_studio::LabelConfig& config,
                       const std::vector<std::string>& classes, std::set<std::string>* unmatched) {
  json::object image = {{"name", plan.image().name}};
  json::array& written = image["classes"].emplace_array();
  for (const std::string& name : classes) {
    json::array targets;
    for (const label_studio::EmissionPlan::Target& target : plan.TargetsOf(name)) {
      json::object& one = targets
                              .emplace_back(json::object{{"control", target.control->name},
                                                         {"tag", target.control->tag()}})
                              .get_object();
      if (target.label != nullptr) one["label"] = target.label->written();
    }
    if (targets.empty()) continue;
    unmatched->erase(name);
    written.push_back(json::object{{"class", name}, {"targets", std::move(targets)}});
  }
  json::array& smart = image["smart"].emplace_array();
  for (const label_studio::Control& control : config.controls) {
    if (!control.takes_prompts || control.to_name != plan.image().name) continue;
    smart.push_back(json::object{{"control", control.name}, {"tag", control.tag()}});
  }
  return image;
}

}  // namespace

absl::StatusOr<ConfigQuestion> ParseConfigQuestion(std::string_view body,
                                                   const label_studio::RequestLimits& limits) {
  const auto object = label_studio::ParseJsonObject(body, kFields, limits.max_depth, limits.memory);
  if (!object.ok()) return object.status();
  ConfigQuestion question{.label_config =
                              std::string(label_studio::TextField(*object, "label_config"))};
  if (question.label_config.empty()) {
    return absl::InvalidArgumentError(
        "'label_config' is missing; needed: XML, as Label Studio has it");
  }
  auto extra_params = ObjectField(*object, "extra_params");
  if (!extra_params.ok()) return extra_params.status();
  question.extra_params = *std::move(extra_params);
  auto task_data = ObjectField(*object, "task_data");
  if (!task_data.ok()) return task_data.status();
  question.task_data = *std::move(task_data);
  return question;
}

json::object Describe(prelabel::Project& project, const prelabel::ServedModels& models,
                      const json::object& task_data) {
  const prelabel::Project::Review review = project.ReviewFor(models);
  json::object answer = {{"depends_on_task", project.depends_on_task()}};
  json::array& problems = answer["problems"].emplace_array();
  if (!review.status.ok()) {
    const absl::string_view message = review.status.message();
    problems.emplace_back(json::string_view(message.data(), message.size()));
  }
  for (const std::string& warning : review.warnings) problems.emplace_back(warning);

  std::vector<std::string> classes;
  if (models.detector) classes = models.detector->classes;
  std::set<std::string> unmatched(classes.begin(), classes.end());
  json::array& images = answer["images"].emplace_array();
  const auto planned = project.PlanFor(models, task_data);
  if (planned.ok()) {
    for (const label_studio::EmissionPlan& plan : (*planned)->plans) {
      images.push_back(ImageJson(plan, *(*planned)->config, classes, &unmatched));
    }
  } else {
    // Only for a config that depends on the task.
    problems.emplace_back(text::StrCat("for this task: ", planned.status().message()));
  }
  // Which labels a task brings isn't known without one.
  if (project.depends_on_task() && task_data.empty()) unmatched.clear();
  json::array& without = answer["unmatched"].emplace_array();
  for (const std::string& name : classes) {
    if (unmatched.erase(name) > 0) without.emplace_back(name);
  }
  return answer;
}

absl::StatusOr<json::object> ReviewConfig(const ConfigQuestion& question,
                                          const prelabel::Settings& base,
                                          const prelabel::ServedModels& models) {
  const auto settings = prelabel::Refine(base, question.extra_params, /*strict=*/true);
  if (!settings.ok()) {
    return absl::InvalidArgumentError(
        text::StrCat("extra parameters: ", settings.status().message()));
  }
  const auto project = prelabel::Project::Create(question.label_config, *settings);
  if (!project.ok()) return project.status();
  return Describe(**project, models, question.task_data);
}

}  // namespace gateway::endpoints
