#include "label_studio/task.h"

#include <gmock/gmock.h>

#include <boost/json/memory_resource.hpp>
#include <boost/json/serialize.hpp>
#include <new>
#include <string>

#include "tests/testing/status_matchers.h"
#include "tests/unit/label_studio/recorded.h"

namespace label_studio {
namespace {

using duet_testing::IsOk;
using duet_testing::StatusIs;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

// Of the first task of a request whose data is {"text": "..."} with this text.
std::string TextOfTask(const std::string& text) {
  const auto request =
      ParsePredictRequest(R"({"tasks":[{"id":1,"data":{"text":")" + text + "\"}}]}");
  if (!request.ok()) return std::string(request.status().message());
  return std::string(request->tasks[0].data.at("text").as_string());
}

TEST(TaskTest, HalfOfASurrogatePairIsReadAsTheReplacementCharacter) {
  EXPECT_EQ(TextOfTask(R"(cut \ud83d here)"), "cut \uFFFD here");
  EXPECT_EQ(TextOfTask(R"(\ude00\ud83d)"), "\uFFFD\uFFFD") << "the wrong way round";
  EXPECT_EQ(TextOfTask(R"(\ud83d\ud83d\ude00)"), "\uFFFD\U0001F600");
  EXPECT_EQ(TextOfTask(R"(\uD83D\u0041)"), "\uFFFDA");
  EXPECT_EQ(TextOfTask(R"(\ud83d\n\")"), "\uFFFD\n\"");
  EXPECT_EQ(TextOfTask(R"(\\ud83d)"), "\\ud83d") << "an escaped backslash is none";
  EXPECT_EQ(TextOfTask(R"(\ud83d\ude00)"), "\U0001F600");
  EXPECT_THAT(TextOfTask(R"(\ud83)"), HasSubstr("is not JSON"));
}

TEST(TaskTest, HalfOfASurrogatePairInAKeyOrInWhatIsNotReadFailsNothing) {
  ASSERT_OK_AND_ASSIGN(const PredictRequest request, ParsePredictRequest(R"({"tasks":[
      {"id":1,"data":{"\ud83d":"/a.jpg"},"annotations":[{"text":"\udc00"}]}],
      "label_config":"<View>\ud83d</View>"})"));
  EXPECT_EQ(request.tasks[0].data.begin()->key(), "\uFFFD");
  EXPECT_EQ(request.label_config, "<View>\uFFFD</View>");
}

TEST(TaskTest, HalfOfASurrogatePairInExtraParamsFailsNothing) {
  for (const char* extra_params :
       {R"({"label_map":{"cat":"\ud83d"}})", R"("{\"label_map\":{\"cat\":\"\ud83d\"}}")",
        R"("{\"label_map\":{\"cat\":\"\\ud83d\"}}")"}) {
    ASSERT_OK_AND_ASSIGN(
        const SetupRequest request,
        ParseSetupRequest(std::string(R"({"project":"1.5","extra_params":)") + extra_params + "}"));
    EXPECT_EQ(request.extra_params->at("label_map").at("cat"), "\uFFFD") << extra_params;
  }
}

TEST(TaskTest, NumbersThatAreNoneAreReadAsNull) {
  ASSERT_OK_AND_ASSIGN(const PredictRequest request, ParsePredictRequest(R"({"tasks":[
      {"id":1,"data":{"image":"/NaN.jpg","scale":NaN,"range":[-Infinity,Infinity]}}],
      "label_config":"<View/>"})"));
  EXPECT_EQ(boost::json::serialize(request.tasks[0].data),
            R"({"image":"/NaN.jpg","scale":null,"range":[null,null]})");
}

TEST(TaskTest, ExtraParamsThatAreNoObjectAreNamed) {
  const auto error = [](const std::string& text) {
    const auto request = ParseSetupRequest(R"({"project":"1.5","extra_params":")" + text + "\"}");
    EXPECT_THAT(request, IsOk());
    return request.ok() ? std::string(request->extra_params.status().message()) : "";
  };
  EXPECT_THAT(error("{]"), testing::StartsWith("the text of 'extra_params' is not JSON"));
  EXPECT_THAT(error("[]"), HasSubstr("'extra_params' is a list; needed: an object"));
  EXPECT_THAT(error("{} {}"), HasSubstr("the text of 'extra_params' is not JSON"));
}

TEST(PredictRequestTest, ARecordedBatchHasItsTasksInOrder) {
  ASSERT_OK_AND_ASSIGN(const PredictRequest request,
                       ParsePredictRequest(ReadRecorded("predict_batch.json")));

  ASSERT_EQ(request.tasks.size(), 3u);
  EXPECT_EQ(request.tasks[2].id, 3);
  EXPECT_EQ(request.tasks[0].data.at("image").as_string(), "/data/upload/1/9d55b9ee-shape0.jpg");
  EXPECT_EQ(request.project_id, "1");
  EXPECT_THAT(request.label_config, HasSubstr("<RectangleLabels"));
  EXPECT_FALSE(request.interactive());
}

