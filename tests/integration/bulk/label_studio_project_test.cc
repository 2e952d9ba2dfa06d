// A project of a Label Studio as a bulk run's source and output.
#include "bulk/label_studio_project.h"

#include <gmock/gmock.h>

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <initializer_list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/integration/gateway/fake_label_studio.h"
#include "tests/integration/gateway/tiny_http_server.h"
#include "tests/testing/status_matchers.h"

namespace bulk {
namespace {

using duet_testing::IsOk;
using gateway::testing::FakeLabelStudio;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

constexpr int kTasks = 7;

class LabelStudioProjectTest : public ::testing::Test {
 protected:
  LabelStudioProjectTest() {
    studio_.label_config =
        R"(<View><Image name="image" value="$image"/><RectangleLabels name="box" toName="image">)"
        R"(<Label value="cat"/></RectangleLabels></View>)";
    for (int id = 1; id <= kTasks; ++id) studio_.AddTask(id, "http://images/" + std::to_string(id));
    label_studio_api::LabelStudioSite site;
    site.url = studio_.url();
    site.token = std::make_shared<serving::Secret>(FakeLabelStudio::kToken);
    site.trusted = true;
    project_ = *LabelStudioProject::Make(std::move(site), "1", 0);
    patience_ = {.lasts = absl::Minutes(5), .on_wait = [this](const absl::Status& status) {
                   waits_.emplace_back(status.message());
                 }};
  }

  LabelStudioProject::Predictions Predictions() const {
    LabelStudioProject::Predictions predictions;
    for (int id = 1; id <= kTasks; ++id) {
      predictions.emplace_back(id, R"({"result":[],"model_version":"v1"})");
    }
    return predictions;
  }
  // Whose predictions were refused.
  LabelStudioProject::Refused StoreAll() {
    auto refused = project_->Store(Predictions(), "v1", patience_);
    EXPECT_THAT(refused, IsOk());
    return refused.ok() ? *std::move(refused) : LabelStudioProject::Refused{{0, "failed"}};
  }
  // How many predictions the tasks have, by their order.
  std::vector<std::size_t> Stored() const {
    std::vector<std::size_t> counts;
    for (int id = 1; id <= kTasks; ++id) counts.push_back(studio_.predictions(id).size());
    return counts;
  }

  FakeLabelStudio studio_;
  std::unique_ptr<LabelStudioProject> project_;
  Patience patience_;
  std::vector<std::string> waits_;
};

TEST_F(LabelStudioProjectTest, PagesThatAreShorterThanAskedForEndNoList) {
  studio_.max_page = 3;
  std::vector<std::string> ids;

  ASSERT_THAT(project_->List(patience_,
                             [&](std::string_view, std::string_view id) { ids.emplace_back(id); }),
              IsOk());

  EXPECT_THAT(ids, ElementsAre("1", "2", "3", "4", "5", "6", "7"));
}

// Tasks move to a later page while people work on those of a view.
TEST_F(LabelStudioProjectTest, ATaskThatIsOnTwoPagesOfAViewIsListedOnce) {
  duet_testing::TinyHttpServer studio([this](const duet_testing::TinyRequest& request) {
    const auto tasks = [](std::initializer_list<int> ids) {
      std::string body = "[";
      for (const int id : ids) {
        body += (body.size() > 1 ? "," : "") + std::string("{\"id\":") + std::to_string(id) +
                ",\"data\":{\"image\":\"http://images/" + std::to_string(id) + "\"}}";
      }
      return duet_testing::TinyResponse{.body = body + "]"};
    };
    if (request.target.find("&page=1&") != std::string::npos) return tasks({4, 2, 7});
    if (request.target.find("&page=2&") != std::string::npos) return tasks({7, 1});
    if (request.target.find("/api/tasks") != std::string::npos) {
      return duet_testing::TinyResponse{.status = 404};
    }
    return duet_testing::TinyResponse{.body = boost::json::serialize(boost::json::object{
                                          {"label_config", studio_.label_config}})};
  });
  label_studio_api::LabelStudioSite site;
  site.url = studio.url();
  site.token = std::make_shared<serving::Secret>(FakeLabelStudio::kToken);
  site.trusted = true;
  const auto project = *LabelStudioProject::Make(std::move(site), "1", /*view=*/3);
  std::vector<std::string> ids;

  ASSERT_THAT(project->List(patience_,
                            [&](std::string_view, std::string_view id) { ids.emplace_back(id); }),
              IsOk());

  EXPECT_THAT(ids, ElementsAre("4", "2", "7", "1"));
}

TEST_F(LabelStudioProjectTest, AListGoesOnAfterAnErrorThatPasses) {
  studio_.failures = 1;
  int images = 0;

  ASSERT_THAT(project_->List(patience_, [&](std::string_view, std::string_view) { ++images; }),
              IsOk());

  EXPECT_EQ(images, kTasks);
  EXPECT_THAT(waits_, ElementsAre(HasSubstr("503")));
  studio_.failures = 1;
  EXPECT_FALSE(project_->List({}, [](std::string_view, std::string_view) {}).ok());
}

TEST_F(LabelStudioProjectTest, WhatIsThereIsFoundOnShortPages) {
  ASSERT_THAT(StoreAll(), IsEmpty());
  studio_.max_page = 2;

  EXPECT_THAT(StoreAll(), IsEmpty());

  EXPECT_EQ(studio_.imports(), 1);
  EXPECT_THAT(Stored(), ::testing::Each(1U));
}

TEST_F(LabelStudioProjectTest, WhatIsRefusedCostsItsOwnPredictionAlone) {
  studio_.DeleteTask(3);
  studio_.import_refuses = 6;

  EXPECT_THAT(StoreAll(), ElementsAre(Pair(3, "task 3 was deleted meanwhile"),
                                      Pair(6, HasSubstr("task 6: Label Studio answered 400"))));
  EXPECT_THAT(Stored(), ElementsAre(1, 1, 0, 1, 1, 0, 1));
}

TEST_F(LabelStudioProjectTest, WhatLabelStudioDropsIsNotTakenForStored) {
  studio_.import_drops = 4;

  EXPECT_THAT(StoreAll(), ElementsAre(Pair(4, HasSubstr("has not stored it"))));
  EXPECT_EQ(studio_.imports(), 1);
}

// A proxy gives up, and Label Studio is still at it.
TEST_F(LabelStudioProjectTest, WhatMayStillBecomeStoredIsNotSentAgain) {
  studio_.import_late = 2;

  ASSERT_THAT(StoreAll(), IsEmpty());

  EXPECT_EQ(studio_.imports(), 1);
  EXPECT_THAT(Stored(), ::testing::Each(1U));
  EXPECT_THAT(waits_, ElementsAre(HasSubstr("504")));
}

}  // namespace
}  // namespace bulk
