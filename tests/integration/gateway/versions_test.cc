// One meaning of a model's version: what /setup announces, what replicas are asked for, and what
// predictions carry, while replicas disagree, are rolled, and are of other releases.
#include <absl/strings/match.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tests/integration/gateway/fake_label_studio.h"
#include "tests/integration/gateway/fake_services.h"
#include "tests/integration/gateway/harness.h"

namespace gateway::testing {
namespace {

namespace json = boost::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using ::testing::StartsWith;

constexpr char kConfig[] = R"(<View><Image name="image" value="$image"/>
  <RectangleLabels name="rect" toName="image"><Label value="cat"/><Label value="dog"/>
  </RectangleLabels></View>)";

std::string Text(const json::value& value) { return std::string(value.as_string()); }

class VersionsTest : public ::testing::Test {
 protected:
  VersionsTest() {
    for (FakeServices* services : {&one_, &two_}) {
      services->class_found_by = {{"d1", "cat"}, {"d2", "dog"}};
    }
  }

  Harness& Start(HarnessOptions options = {}) {
    options.detector = one_.address() + "," + two_.address();
    options.segmenter = one_.address() + "," + two_.address();
    harness_ = std::make_unique<Harness>(std::move(options));
    harness_->AwaitModels();
    AwaitReplicas(2);
    return *harness_;
  }

  // Until so many detectors have been heard of.
  void AwaitReplicas(int wanted) {
    while (true) {
      int known = 0;
      const json::value root = harness_->Get("/").json();
      for (const auto& [version, count] : root.at("detector").at("versions").as_object()) {
        known += static_cast<int>(count.as_int64());
      }
      if (known >= wanted) return;
      std::this_thread::yield();
    }
  }

  json::value SetupBody(const std::string& config = kConfig, json::value extra_params = nullptr) {
    return {{"project", "1.1795395253"},
            {"schema", config},
            {"hostname", ""},
            {"access_token", ""},
            {"extra_params", std::move(extra_params)}};
  }
  std::string Announced(const std::string& config = kConfig, json::value extra_params = nullptr) {
    return Text(harness_->Post("/setup", SetupBody(config, std::move(extra_params)))
                    .json()
                    .at("model_version"));
  }
  json::value Predicted(const std::string& config = kConfig) {
    const Reply reply = harness_->Post("/predict", PredictBody(config, {image_}));
    EXPECT_EQ(reply.status, 200) << reply.body;
    return reply.result(0);
  }
  // What found it, by its class, is what it says it is.
  static void ExpectHonest(const json::value& prediction) {
    const std::string version = Text(prediction.at("model_version"));
    const std::string label =
        Text(prediction.at("result").at(0).at("value").at("rectanglelabels").at(0));
    EXPECT_THAT(version, StartsWith(label == "cat" ? "d1+" : "d2+"));
  }

  FakeServices one_, two_;
  std::unique_ptr<Harness> harness_;
  const std::string image_ = PngDataUri(320, 240);
};

// Label Studio compares the two; where they differ it stores a second prediction.
TEST_F(VersionsTest, ReplicasThatDisagreeAreAskedForTheAnnouncedVersionOnly) {
  two_.Serve("d2", "s1");
  Start();

  const std::string announced = Announced();
  for (int pair = 0; pair < 14; ++pair) {
    EXPECT_EQ(Announced(), announced);
    const json::value prediction = Predicted();
    EXPECT_EQ(Text(prediction.at("model_version")), announced);
    ExpectHonest(prediction);
  }
}

// What was suspect with the classes of a model that is gone says nothing of the one that serves.
TEST_F(VersionsTest, AWarningIsOfTheModelsThatServe) {
  constexpr char kThings[] = R"(<View><Image name="image" value="$image"/>
    <RectangleLabels name="rect" toName="image"><Label value="thing"/></RectangleLabels></View>)";
  Harness& gateway = Start();
  gateway.Post("/setup", SetupBody(kThings));
  const json::value before = gateway.Get("/").json();

