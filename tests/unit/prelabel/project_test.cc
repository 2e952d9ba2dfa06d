#include "prelabel/project.h"

#include <gmock/gmock.h>

#include <boost/json/object.hpp>
#include <memory>
#include <string>

#include "tests/testing/status_matchers.h"

namespace prelabel {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr char kBrush[] = R"(<View><Image name="image" value="$image"/>
  <BrushLabels name="brush" toName="image"><Label value="cat"/></BrushLabels></View>)";
constexpr char kOfTasks[] = R"(<View><Image name="image" value="$image"/>
  <BrushLabels name="brush" toName="image" value="$labels"/></View>)";

TEST(ProjectTest, ClicksShareOnePlanUnlessTheConfigIsTheTasksOwn) {
  ASSERT_OK_AND_ASSIGN(const auto project, Project::Create(kBrush, {}));
  ASSERT_OK_AND_ASSIGN(const auto config, project->ConfigFor({}));
  EXPECT_EQ(project->AnswersFor(config), project->AnswersFor(config));

  ASSERT_OK_AND_ASSIGN(const auto of_tasks, Project::Create(kOfTasks, {}));
  const boost::json::object task = {{"labels", {"cat"}}};
  ASSERT_OK_AND_ASSIGN(const auto first, of_tasks->ConfigFor(task));
  ASSERT_OK_AND_ASSIGN(const auto second, of_tasks->ConfigFor(task));
  EXPECT_NE(of_tasks->AnswersFor(first), of_tasks->AnswersFor(second));
}

TEST(ProjectTest, WhatIsSaidOnceIsSaidOnceAProjectOfLabelStudios) {
  ASSERT_OK_AND_ASSIGN(const auto project, Project::Create(kBrush, {}));

  EXPECT_THAT(project->FirstSeen("1", {"dog", "cow"}), ElementsAre("dog", "cow"));
  EXPECT_THAT(project->FirstSeen("1", {"cow", "hen"}), ElementsAre("hen"));
  EXPECT_THAT(project->FirstSeen("2", {"dog"}), ElementsAre("dog"));
  EXPECT_THAT(project->FirstSeen("2", {"dog"}), IsEmpty());
}

// Projects with equal label configs share this, and each may have a model of its own.
TEST(ProjectTest, PlansForSeveralModelsAreKept) {
  const auto project = Project::Create(
      R"(<View><Image name="image" value="$image"/><RectangleLabels name="r" toName="image">
         <Label value="cat"/></RectangleLabels></View>)",
      {});
  ASSERT_TRUE(project.ok()) << project.status();
  const auto model = [](const std::string& version) {
    ServedModels models;
    models.detector = std::make_shared<const backends::DetectorModel>(
        backends::DetectorModel{.name = "d", .version = version, .classes = {"cat"}});
    return models;
  };
  const auto plan = [&](const ServedModels& models) { return *(*project)->PlanFor(models, {}); };
  const ServedModels own = model("own-1");
  const ServedModels usual = model("d1");
  const auto first = plan(own);
  for (int i = 0; i < 3; ++i) {
    EXPECT_NE(plan(usual), first);
    EXPECT_EQ(plan(own), first) << "the other one's request threw it away";
  }
  // Within a bound.
  const std::weak_ptr<const PlannedConfig> old = plan(usual);
  for (int i = 0; i < 20; ++i) plan(model(std::to_string(i)));
  EXPECT_TRUE(old.expired());
}

}  // namespace
}  // namespace prelabel