TEST(PredictRequestTest, ARecordedClickIsInteractiveAndAnOpenedTaskIsNot) {
  ASSERT_OK_AND_ASSIGN(const PredictRequest click,
                       ParsePredictRequest(ReadRecorded("predict_keypoints.json")));
  ASSERT_OK_AND_ASSIGN(const PredictRequest opened,
                       ParsePredictRequest(ReadRecorded("predict_opened_task.json")));

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

// Throws beyond `limit_bytes`, and says how much was taken at most.
class LimitedMemory final : public boost::json::memory_resource {
 public:
  explicit LimitedMemory(std::size_t limit_bytes) : limit_(limit_bytes) {}

 private:
  void* do_allocate(std::size_t bytes, std::size_t) override {
    if (taken_ + bytes > limit_) throw std::bad_alloc();
    taken_ += bytes;
    return ::operator new(bytes);
  }
  void do_deallocate(void* memory, std::size_t bytes, std::size_t) override {
    taken_ -= bytes;
    ::operator delete(memory);
  }
  bool do_is_equal(const boost::json::memory_resource& other) const noexcept override {
    return this == &other;
  }
  const std::size_t limit_;
  std::size_t taken_ = 0;
};

RequestLimits WithMemory(std::size_t bytes) {
  RequestLimits limits;
  limits.memory = boost::json::make_shared_resource<LimitedMemory>(bytes);
  return limits;
}

// Nested lists with the field `id` in them, which is nobody's.
std::string Junk() {
  std::string junk = R"("junk": [)";
  for (int i = 0; i < 50'000; ++i) junk += R"([[], {"id": [0], "a\u0062": 1.5e3}, "x", null], )";
  return junk + "true]";
}

TEST(RequestMemoryTest, WhatNobodyNeedsTakesNone) {
  ASSERT_OK_AND_ASSIGN(
      const PredictRequest predict,
      ParsePredictRequest(R"({"tasks": [{"annotations": [{)" + Junk() +
                              R"(}], "id": 7, "data": {"image": "x"}}, {"data": {}}], )" + Junk() +
                              R"(, "params": {"login": null}, "project": "3.5"})",
                          WithMemory(10'000)));
  ASSERT_EQ(predict.tasks.size(), 2u);
  EXPECT_EQ(predict.tasks[0].id, 7);
  EXPECT_EQ(predict.tasks[0].data.at("image").as_string(), "x");
  EXPECT_EQ(predict.project_id, "3");
  ASSERT_OK_AND_ASSIGN(const WebhookEvent event,
                       ParseWebhook(R"({"action": "ANNOTATION_CREATED", "task": {"id": 4, )" +
                                        Junk() + R"(}, "project": {)" + Junk() + R"(, "id": 2}})",
                                    WithMemory(10'000)));
  EXPECT_EQ(event.project_id, "2");
  EXPECT_THAT(event.task_ids, ElementsAre(4));
  ASSERT_OK_AND_ASSIGN(
      const OlderRequest train,
      ParseOlderRequest(R"({"annotations": [{)" + Junk() + "}, 1, 2]}", WithMemory(10'000)));
  EXPECT_EQ(train.has_annotations, true);
  EXPECT_EQ(ParseOlderRequest(R"({"annotations": []})")->has_annotations, false);
  EXPECT_EQ(ParseOlderRequest(R"({"annotations": 3})")->has_annotations, std::nullopt);
}

TEST(RequestMemoryTest, JunkIsStillCheckedForBeingJson) {
  EXPECT_THAT(ParseWebhook(R"({"action": "A", "junk": [1, }]})"), StatusIs(kInvalid));
  EXPECT_THAT(ParseWebhook(R"({"action": "A", "junk": )" + std::string(65, '[') +
                           std::string(65, ']') + "}"),
              StatusIs(kInvalid, HasSubstr("not JSON")));
}

TEST(RequestMemoryTest, WhatIsKeptHasABound) {
  EXPECT_THAT(
      ParsePredictRequest(R"({"tasks": [{"data": {)" + Junk() + "}}]}", WithMemory(1'000'000)),
      StatusIs(absl::StatusCode::kResourceExhausted));
  std::string many = R"({"action": "TASKS_CREATED", "tasks": [)";
  for (int i = 0; i < 100'000; ++i) many += R"({"id": 5}, )";
  ASSERT_OK_AND_ASSIGN(const WebhookEvent event,
                       ParseWebhook(many + R"({"id": 6}]})", WithMemory(1'000'000)));
  EXPECT_EQ(event.task_ids.size(), 1000u);
}

TEST(RequestMemoryTest, ATaskThatIsDetachedHasMemoryOfItsOwn) {
  ASSERT_OK_AND_ASSIGN(
      const PredictRequest request,
      ParsePredictRequest(R"({"tasks": [{"id": 1, "data": {"a": [1, {"b": "c"}]}}]})",
                          WithMemory(10'000)));
  const Task task = Detached(request.tasks[0]);

  EXPECT_EQ(task.data, request.tasks[0].data);
  EXPECT_TRUE(task.data.storage() == boost::json::storage_ptr());
  EXPECT_TRUE(task.data.at("a").at(1).at("b").storage() == boost::json::storage_ptr());
  EXPECT_FALSE(request.tasks[0].data.storage() == boost::json::storage_ptr());
  EXPECT_GT(MemoryOf(task), 200u);
  EXPECT_LT(MemoryOf(task), 1000u);
}

TEST(RequestLimitsTest, LongTextsAreNotTaken) {
  const std::string long_text = "\"" + std::string(9000, 'x') + "\"";
  EXPECT_THAT(ParseSetupRequest("{\"hostname\": " + long_text + "}"),
              StatusIs(kInvalid, HasSubstr("'hostname' has 9000 bytes")));
  EXPECT_THAT(ParseSetupRequest("{\"project\": " + long_text + "}"),
              StatusIs(kInvalid, HasSubstr("'project' has 9000 characters")));
  EXPECT_THAT(ParseSetupRequest("{\"schema\": \"" + std::string(5 << 20, 'x') + "\"}"),
              StatusIs(kInvalid, HasSubstr("'schema' has 5242880 bytes")));
}

TEST(SetupRequestTest, ARecordedSetupIsRead) {
  ASSERT_OK_AND_ASSIGN(const SetupRequest setup, ParseSetupRequest(ReadRecorded("setup.json")));

  EXPECT_EQ(setup.project_id, "1");
  EXPECT_EQ(setup.hostname, "http://127.0.0.1:18080");
  EXPECT_EQ(setup.access_token.size(), 40u);
  EXPECT_EQ(setup.extra_params->at("hello").as_string(), "world");
}

TEST(SetupRequestTest, ExtraParamsMayBeAStringThatHoldsAnObject) {
  ASSERT_OK_AND_ASSIGN(SetupRequest setup, ParseSetupRequest(R"({"extra_params":"{\"a\":1}"})"));
  EXPECT_EQ(setup.extra_params->at("a").as_int64(), 1);
  EXPECT_THAT(ParseSetupRequest(R"({"extra_params":null})"), IsOk());
  ASSERT_OK_AND_ASSIGN(setup, ParseSetupRequest(R"({"extra_params":"{"})"));
  EXPECT_THAT(setup.extra_params, StatusIs(kInvalid, HasSubstr("'extra_params'")));
  ASSERT_OK_AND_ASSIGN(setup, ParseSetupRequest(R"({"extra_params":[1]})"));
  EXPECT_THAT(setup.extra_params, StatusIs(kInvalid, HasSubstr("'extra_params' is a list")));
}

// By it two Label Studios' projects of one number are told apart.
TEST(ProjectTest, WhenItWasCreatedIsTheSameInAllRecordedRequests) {
  ASSERT_OK_AND_ASSIGN(const SetupRequest setup, ParseSetupRequest(ReadRecorded("setup.json")));
  ASSERT_OK_AND_ASSIGN(const PredictRequest predict,
                       ParsePredictRequest(ReadRecorded("predict_batch.json")));
  ASSERT_OK_AND_ASSIGN(const WebhookEvent event,
                       ParseWebhook(ReadRecorded("webhook_annotation_created.json")));

  EXPECT_EQ(setup.project_created, 1'795'395'253);
  EXPECT_EQ(predict.project_created, setup.project_created);
  EXPECT_EQ(event.project_created, setup.project_created);
  ASSERT_OK_AND_ASSIGN(const OlderRequest train,
                       ParseOlderRequest(R"({"project": "7.1795395253"})"));
  EXPECT_EQ(train.project_created, 1'795'395'253);
  for (const char* without : {R"({"project": "7"})", R"({"project": 7})", R"({"project": "7.x"})",
                              R"({"project": {"id": 7, "created_at": "yesterday"}})", "{}"}) {
    ASSERT_OK_AND_ASSIGN(const OlderRequest request, ParseOlderRequest(without));
    EXPECT_EQ(request.project_created, 0) << without;
  }
}

TEST(WebhookTest, RecordedEventsGiveActionProjectAndIds) {
  ASSERT_OK_AND_ASSIGN(const WebhookEvent created,
                       ParseWebhook(ReadRecorded("webhook_annotation_created.json")));
  ASSERT_OK_AND_ASSIGN(const WebhookEvent deleted,
                       ParseWebhook(ReadRecorded("webhook_annotations_deleted.json")));

  EXPECT_EQ(created.action, "ANNOTATION_CREATED");
  EXPECT_EQ(created.project_id, "1");
  EXPECT_EQ(created.task_ids.size(), 1u);
  EXPECT_EQ(deleted.action, "ANNOTATIONS_DELETED");
  EXPECT_THAT(ParseWebhook("{}"), StatusIs(kInvalid, "'action' is missing"));
  EXPECT_THAT(ParseWebhook(R"({"action":"NEW_ONE","project":3,"tasks":7})"), IsOk());
}

}  // namespace
}  // namespace label_studio
