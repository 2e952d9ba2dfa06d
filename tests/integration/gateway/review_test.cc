// GET /review/{project} through real sockets: a gateway, a detector, and a Label Studio that has
// annotated tasks.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "tests/integration/gateway/fake_services.h"
#include "tests/integration/gateway/harness.h"
#include "tests/integration/gateway/tiny_json.h"

namespace gateway::testing {
namespace {

namespace json = boost::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kConfig[] = R"(<View><Image name="image" value="$image"/>
  <RectangleLabels name="rect" toName="image"><Label value="Cat" alias="felis"/><Label value="dog"/>
  <Label value="drop"/></RectangleLabels></View>)";
constexpr char kToken[] = "0123456789abcdef0123456789abcdef01234567";

// A rectangle of the image's 320 x 240 pixels, as the default detector's cat is at (10, 20) to
// (110, 120).
json::object Rectangle(const std::string& id, const std::string& label, double x, double y,
                       double side) {
  return {{"id", id},
          {"from_name", "rect"},
          {"to_name", "image"},
          {"type", "rectanglelabels"},
          {"original_width", 320},
          {"original_height", 240},
          {"value",
           {{"x", x / 3.2},
            {"y", y / 2.4},
            {"width", side / 3.2},
            {"height", side / 2.4},
            {"rotation", 0},
            {"rectanglelabels", json::array{label}}}}};
}

class ReviewTest : public ::testing::Test {
 protected:
  ReviewTest() : studio_([this](const auto& request) { return Answer(request); }) {}

  // An annotated task with these regions.
  void Add(std::int64_t id, json::array regions) {
    tasks_[id] = {{"id", id},
                  {"data", {{"image", image_}}},
                  {"annotations", json::array{json::object{{"id", 100 + id},
                                                           {"created_at", "2026-11-30T09:13:14Z"},
                                                           {"result", std::move(regions)}}}}};
  }
  HarnessOptions Options() {
    HarnessOptions options;
    options.detector = options.segmenter = services_.address();
    options.gateway.label_studio = {.url = studio_.url(),
                                    .token = std::make_shared<serving::Secret>(kToken)};
    return options;
  }
  Harness& Start(HarnessOptions options) {
    harness_ = std::make_unique<Harness>(std::move(options));
    harness_->AwaitModels();
    return *harness_;
  }
  Harness& Start() { return Start(Options()); }

  duet_testing::TinyResponse Answer(const duet_testing::TinyRequest& request) {
    if (request.target.starts_with("/api/projects/1/")) {
      return duet_testing::JsonResponse(
          {{"label_config", kConfig}, {"created_at", "2026-11-23T00:54:13.814966Z"}});
    }
    if (!request.target.starts_with("/api/tasks?")) return {.status = 404};
    const json::value query = json::parse(duet_testing::Parameter(request.target, "query"));
    const auto after = query.at("filters").at("items").at(1).at("value").to_number<std::int64_t>();
    const auto count = std::stoul(duet_testing::Parameter(request.target, "page_size"));
    json::array page;
    for (auto task = tasks_.upper_bound(after); task != tasks_.end() && page.size() < count;
         ++task) {
      page.push_back(task->second);
    }
    return duet_testing::JsonResponse({{"tasks", std::move(page)}, {"total", tasks_.size()}});
  }