  for (FakeServices* services : {&one_, &two_}) services->Serve("d2", "s1");
  while (Text(gateway.Get("/").json().at("detector").at("version")) != "d2") {
    std::this_thread::yield();
  }

  EXPECT_THAT(before.at("warnings").as_array(), SizeIs(1));
  EXPECT_THAT(gateway.Get("/").json().at("warnings").as_array(), SizeIs(0));
}

TEST_F(VersionsTest, GatewaysAgreeAboutReplicasThatDisagree) {
  two_.Serve("d2", "s2");
  Start();
  const std::string announced = Announced();

  for (int i = 0; i < 3; ++i) {
    HarnessOptions options;
    options.detector = two_.address() + "," + one_.address();
    options.segmenter = one_.address() + "," + two_.address();
    Harness other(options);
    other.AwaitModels();
    EXPECT_EQ(Text(other.Post("/setup", SetupBody()).json().at("model_version")), announced);
  }
}

TEST_F(VersionsTest, ARollOutMovesTheAnnouncementOnceAndLosesNothing) {
  Start();
  std::vector<std::string> announced;
  const auto work = [&] {
    for (int i = 0; i < 5; ++i) {
      const std::string now = Announced();
      if (announced.empty() || announced.back() != now) announced.push_back(now);
      ExpectHonest(Predicted());
    }
  };

  work();
  one_.Serve("d2", "s1");
  work();
  EXPECT_THAT(announced, SizeIs(1)) << "one replica still serves it";
  two_.Serve("d2", "s1");
  work();

  EXPECT_THAT(announced, ElementsAre(StartsWith("d1+s1+"), StartsWith("d2+s1+")));
  EXPECT_THAT(Text(Predicted().at("model_version")), announced.back());
}

TEST_F(VersionsTest, InABatchWhoseVersionGoesEveryPredictionSaysWhatMadeIt) {
  std::atomic<int> detections = 0;
  const auto replace = [&](auto&, const auto&, auto* response) {
    // In the middle of the batch, the last replica of the announced version reloads.
    if (++detections == 6) {
      one_.Serve("d2", "s1");
      two_.Serve("d2", "s1");
    }
    response->set_image_width(320);
    response->set_image_height(240);
    return grpc::Status::OK;
  };
  one_.on_detect = two_.on_detect = replace;
  Harness& gateway = Start();
  const std::string before = Announced();
  const std::vector<std::string> images(20, image_);

  const Reply reply = gateway.Post("/predict", PredictBody(kConfig, images));

  ASSERT_EQ(reply.status, 200) << reply.body;
  std::map<std::string, int> stamped;
  const json::value body = reply.json();
  for (const json::value& result : body.at("results").as_array()) {
    ASSERT_TRUE(result.as_object().contains("model_version")) << "no task is lost";
    ++stamped[Text(result.at("model_version"))];
  }
  // The fakes sign with what they served when the call came.
  EXPECT_GE(stamped[before], 6);
  EXPECT_THAT(stamped, SizeIs(2));
  EXPECT_EQ(stamped.count(Announced()), 1U);
}

TEST_F(VersionsTest, ServicesOfTheReleaseBeforeAreUnderstood) {
  one_.knows_model_spec = two_.knows_model_spec = false;
  two_.Serve("d2", "s1");
  Start();

  const std::string announced = Announced();
  std::set<std::string> stamped;
  for (int i = 0; i < 14; ++i) {
    const json::value prediction = Predicted();
    ExpectHonest(prediction);
    stamped.insert(Text(prediction.at("model_version")));
  }
  EXPECT_THAT(stamped, ElementsAre(announced));

  two_.Serve("d1", "s1");
  one_.Serve("d2", "s1");
  for (int i = 0; i < 14; ++i) ExpectHonest(Predicted());
}

