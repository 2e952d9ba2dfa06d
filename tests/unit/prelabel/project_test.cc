#include "prelabel/project.h"

#include <gmock/gmock.h>

#include <boost/json/object.hpp>
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

}  // namespace
}  // namespace prelabel