  const std::string image_ = PngDataUri(320, 240);
  std::map<std::int64_t, json::object> tasks_;  // before the first request
  FakeServices services_;
  duet_testing::TinyHttpServer studio_;
  std::unique_ptr<Harness> harness_;
};

std::string Told(const json::value& issue) {
  const auto text = [&](const char* field) {
    return issue.at(field).is_null() ? std::string("-") : json::serialize(issue.at(field));
  };
  return text("task") + " " + text("kind") + " " + text("region");
}

std::vector<std::string> Told(const json::array& issues) {
  std::vector<std::string> told;
  for (const json::value& issue : issues) told.push_back(Told(issue));
  return told;
}

TEST_F(ReviewTest, WhatTheModelContradictsComesSortedWithFigures) {
  Add(1, {Rectangle("right", "Cat", 10, 20, 100)});
  Add(2, {Rectangle("wrong", "dog", 10, 20, 100)});
  Add(3, {});
  Add(4, {Rectangle("right", "Cat", 10, 20, 100), Rectangle("extra", "dog", 200, 100, 50)});
  services_.classes = {"cat", "dog"};
  Harness& gateway = Start();

  const Reply reply = gateway.Get("/review/1");

  ASSERT_EQ(reply.status, 200) << reply.body;
  const json::value review = reply.json();
  EXPECT_THAT(
      Told(review.at("issues").as_array()),
      ElementsAre("2 \"wrong_label\" \"wrong\"", "3 \"missing\" -", "4 \"spurious\" \"extra\""));
  EXPECT_EQ(review.at("tasks"), 4);
  EXPECT_EQ(review.at("objects"), 4);
  EXPECT_EQ(review.at("next"), 4);
  const json::value wrong = review.at("issues").at(0);
  EXPECT_EQ(wrong.at("annotation"), "102");
  EXPECT_NEAR(wrong.at("suspicion").to_number<double>(), 0.9, 1e-6);
  EXPECT_NEAR(wrong.at("found").at("x").to_number<double>(), 10 / 3.2, 1e-4);
  EXPECT_EQ(wrong.at("found").at("label"), "felis") << "as regions call it";
  EXPECT_EQ(wrong.at("sentence"), "annotated as dog, but the model finds felis there (score 0.90)");
  EXPECT_EQ(review.at("issues").at(2).at("found"), nullptr);
  EXPECT_THAT(std::string(review.at("model_version").as_string()), HasSubstr("d1+s1"));
}

TEST_F(ReviewTest, WeakObjectsAreAskedForAtTheLowestRank) {
  std::mutex mutex;
  std::vector<std::string> seen;
  services_.on_detect = [&](auto&, const auto& request, auto* response) {
    response->set_image_width(320);
    response->set_image_height(240);
    const std::lock_guard lock(mutex);
    seen.push_back(std::to_string(request.score_threshold()) +
                   (request.background() ? " background" : "") +
                   (request.omit_masks() ? " without masks" : ""));
    return grpc::Status::OK;
  };
  Add(1, {});

  Start().Get("/review/1");

  EXPECT_THAT(seen, ElementsAre("0.050000 background without masks"));
}

TEST_F(ReviewTest, PagesFollowEachOtherAndTheLastIsEmpty) {
  for (const int id : {3, 5, 8}) Add(id, {});
  Harness& gateway = Start();

  const json::value first = gateway.Get("/review/1?tasks=2").json();
  const json::value second = gateway.Get("/review/1?tasks=2&after=5").json();
  const json::value third = gateway.Get("/review/1?tasks=2&after=8").json();

  EXPECT_EQ(first.at("tasks"), 2);
  EXPECT_EQ(first.at("next"), 5);
  EXPECT_THAT(Told(second.at("issues").as_array()), ElementsAre("8 \"missing\" -"));
  EXPECT_EQ(second.at("next"), 8);
  EXPECT_EQ(third.at("next"), nullptr);
  EXPECT_THAT(third.at("issues").as_array(), IsEmpty());
}

TEST_F(ReviewTest, ATaskWhoseImageIsGoneIsNamedAndTheOthersAreReviewed) {
  Add(1, {});
  Add(2, {});
  tasks_[1]["data"] = {{"image", "data:image/png;base64,AAAA"}};
  Harness& gateway = Start();

  const json::value review = gateway.Get("/review/1").json();

  EXPECT_EQ(review.at("failed").at(0).at("task"), 1);
  EXPECT_THAT(Told(review.at("issues").as_array()), ElementsAre("2 \"missing\" -"));
  EXPECT_EQ(review.at("next"), 2);
}

TEST_F(ReviewTest, OfClassesThatTheModelCantFindNothingIsSaid) {
  Add(1, {Rectangle("new", "drop", 10, 20, 100)});
  Harness& gateway = Start();

  const json::value review = gateway.Get("/review/1").json();

  EXPECT_EQ(review.at("unknown"), 1);
  EXPECT_EQ(review.at("objects"), 0);
  EXPECT_THAT(review.at("issues").as_array(), IsEmpty());
}

TEST_F(ReviewTest, TheNewestAnnotationCounts) {
  Add(1, {Rectangle("right", "Cat", 10, 20, 100)});
  tasks_[1]["annotations"].as_array().push_back(
      json::object{{"id", 7},
                   {"created_at", "2026-11-29T09:13:14Z"},
                   {"result", json::array{Rectangle("old", "dog", 10, 20, 100)}}});
  tasks_[1]["annotations"].as_array().push_back(json::object{{"id", 900},
                                                             {"created_at", "2026-12-01T09:13:14Z"},
                                                             {"was_cancelled", true},
                                                             {"result", json::array()}});

  EXPECT_THAT(Start().Get("/review/1").json().at("issues").as_array(), IsEmpty());
}

TEST_F(ReviewTest, ATaskThatTheDetectorRefusesIsNamed) {
  Add(1, {});
  services_.on_detect = [](auto&, const auto&, auto*) {
    return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "no such thing");
  };
  Harness& gateway = Start();

  const json::value review = gateway.Get("/review/1").json();

  EXPECT_THAT(std::string(review.at("failed").at(0).at("error").as_string()),
              HasSubstr("no such thing"));
}

TEST_F(ReviewTest, BadQuestionsGetOneSentence) {
  Harness& gateway = Start();

  EXPECT_EQ(gateway.Get("/review/cats").status, 404);
  EXPECT_EQ(gateway.Get("/review/2").status, 404) << "Label Studio has no such project";
  for (const char* query : {"tasks=0", "tasks=201", "after=-1", "after=x", "colour=2"}) {
    const Reply reply = gateway.Get(std::string("/review/1?") + query);
    EXPECT_EQ(reply.status, 400) << query;
    EXPECT_THAT(reply.body, HasSubstr("needed: after=TASK")) << query;
  }
}

TEST_F(ReviewTest, WithoutATokenItSaysWhatIsNeeded) {
  HarnessOptions options = Options();
  options.gateway.label_studio.token = nullptr;

  const Reply reply = Start(std::move(options)).Get("/review/1");

  EXPECT_EQ(reply.status, 400);
  EXPECT_THAT(reply.body, HasSubstr("--label_studio_url and a token"));
}

TEST_F(ReviewTest, WhoMayNotTrainMayNotReadAnnotations) {
  Add(1, {});
  Harness& gateway = Start();

  const Reply by_proxy = gateway.Send("GET", "/review/1", "", {{"X-Forwarded-For", "10.0.0.7"}});
  const Reply by_page =
      gateway.Send("GET", "/review/1", "", {{"Origin", "https://elsewhere.example"}});
  // A page whose name leads to this machine reads without saying that it is one.
  const Reply by_name = gateway.Send("GET", "/review/1", "", {{"Host", "elsewhere.example"}});

  EXPECT_EQ(by_name.status, 403) << by_name.body;
  EXPECT_EQ(by_proxy.status, 403) << by_proxy.body;
  EXPECT_EQ(by_page.status, 403) << by_page.body;
  EXPECT_EQ(services_.count("Detect"), 0);
}

}  // namespace
}  // namespace gateway::testing