// A later release may say more.
TEST_F(VersionsTest, ServicesOfALaterReleaseAreUnderstood) {
  const auto say_more = [](auto&, const auto&, auto* response) {
    response->set_image_width(320);
    response->set_image_height(240);
    response->GetReflection()->MutableUnknownFields(response)->AddLengthDelimited(1000, "news");
    response->mutable_model()
        ->GetReflection()
        ->MutableUnknownFields(response->mutable_model())
        ->AddVarint(1000, 7);
    return grpc::Status::OK;
  };
  one_.on_detect = two_.on_detect = say_more;
  Start();

  EXPECT_EQ(Text(Predicted().at("model_version")), Announced());
}

TEST_F(VersionsTest, APromptIsAnsweredByTheAnnouncedSegmenter) {
  constexpr char kSmart[] = R"(<View><Image name="image" value="$image"/>
    <BrushLabels name="brush" toName="image"><Label value="cat"/></BrushLabels>
    <KeyPointLabels name="point" toName="image" smart="true"><Label value="cat"/>
    </KeyPointLabels></View>)";
  const json::value click = {
      {"result",
       {{{"id", "a"},
         {"type", "keypointlabels"},
         {"from_name", "point"},
         {"to_name", "image"},
         {"original_width", 320},
         {"original_height", 240},
         {"value", {{"x", 50}, {"y", 50}, {"width", 0.5}, {"keypointlabels", {"cat"}}}}}}}};
  two_.Serve("d1", "s2");
  Harness& gateway = Start();
  const std::string announced = Announced(kSmart);

  for (int i = 0; i < 10; ++i) {
    const Reply reply =
        gateway.Post("/predict", PredictBody(kSmart, {PngDataUri(320, 240, i)}, click));
    ASSERT_EQ(reply.status, 200) << reply.body;
    EXPECT_EQ(Text(reply.result(0).at("model_version")), announced);
  }
  FakeServices& other = absl::StrContains(announced, "s1") ? two_ : one_;
  EXPECT_EQ(other.count("Segment"), 0);
}

TEST_F(VersionsTest, WhatTheProjectEmitsIsInTheVersion) {
  Start();
  const std::string plain = Announced();
  const auto with = [](const char* from, const char* to) {
    std::string config = kConfig;
    return config.replace(config.find(from), std::string(from).size(), to);
  };

  EXPECT_NE(Announced(with("value=\"dog\"", "value=\"dog\" alias=\"Hund\"")), plain);
  EXPECT_EQ(Announced(with("value=\"dog\"", "value=\"Hund\" alias=\"dog\"")), plain)
      << "the alias is what is written";
  EXPECT_NE(Announced(with("<Label value=\"dog\"/>", "")), plain);
  EXPECT_NE(Announced(with("RectangleLabels name=\"rect\"", "RectangleLabels name=\"box\"")),
            plain);
  EXPECT_NE(Announced(with("$image", "$photo")), plain);
  EXPECT_NE(Announced(with("</View>",
                           "<BrushLabels name=\"b\" toName=\"image\"><Label "
                           "value=\"cat\"/></BrushLabels></View>")),
            plain);

  // What changes no answer doesn't ask for all predictions again.
  EXPECT_EQ(Announced(with("<View>", "<View>\n\n  <Header value=\"Cats\"/>")), plain);
  EXPECT_EQ(Announced(with("<Label value=\"cat\"/>", "<Label value=\"cat\" background=\"red\"/>")),
            plain);
  EXPECT_EQ(
      Announced(with("<Label value=\"cat\"/>", "<Label value=\"zebra\"/><Label value=\"cat\"/>")),
      plain)
      << "the detector knows no zebra";
  EXPECT_EQ(Announced(with("</View>",
                           "<KeyPointLabels name=\"k\" toName=\"image\" smart=\"true\">"
                           "<Label value=\"cat\"/></KeyPointLabels></View>")),
            plain)
      << "a batch writes nothing into it";
}

