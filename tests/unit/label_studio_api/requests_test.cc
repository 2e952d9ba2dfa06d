#include "label_studio_api/requests.h"

#include <gmock/gmock.h>

#include <boost/json/parse.hpp>

#include "tests/testing/status_matchers.h"

namespace label_studio_api {
namespace {

using duet_testing::StatusIs;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

TEST(ProjectTest, ConfigAndSamplingAreRead) {
  ASSERT_OK_AND_ASSIGN(
      const ProjectInfo info,
      ParseProject(R"({"id": 1, "label_config": "<View/>", "sampling": "Uncertainty sampling"})"));
  ASSERT_OK_AND_ASSIGN(const ProjectInfo old,
                       ParseProject(R"({"label_config": "<View/>", "sampling": null})"));

  EXPECT_EQ(info.label_config, "<View/>");
  EXPECT_EQ(info.sampling, Sampling::kUncertainty);
  EXPECT_EQ(old.sampling, Sampling::kSequential);
  for (const char* bad : {"", "[]", "{}", R"({"label_config": 7})", "<html>"}) {
    EXPECT_THAT(ParseProject(bad),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("label_config")))
        << bad;
  }
}

TEST(ProjectTest, OnlyNumbersAreProjectIds) {
  EXPECT_TRUE(IsProjectId("17"));
  for (const char* bad : {"0", "007", "", "1/..", "-1", "1.5", "9999999999999999999"}) {
    EXPECT_FALSE(IsProjectId(bad)) << bad;
  }
}

TEST(TasksTest, PredictedOnesAreAskedForByTheirIdsAndTheVersion) {
  const std::string path = PredictedTasksPath("17", {5, 9}, "d1+s1+x");

  EXPECT_THAT(path, HasSubstr("/api/tasks?project=17&page=1&page_size=2&fields=task_only"));
  EXPECT_THAT(path, HasSubstr("%22operator%22%3A%22in_list%22"));
  EXPECT_THAT(path, HasSubstr("%22value%22%3A%5B5%2C9%5D"));
  EXPECT_THAT(path, HasSubstr("%22value%22%3A%5B%22d1%2Bs1%2Bx%22%5D")) << "a plus is no space";
  EXPECT_EQ(ImportPredictionsPath("17"), "/api/projects/17/import/predictions");
  EXPECT_EQ(ViewTasksPath("17", 3, 2, 50),
            "/api/tasks?project=17&view=3&page=2&page_size=50&fields=task_only&resolve_uri=false");
}

TEST(TasksTest, ThePathAsksForUnlabelledOnesWithImageStringsAsImported) {
  const std::string path = UnlabelledTasksPath("17", Sampling::kSequential, 5, 3);

  EXPECT_THAT(path, HasSubstr("/api/tasks?project=17&page=1&page_size=3"));
  EXPECT_THAT(path, HasSubstr("resolve_uri=false"));
  EXPECT_THAT(path, HasSubstr("completed_at"));
  EXPECT_THAT(path, HasSubstr("%22filter%3Atasks%3Aid%22%2C%22operator%22%3A%22greater%22"))
      << "behind the task that is open, not it again";
  EXPECT_THAT(path, HasSubstr("%22tasks%3Aid%22")) << "escaped";
  EXPECT_THAT(UnlabelledTasksPath("17", Sampling::kSequential, 0, 3), Not(HasSubstr("greater")));
  EXPECT_THAT(UnlabelledTasksPath("17", Sampling::kUncertainty, 0, 3),
              HasSubstr("predictions_score"));
}

TEST(TasksPathTest, TasksWithoutAnnotationsAreListedById) {
  const std::string path = TasksByIdPath("17", WhichTasks::kWithoutAnnotations, 5, 200);
  EXPECT_THAT(path, HasSubstr("/api/tasks?project=17&page=1&page_size=200"));
  EXPECT_THAT(path, HasSubstr("total_annotations%22%2C%22operator%22%3A%22equal%22"));
  EXPECT_THAT(path, HasSubstr("%22filter%3Atasks%3Aid%22%2C%22operator%22%3A%22greater%22"));
  EXPECT_THAT(TasksByIdPath("17", WhichTasks::kAll, 0, 3), Not(HasSubstr("filter%3A")));
}

TEST(TasksPathTest, AnnotatedTasksAreCountedFromATimeOn) {
  EXPECT_THAT(AnnotatedSincePath("17", absl::InfinitePast()),
              AllOf(HasSubstr("total_annotations%22%2C%22operator%22%3A%22greater%22"),
                    Not(HasSubstr("completed_at"))));
  EXPECT_THAT(AnnotatedSincePath("17", absl::FromUnixMillis(1'795'395'253'814)),
              AllOf(HasSubstr("completed_at%22%2C%22operator%22%3A%22greater%22"),
                    HasSubstr("2026-11-23T00%3A54%3A13.814Z")));
  EXPECT_EQ(*ParseTotal(R"({"total": 7, "tasks": [{"id": 1}]})"), 7);
  EXPECT_FALSE(ParseTotal("[]").ok());
  EXPECT_FALSE(ParseTotal(R"({"tasks": []})").ok());
}

TEST(BackendsTest, TheirAddressesAreRead) {
  EXPECT_EQ(BackendsPath("17"), "/api/ml?project=17");
  EXPECT_EQ(*ParseBackends(R"([{"id": 1, "url": "http://a/p/x"}, {"id": 2}])"),
            (std::vector<std::string>{"http://a/p/x", ""}));
  EXPECT_FALSE(ParseBackends(R"({"detail": "no"})").ok());
  EXPECT_FALSE(ParseBackends("[7]").ok());
}

TEST(ProjectTest, WhenItWasCreatedIsInWholeSeconds) {
  EXPECT_EQ(ParseProject(R"({"label_config": "<View/>",
                             "created_at": "2026-11-23T00:54:13.814966Z"})")
                ->created,
            1'795'395'253)
      << "as behind the dot of \"1.1795395253\"";
  EXPECT_EQ(ParseProject(R"({"label_config": "<View/>", "created_at": 7})")->created, 0);
  EXPECT_EQ(ParseProject(R"({"label_config": "<View/>"})")->created, 0);
}

TEST(TasksTest, PagedAndPlainListsAreRead) {
  ASSERT_OK_AND_ASSIGN(
      const auto tasks,
      ParseTasks(R"({"total": 2, "tasks": [{"id": 7, "data": {"image": "/a"}, "meta": null}]})"));

  ASSERT_EQ(tasks.size(), 1u);
  EXPECT_EQ(tasks[0].id, 7);
  EXPECT_EQ(tasks[0].data.at("image"), "/a");
  EXPECT_TRUE(ParseTasks("[]")->empty());
  for (const char* bad : {"", "{}", "[7]", R"([{"id": "7", "data": {}}])", R"([{"id": 7}])"}) {
    EXPECT_THAT(ParseTasks(bad), StatusIs(absl::StatusCode::kInvalidArgument)) << bad;
  }
}

TEST(AnnotatedTasksTest, ThePathAsksForAnnotatedOnesBehindAnId) {
  const std::string path = AnnotatedTasksPath("17", 5, 3);

  EXPECT_THAT(path, HasSubstr("/api/tasks?project=17&page=1&page_size=3"));
  EXPECT_THAT(path, HasSubstr("fields=all&resolve_uri=false"));
  EXPECT_THAT(path, HasSubstr("total_annotations%22%2C%22operator%22%3A%22greater%22"));
  EXPECT_THAT(path, HasSubstr("%22filter%3Atasks%3Aid%22%2C%22operator%22%3A%22greater%22%2C"
                              "%22type%22%3A%22Number%22%2C%22value%22%3A5"));
}

TEST(AnnotatedTasksTest, TasksAreKeptAsTheyAreWithoutPredictionsAndDrafts) {
  ASSERT_OK_AND_ASSIGN(const AnnotatedTasks page, ParseAnnotatedTasks(R"({"total": 2, "tasks": [
        {"id": 9, "data": {"image": "/a"}, "annotations": [], "predictions": [1], "drafts": [2]},
        {"id": 7, "annotations": [{"id": 1}]}]})"));

  ASSERT_EQ(page.tasks.size(), 2u);
  EXPECT_EQ(boost::json::parse(page.tasks[0]),
            boost::json::parse(R"({"id": 9, "data": {"image": "/a"}, "annotations": []})"));
  EXPECT_EQ(page.last_id, 9);
  EXPECT_TRUE(ParseAnnotatedTasks(R"({"tasks": []})")->tasks.empty());
  for (const char* bad : {"", "{}", "[7]", R"([{"id": 7}])", R"([{"annotations": []}])"}) {
    EXPECT_THAT(ParseAnnotatedTasks(bad), StatusIs(absl::StatusCode::kInvalidArgument)) << bad;
  }
}

TEST(PredictionTest, TheBodyIsThePredictionAndItsTask) {
  const std::string body = PredictionBody(7, R"({"result":[],"score":0,"model_version":"v"})");

  EXPECT_EQ(boost::json::parse(body),
            boost::json::parse(R"({"task": 7, "result": [], "score": 0, "model_version": "v"})"));
}

TEST(PredictionTest, OnlyTheSameVersionCounts) {
  const char* const stored = R"([{"id": 1, "model_version": "a"}, {"id": 2}])";

  EXPECT_TRUE(*HasPrediction(stored, "a"));
  EXPECT_FALSE(*HasPrediction(stored, "b"));
  EXPECT_TRUE(*HasPrediction(R"({"results": [{"model_version": "b"}]})", "b"));
  EXPECT_THAT(HasPrediction("<html>", "a"), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(ErrorTest, SaysWhatLabelStudioSaidAndWhetherToTryAgain) {
  EXPECT_THAT(ErrorOf(401, "/api/predictions/?task=1", "{}"),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("--label_studio_api_key")));
  EXPECT_THAT(
      ErrorOf(404, "/api/predictions/?task=1", "no such task"),
      StatusIs(absl::StatusCode::kNotFound, HasSubstr("404 to /api/predictions/: no such")));
  EXPECT_EQ(ErrorOf(403, "/x", "").code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(ErrorOf(429, "/x", "").code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ErrorOf(502, "/x", "").code(), absl::StatusCode::kUnavailable);
  const absl::Status refused = ErrorOf(400, "/x", std::string(5000, 'x') + "\n");
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_LT(refused.message().size(), 400u);
}

}  // namespace
}  // namespace label_studio_api
