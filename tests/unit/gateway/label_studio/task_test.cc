#include "gateway/label_studio/task.h"

#include <gmock/gmock.h>

#include <string>

#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace gateway::label_studio {
namespace {

using duet_testing::IsOk;
using duet_testing::StatusIs;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

std::string ReadData(const std::string& name) {
  return duet_testing::ReadFile(DUET_TEST_DATA "/label_studio/" + name);
}

TEST(PredictRequestTest, ARecordedBatchHasItsTasksInOrder) {
  ASSERT_OK_AND_ASSIGN(const PredictRequest request,
                       ParsePredictRequest(ReadData("predict_batch.json")));

  ASSERT_EQ(request.tasks.size(), 3u);
  EXPECT_EQ(request.tasks[2].id, 3);
  EXPECT_EQ(request.tasks[0].data.at("image").as_string(), "/data/upload/1/9d55b9ee-shape0.jpg");
  EXPECT_EQ(request.project_id, "1");
  EXPECT_THAT(request.label_config, HasSubstr("<RectangleLabels"));
  EXPECT_FALSE(request.interactive());
}

TEST(PredictRequestTest, ARecordedClickIsInteractiveAndAnOpenedTaskIsNot) {
  ASSERT_OK_AND_ASSIGN(const PredictRequest click,
                       ParsePredictRequest(ReadData("predict_keypoints.json")));
  ASSERT_OK_AND_ASSIGN(const PredictRequest opened,
                       ParsePredictRequest(ReadData("predict_opened_task.json")));

  EXPECT_TRUE(click.interactive());
  EXPECT_EQ(click.tasks[0].id, 12);
  EXPECT_FALSE(opened.interactive());
}

TEST(PredictRequestTest, ErrorsNameTheFieldOrTheTask) {
  const auto parse = [](std::string_view body) { return ParsePredictRequest(body); };
  EXPECT_THAT(parse("{"), StatusIs(kInvalid, HasSubstr("not JSON")));
  EXPECT_THAT(parse("{} x"), StatusIs(kInvalid, HasSubstr("not JSON")));
  EXPECT_THAT(parse("[]"), StatusIs(kInvalid, HasSubstr("is a list; needed: an object")));
  EXPECT_THAT(parse("{}"), StatusIs(kInvalid, "'tasks' is missing"));
  EXPECT_THAT(parse(R"({"tasks":{}})"), StatusIs(kInvalid, HasSubstr("'tasks' is an object")));
  EXPECT_THAT(parse(R"({"tasks":[]})"), StatusIs(kInvalid, HasSubstr("'tasks' is empty")));
  EXPECT_THAT(parse(R"({"tasks":[{"id":1,"data":{}},7]})"),
              StatusIs(kInvalid, HasSubstr("'tasks[1]' is a number")));
  EXPECT_THAT(parse(R"({"tasks":[{"id":"x","data":{}}]})"),
              StatusIs(kInvalid, HasSubstr("'tasks[0].id' is a string")));
  EXPECT_THAT(parse(R"({"tasks":[{"id":1}]})"), StatusIs(kInvalid, "'tasks[0].data' is missing"));
  EXPECT_THAT(parse(R"({"tasks":[{"data":{}}],"label_config":3})"),
              StatusIs(kInvalid, HasSubstr("'label_config' is a number")));
  EXPECT_THAT(parse(R"({"tasks":[{"data":{}}],"params":{"context":[]}})"),
              StatusIs(kInvalid, HasSubstr("'params.context' is a list")));
  EXPECT_THAT(parse(R"({"tasks":[{"data":{}},{"data":{}}],"params":{"context":{}}})"),
              StatusIs(kInvalid, HasSubstr("given for 2 tasks")));
}

TEST(PredictRequestTest, LimitsHold) {
  const std::string three = R"({"tasks":[{"data":{}},{"data":{}},{"data":{}}]})";
  EXPECT_THAT(ParsePredictRequest(three, {.max_tasks = 3}), IsOk());
  EXPECT_THAT(ParsePredictRequest(three, {.max_tasks = 2}),
              StatusIs(kInvalid, HasSubstr("at most 2")));
  const std::string deep(100'000, '[');
  EXPECT_THAT(ParsePredictRequest(deep), StatusIs(kInvalid, HasSubstr("not JSON")));
}

TEST(SetupRequestTest, ARecordedSetupIsRead) {
  ASSERT_OK_AND_ASSIGN(const SetupRequest setup, ParseSetupRequest(ReadData("setup.json")));

  EXPECT_EQ(setup.project_id, "1");
  EXPECT_EQ(setup.hostname, "http://127.0.0.1:18080");
  EXPECT_EQ(setup.access_token.size(), 40u);
  EXPECT_EQ(setup.extra_params.at("hello").as_string(), "world");
}

TEST(SetupRequestTest, ExtraParamsMayBeAStringThatHoldsAnObject) {
  ASSERT_OK_AND_ASSIGN(const SetupRequest setup,
                       ParseSetupRequest(R"({"extra_params":"{\"a\":1}"})"));
  EXPECT_EQ(setup.extra_params.at("a").as_int64(), 1);
  EXPECT_THAT(ParseSetupRequest(R"({"extra_params":null})"), IsOk());
  EXPECT_THAT(ParseSetupRequest(R"({"extra_params":"{"})"),
              StatusIs(kInvalid, HasSubstr("'extra_params'")));
  EXPECT_THAT(ParseSetupRequest(R"({"extra_params":[1]})"),
              StatusIs(kInvalid, HasSubstr("'extra_params' is a list")));
}

TEST(WebhookTest, RecordedEventsGiveActionProjectAndIds) {
  ASSERT_OK_AND_ASSIGN(const WebhookEvent created,
                       ParseWebhook(ReadData("webhook_annotation_created.json")));
  ASSERT_OK_AND_ASSIGN(const WebhookEvent deleted,
                       ParseWebhook(ReadData("webhook_annotations_deleted.json")));

  EXPECT_EQ(created.action, "ANNOTATION_CREATED");
  EXPECT_EQ(created.project_id, "1");
  EXPECT_THAT(created.label_config, HasSubstr("<View>"));
  EXPECT_EQ(created.task_ids.size(), 1u);
  EXPECT_EQ(created.annotation_ids.size(), 1u);
  EXPECT_THAT(deleted.annotation_ids, ElementsAre(1));
  EXPECT_THAT(ParseWebhook("{}"), StatusIs(kInvalid, "'action' is missing"));
  EXPECT_THAT(ParseWebhook(R"({"action":"NEW_ONE","project":3,"tasks":7})"), IsOk());
}

}  // namespace
}  // namespace gateway::label_studio