TEST_F(VersionsTest, SettingsAreInTheVersionIfTheyChangeAnswers) {
  Start();
  const std::string plain = Announced();

  EXPECT_NE(Announced(kConfig, {{"score_threshold", 0.25}}), plain);
  EXPECT_NE(Announced(kConfig, {{"max_detections", 7}}), plain);
  EXPECT_NE(Announced(kConfig, {{"class_agnostic", true}}), plain);
  EXPECT_NE(Announced(kConfig, {{"class_agnostic", false}}), plain)
      << "only the detector knows what the checkpoint has";
  EXPECT_NE(Announced(kConfig, {{"slice", 1024}}), plain);
  EXPECT_NE(Announced(kConfig, {{"slice", 1024}}), Announced(kConfig, {{"slice", 1000}}));
  constexpr char kMasks[] = R"(<View><Image name="image" value="$image"/>
    <RectangleLabels name="rect" toName="image"><Label value="cat"/></RectangleLabels>
    <BrushLabels name="b" toName="image"><Label value="cat"/></BrushLabels></View>)";
  EXPECT_NE(Announced(kMasks, {{"outputs", "brush"}}), Announced(kMasks));
  constexpr char kCatOnly[] = R"(<View><Image name="image" value="$image"/><RectangleLabels
    name="rect" toName="image"><Label value="cat"/></RectangleLabels></View>)";
  EXPECT_NE(Announced(kCatOnly, {{"label_map", {{"dog", "cat"}}}}), Announced(kCatOnly));

  EXPECT_EQ(Announced(kCatOnly, {{"label_map", {{"zebra", "cat"}}}}), Announced(kCatOnly))
      << "the detector knows no zebra";
  EXPECT_EQ(Announced(kConfig, {{"background", "push"}}), plain);
  EXPECT_EQ(Announced(kConfig, {{"outputs", "rectangle"}}), plain) << "what it is anyway";
  EXPECT_EQ(Announced(kConfig, {{"mask_source", "sam"}}), plain) << "no masks are made";
  EXPECT_EQ(Announced(kConfig, {{"degrade", "boxes"}}), plain) << "no masks are made";
}

TEST_F(VersionsTest, EveryPlaceTellsTheSameVersion) {
  Harness& gateway = Start();

  const std::string announced = Announced();

  EXPECT_EQ(Text(Predicted().at("model_version")), announced);
  EXPECT_EQ(Text(gateway.Get("/versions").json().at("versions").at(0)), announced);
  EXPECT_EQ(Text(gateway.Get("/").json().at("model_version")), announced);
}

TEST_F(VersionsTest, ABackgroundJobStoresUnderTheAnnouncedVersion) {
  FakeLabelStudio studio;
  std::atomic<bool> away = true;
  one_.RefuseDetectWhile(away);
  two_.RefuseDetectWhile(away);
  HarnessOptions options;
  options.settings.background = prelabel::Background::kPush;
  options.gateway.label_studio = {
      .url = studio.url(), .token = std::make_shared<serving::Secret>(FakeLabelStudio::kToken)};
  options.gateway.predict_deadline = std::chrono::milliseconds(300);
  options.gateway.background.first_pause = absl::Milliseconds(10);
  two_.Serve("d2", "s1");
  Harness& gateway = Start(std::move(options));
  const std::string announced = Announced();

  ASSERT_EQ(gateway.Post("/predict", PredictBody(kConfig, {image_, image_})).status, 200);
  EXPECT_EQ(Text(gateway.Get("/jobs").json().at("jobs").at(0).at("model_version")), announced);
  away = false;
  while (studio.predictions(1).empty() || studio.predictions(2).empty()) std::this_thread::yield();

  for (const int task : {1, 2}) {
    EXPECT_EQ(Text(studio.predictions(task)[0].at("model_version")), announced);
  }
}

}  // namespace
}  // namespace gateway::testing
