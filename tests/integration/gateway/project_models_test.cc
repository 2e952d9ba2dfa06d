// A project's own models: which project gets them, and what /setup and predictions say while they
// are loaded, replaced, rolled back and deleted.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/integration/gateway/fake_label_studio.h"
#include "tests/integration/gateway/fake_services.h"
#include "tests/integration/gateway/harness.h"
#include "tests/testing/log_capture.h"

namespace gateway::testing {
namespace {

namespace json = boost::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;

constexpr char kConfig[] = R"(<View><Image name="image" value="$image"/>
  <RectangleLabels name="rect" toName="image"><Label value="cat"/><Label value="dog"/>
  </RectangleLabels></View>)";
constexpr char kOurs[] = "1.1795395253";
constexpr char kTheirs[] = "1.1795395254";  // another Label Studio's project 1

std::string Text(const json::value& value) { return std::string(value.as_string()); }

class ProjectModelsTest : public ::testing::Test {
 protected:
  ProjectModelsTest() {
    for (FakeServices* services : {&one_, &two_}) {
      services->class_found_by = {{"d1", "cat"}, {"own-3", "dog"}, {"better-4", "cat"}};
    }
    studio_.label_config = kConfig;
  }

  Harness& Start(bool named = true, const std::string& profiles = "") {
    return StartWith(one_.address() + "," + two_.address(), named, profiles);
  }
  Harness& StartWith(const std::string& services, bool named = true,
                     const std::string& profiles = "") {
    HarnessOptions options;
    options.detector = options.segmenter = services;
    options.profiles = profiles;
    if (named) {
      options.gateway.label_studio = {
          .url = studio_.url(),
          .token = std::make_shared<serving::Secret>(FakeLabelStudio::kToken)};
    }
    harness_ = std::make_unique<Harness>(std::move(options));
    harness_->AwaitModels();
    return *harness_;
  }
  // What can't be answered within a moment is finished in the background and pushed.
  void StartWithPush(absl::Duration task_deadline = absl::Seconds(90)) {
    HarnessOptions options;
    options.detector = options.segmenter = one_.address();
    options.settings.background = prelabel::Background::kPush;
    options.gateway.label_studio = {
        .url = studio_.url(), .token = std::make_shared<serving::Secret>(FakeLabelStudio::kToken)};
    options.gateway.predict_deadline = std::chrono::milliseconds(300);
    options.gateway.background.first_pause = absl::Milliseconds(10);
    options.gateway.background.task_deadline = task_deadline;
    harness_ = std::make_unique<Harness>(std::move(options));
    harness_->AwaitModels();
  }
  void Serve(FakeServices::Named model) {
    for (FakeServices* services : {&one_, &two_}) services->ServeDetector("project-1", model);
  }
  std::string Announced(const std::string& project = kOurs, const std::string& hostname = "",
                        const std::string& prefix = "") {
    const Reply reply = harness_->Post(prefix + "/setup", {{"project", project},
                                                           {"schema", kConfig},
                                                           {"hostname", hostname},
                                                           {"access_token", ""},
                                                           {"extra_params", nullptr}});
    EXPECT_EQ(reply.status, 200) << reply.body;
    return Text(reply.json().at("model_version"));
  }
  json::value Predicted(const std::string& project = kOurs, std::size_t tasks = 1) {
    json::value body = PredictBody(kConfig, std::vector<std::string>(tasks, image_));
    body.at("project") = project;
    const Reply reply = harness_->Post("/predict", body);
    EXPECT_EQ(reply.status, 200) << reply.body;
    return reply.json();
  }
  std::string PredictedVersion(const std::string& project = kOurs) {
    return Text(Predicted(project).at("results").at(0).at("model_version"));
  }
  void AwaitAnnounced(const std::string& prefix) {
    while (!Announced().starts_with(prefix)) std::this_thread::yield();
  }

  FakeLabelStudio studio_;
  FakeServices one_, two_;
  std::unique_ptr<Harness> harness_;
  const std::string image_ = PngDataUri(320, 240);
};

TEST_F(ProjectModelsTest, AProjectIsAnsweredByItsOwnModelAndOthersByTheDefault) {
  Serve({.stored = 3, .version = "own-3"});
  Harness& gateway = Start();

  const std::string announced = Announced();
  EXPECT_THAT(announced, StartsWith("own-3+s1+"));
  EXPECT_EQ(PredictedVersion(), announced);
  const std::string of_two = Announced("2.1795395253");
  EXPECT_THAT(of_two, StartsWith("d1+s1+"));
  EXPECT_EQ(PredictedVersion("2.1795395253"), of_two);
  EXPECT_EQ(PredictedVersion("default.1795395253"), of_two) << "a number is needed";

  const json::value root = gateway.Get("/").json();
  EXPECT_EQ(root.at("detector").at("names").at(0).at("loaded").at("3"), 2);
  EXPECT_EQ(root.at("detector").at("version"), "d1");
  const json::value versions = gateway.Get("/versions").json();
  EXPECT_EQ(Text(versions.at("versions").at(0)), of_two);
  EXPECT_EQ(Text(versions.at("versions").at(1)), announced);
}

// Project 1 of another Label Studio.
TEST_F(ProjectModelsTest, AProjectOfTheSameNumberElsewhereGetsTheDefaultAndOneSentence) {
  duet_testing::LogCapture log;
  Serve({.stored = 3, .version = "own-3"});
  Start();

  for (int i = 0; i < 3; ++i) {
    EXPECT_THAT(Announced(kTheirs, studio_.url()), StartsWith("d1+"));
    EXPECT_THAT(PredictedVersion(kTheirs), StartsWith("d1+"));
    EXPECT_THAT(Announced(kOurs, "http://localhost:8080"), StartsWith("own-3+"))
        << "what Label Studio calls itself proves nothing";
  }
  ASSERT_THAT(log.lines("project.not_own"), SizeIs(1));
  EXPECT_THAT(log.lines("project.not_own")[0],
              AllOf(HasSubstr("project 1 isn't the one of --label_studio_url"),
                    HasSubstr("created at another time")));
}

TEST_F(ProjectModelsTest, WithoutAnOperatorsLabelStudioThereIsNoOwnModel) {
  Serve({.stored = 3, .version = "own-3"});
  Start(/*named=*/false);

  EXPECT_THAT(Announced(kOurs, studio_.url()), StartsWith("d1+"));
  EXPECT_THAT(PredictedVersion(), StartsWith("d1+"));
}

// What it calls itself may be anybody's name.
TEST_F(ProjectModelsTest, WhereLabelStudioCannotTellTheDefaultAnswersAndItIsSaid) {
  duet_testing::LogCapture log;
  Serve({.stored = 3, .version = "own-3"});
  studio_.created_at = "yesterday";
  Start();

  for (const std::string& name :
       {studio_.url(), std::string("http://elsewhere:8080"), std::string()})
    EXPECT_THAT(Announced(kOurs, name), StartsWith("d1+")) << name;
  EXPECT_THAT(PredictedVersion(kOurs), StartsWith("d1+"));
  ASSERT_THAT(log.lines("project.not_known"), SizeIs(1));
  EXPECT_THAT(log.lines("project.not_known")[0], HasSubstr("could not tell"));
  EXPECT_THAT(log.lines("project.not_own"), IsEmpty());
}

TEST_F(ProjectModelsTest, WithoutATokenItsNameDecides) {
  Serve({.stored = 3, .version = "own-3"});
  HarnessOptions options;
  options.detector = options.segmenter = one_.address();
  options.gateway.label_studio = {.url = studio_.url(), .aliases = {"http://localhost:8080"}};
  harness_ = std::make_unique<Harness>(std::move(options));
  harness_->AwaitModels();

  EXPECT_THAT(Announced(kOurs, studio_.url()), StartsWith("own-3+"));
  EXPECT_THAT(Announced(kOurs, "http://localhost:8080"), StartsWith("own-3+"));
  EXPECT_THAT(Announced(kOurs, "http://elsewhere:8080"), StartsWith("d1+"));
  EXPECT_THAT(PredictedVersion(kOurs), StartsWith("d1+")) << "as its last /setup said";
  EXPECT_THAT(Announced("1", ""), StartsWith("own-3+"));
}

// Two Label Studios, or one whose database was made anew, before one set of services.
TEST_F(ProjectModelsTest, AModelIsTheProjectsWhoseAnnotationsMadeIt) {
  duet_testing::LogCapture log;
  FakeServices::Named model = {.stored = 3, .version = "own-3"};
  model.label_studio_url = "http://another-way-to-it:8080";
  model.project_created = "2026-11-23T00:54:13.999Z";  // kOurs
  Serve(model);
  Start();
  EXPECT_THAT(Announced(), StartsWith("own-3+"));
  EXPECT_THAT(Announced(kTheirs), StartsWith("d1+"));
  EXPECT_THAT(log.lines("model.not_own"), IsEmpty());

  model.project_created = "2026-11-23T00:54:14Z";  // kTheirs
  model.version = "better-4";
  model.stored = 4;
  Serve(model);
  AwaitAnnounced("d1+");
  EXPECT_THAT(PredictedVersion(), StartsWith("d1+"));
  ASSERT_THAT(log.lines("model.not_own"), SizeIs(1));
  EXPECT_THAT(log.lines("model.not_own")[0],
              AllOf(HasSubstr("project-1"), HasSubstr("2026-11-23T00:54:14Z")));
}

TEST_F(ProjectModelsTest, AModelThatOnlyNamesItsLabelStudioMustNameThisOne) {
  FakeServices::Named model = {.stored = 3, .version = "own-3"};
  model.label_studio_url = studio_.url();
  Serve(model);
  Start();
  EXPECT_THAT(Announced(), StartsWith("own-3+"));
  model.label_studio_url = "http://elsewhere:8080";
  Serve(model);
  AwaitAnnounced("d1+");
}

TEST_F(ProjectModelsTest, WhereTheModelNamesItsProjectLabelStudioNeedNotBeThere) {
  studio_.failures = 1'000'000;
  FakeServices::Named model = {.stored = 3, .version = "own-3"};
  model.project_created = "2026-11-23T00:54:13Z";
  Serve(model);
  Start();
  EXPECT_THAT(Announced(), StartsWith("own-3+"));
  EXPECT_THAT(Announced(kTheirs), StartsWith("d1+"));
}

// A Label Studio that doesn't answer is waited for once.
TEST_F(ProjectModelsTest, AHangingLabelStudioHoldsUpOneRequestNotAll) {
  Serve({.stored = 3, .version = "own-3"});
  studio_.hangs = true;
  Start();
  Predicted();
  const auto begun = std::chrono::steady_clock::now();
  for (int i = 0; i < 20; ++i) Predicted();
  // With a second each it would be twenty.
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(10));
  studio_.hangs = false;
}

// Its tasks have numbers that the operator's tasks have, too.
TEST_F(ProjectModelsTest, NothingOfAForeignProjectGoesToTheOperatorsLabelStudio) {
  std::atomic<bool> full = true;
  one_.RefuseDetectWhile(full);
  StartWithPush();

  json::value body = PredictBody(kConfig, {image_, image_});
  body.at("project") = kTheirs;
  EXPECT_EQ(harness_->Post("/predict", body).status, 503) << "nobody finishes it later";
  EXPECT_EQ(harness_->Get("/jobs").json().at("jobs").as_array().size(), 0U);

  // What one Label Studio's /setup says of its project 1 is not said of the other's.
  const auto setup = [&](const char* project, double threshold) {
    return Text(harness_
                    ->Post("/setup", {{"project", project},
                                      {"schema", kConfig},
                                      {"hostname", "http://localhost:8080"},
                                      {"access_token", ""},
                                      {"extra_params", {{"score_threshold", threshold}}}})
                    .json()
                    .at("model_version"));
  };
  full = false;
  const std::string ours = setup(kOurs, 0.25);
  EXPECT_NE(setup(kTheirs, 0.75), ours);
  EXPECT_EQ(PredictedVersion(), ours);
}

TEST_F(ProjectModelsTest, ASwapIsAnnouncedOnceAndEveryPredictionSaysWhatMadeIt) {
  Serve({.stored = 3, .version = "own-3"});
  Start();
  const std::string before = Announced();

  one_.ServeDetector("project-1", {.stored = 4, .version = "better-4"});
  // Until the gateway has seen that the replicas disagree.
  while (!harness_->Get("/")
              .json()
              .at("detector")
              .at("names")
              .at(0)
              .at("loaded")
              .as_object()
              .contains("4")) {
    std::this_thread::yield();
  }
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(Announced(), before) << "one replica still serves it";
    EXPECT_EQ(PredictedVersion(), before);
  }
  two_.ServeDetector("project-1", {.stored = 4, .version = "better-4"});
  // By a call, not only by the next poll.
  const json::value batch = Predicted(kOurs, 20);
  for (const json::value& result : batch.at("results").as_array()) {
    EXPECT_THAT(Text(result.at("model_version")), StartsWith("better-4+"));
    EXPECT_EQ(result.at("result").at(0).at("value").at("rectanglelabels").at(0), "cat");
  }
  AwaitAnnounced("better-4+");
  EXPECT_EQ(PredictedVersion(), Announced());
  EXPECT_THAT(Announced("2.1795395253"), StartsWith("d1+"));
}

// The first look at a new version may fail: the replica is busy, or out of memory for a moment.
TEST_F(ProjectModelsTest, ANewVersionThatCannotBeLookedAtYetTurnsNobodyOverToTheDefault) {
  for (const auto code : {grpc::StatusCode::UNAVAILABLE, grpc::StatusCode::RESOURCE_EXHAUSTED}) {
    FakeServices services;
    std::atomic<bool> refuses = true;
    std::atomic<int> refused = 0;
    services.refuse_get_model = [&](const std::string&, const std::string& version) {
      if (version != "better-4" || !refuses) return grpc::Status::OK;
      ++refused;
      return grpc::Status(code, "busy");
    };
    services.ServeDetector("project-1", {.stored = 3, .version = "own-3"});
    StartWith(services.address());
    ASSERT_THAT(Announced(), StartsWith("own-3+"));

    services.ServeDetector("project-1", {.stored = 4, .version = "better-4"});
    while (refused < 2) std::this_thread::yield();  // what followed from the first is announced
    std::thread later([&] {
      while (refused < 4) std::this_thread::yield();
      refuses = false;
    });
    EXPECT_THAT(PredictedVersion(), StartsWith("better-4+"));
    later.join();
    harness_.reset();
  }
}

TEST_F(ProjectModelsTest, AListThatFailsTakesNothingAway) {
  std::atomic<int> refused = -1;
  one_.refuse_list_models = [&] {
    if (refused < 0) return grpc::Status::OK;
    ++refused;
    return grpc::Status(grpc::StatusCode::INTERNAL, "a fault");
  };
  one_.ServeDetector("project-1", {.stored = 3, .version = "own-3"});
  one_.ServeDetector("project-2", {.stored = 5, .version = "own-5", .loaded = false});
  Start();
  ASSERT_THAT(Announced(), StartsWith("own-3+"));
  refused = 0;
  while (refused < 3) std::this_thread::yield();

  EXPECT_THAT(Announced(), StartsWith("own-3+"));
  EXPECT_THAT(PredictedVersion(), StartsWith("own-3+"));
  EXPECT_EQ(Announced("3.1795395253"),
            "d1+s1+" + Announced().substr(std::string("own-3+s1+").size()));
  const auto health = harness_->app().profiles.default_profile().detector->health();
  EXPECT_EQ(health.versions.at("d1"), 2) << "its default model serves on";
  EXPECT_TRUE(harness_->app().profiles.default_profile().detector->Has("project-2"));
}

TEST_F(ProjectModelsTest, ANameThatIsRolledBackToNothingOrDeletedIsTheDefault) {
  Serve({.stored = 3, .version = "own-3"});
  Start();
  ASSERT_THAT(Announced(), StartsWith("own-3+"));

  Serve({.stored = 0, .version = ""});
  EXPECT_THAT(PredictedVersion(), StartsWith("d1+")) << "a task that was begun is not lost";
  AwaitAnnounced("d1+");
  Serve({.stored = 4, .version = "better-4"});
  AwaitAnnounced("better-4+");
  one_.Delete("project-1");
  two_.Delete("project-1");
  AwaitAnnounced("d1+");
  EXPECT_EQ(PredictedVersion(), Announced());
}

TEST_F(ProjectModelsTest, AModelIsLoadedByTheFirstWhoAsksForIt) {
  for (FakeServices* services : {&one_, &two_}) {
    services->ServeDetector("project-1", {.stored = 3, .version = "own-3", .loaded = false});
    services->ServeDetector("project-2", {.stored = 9, .version = "own-9", .loaded = false});
  }
  Start();
  EXPECT_THAT(PredictedVersion("7.1795395253"), StartsWith("d1+"));
  EXPECT_FALSE(one_.IsLoaded("project-1"));

  EXPECT_THAT(Announced(kTheirs), StartsWith("d1+"));
  EXPECT_FALSE(one_.IsLoaded("project-1")) << "not by whoever names it";
  EXPECT_THAT(Announced(), StartsWith("own-3+"));
  EXPECT_TRUE(one_.IsLoaded("project-1"));
  EXPECT_FALSE(one_.IsLoaded("project-2"));

  // Dropped for want of memory: it is known, and asked for without another look.
  Serve({.stored = 3, .version = "own-3", .loaded = false});
  for (int i = 0; i < 3; ++i) EXPECT_THAT(PredictedVersion(), StartsWith("own-3+"));
}

TEST_F(ProjectModelsTest, AFolderThatCannotBeLoadedIsSaidAndTheOldOneServesOn) {
  Serve({.stored = 4, .version = "own-3", .error = "model.pth: its SHA-256 is another"});
  Harness& gateway = Start();

  EXPECT_THAT(Announced(), StartsWith("own-3+"));
  const json::value name = gateway.Get("/").json().at("detector").at("names").at(0);
  EXPECT_THAT(Text(name.at("error")), HasSubstr("SHA-256"));
  EXPECT_EQ(name.at("stored_version"), 4);
  EXPECT_EQ(name.at("loaded").at("3"), 2);

  Serve({.stored = 4, .version = "", .error = "model.pth: its SHA-256 is another"});
  AwaitAnnounced("d1+");
}

TEST_F(ProjectModelsTest, ServicesOfTheReleaseBeforeHaveTheDefaultOnly) {
  one_.knows_names = two_.knows_names = false;
  Serve({.stored = 3, .version = "own-3"});
  Harness& gateway = Start();

  EXPECT_THAT(Announced(), StartsWith("d1+"));
  EXPECT_EQ(PredictedVersion(), Announced());
  EXPECT_FALSE(gateway.Get("/").json().at("detector").as_object().contains("names"));
}

TEST_F(ProjectModelsTest, DetectorAndSegmenterEachHaveTheirOwn) {
  for (FakeServices* services : {&one_, &two_}) {
    services->ServeSegmenter("project-1", {.stored = 1, .version = "own-s"});
  }
  Harness& gateway = Start();
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

  EXPECT_THAT(Announced(), StartsWith("d1+own-s+"));
  const Reply reply = gateway.Post("/predict", PredictBody(kSmart, {image_}, click));
  ASSERT_EQ(reply.status, 200) << reply.body;
  EXPECT_THAT(Text(reply.result(0).at("model_version")), StartsWith("d1+own-s+"));
}

// A profile's services are asked for what they have themselves.
TEST_F(ProjectModelsTest, AProfileHasTheNamesOfItsOwnServices) {
  FakeServices others;
  Serve({.stored = 3, .version = "own-3"});
  Start(/*named=*/true, R"({"street": {"detector": ")" + others.address() + R"("}})");
  while (harness_->Get("/p/street/").json().at("model_version").is_null()) {
    std::this_thread::yield();
  }

  EXPECT_THAT(Announced(kOurs, "", "/p/street"), StartsWith("d1+"));
  EXPECT_THAT(Announced(), StartsWith("own-3+"));
}

TEST_F(ProjectModelsTest, ABackgroundJobStoresWhatTheProjectsModelFinds) {
  Serve({.stored = 3, .version = "own-3"});
  std::atomic<bool> away = true;
  const auto detect = [&](auto&, const auto& request, auto* response) {
    if (away) return grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "full");
    EXPECT_EQ(request.model().name(), "project-1");
    response->set_image_width(320);
    response->set_image_height(240);
    return grpc::Status::OK;
  };
  one_.on_detect = two_.on_detect = detect;
  StartWithPush();
  const std::string announced = Announced();

  Predicted(kOurs, 2);
  away = false;
  while (studio_.predictions(1).empty() || studio_.predictions(2).empty()) {
    std::this_thread::yield();
  }

  EXPECT_EQ(Text(studio_.predictions(1)[0].at("model_version")), announced);
  EXPECT_THAT(announced, StartsWith("own-3+"));
}

// A replica tells of a new version, can't describe it, and goes back to the old one.
TEST_F(ProjectModelsTest, WhileItIsNotKnownWhichModelServesABackgroundJobWaits) {
  one_.refuse_get_model = [](const std::string&, const std::string& version) {
    return version == "better-4" ? grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "busy")
                                 : grpc::Status::OK;
  };
  std::atomic<bool> full = true;
  one_.RefuseDetectWhile(full);
  Serve({.stored = 3, .version = "own-3"});
  StartWithPush(absl::Milliseconds(300));
  const std::string announced = Announced();
  Predicted(kOurs, 2);

  Serve({.stored = 4, .version = "better-4"});
  const auto& profile = harness_->app().profiles.default_profile();
  while (prelabel::KnownServing(profile, "project-1")) std::this_thread::yield();
  full = false;
  const auto error = [&] {
    const json::value error = harness_->Get("/jobs").json().at("jobs").at(0).at("error");
    return error.is_string() ? Text(error) : "";
  };
  while (error().find("which models serve") == std::string::npos) {
    ASSERT_NE(harness_->Get("/jobs").json().at("jobs").at(0).at("state"), "failed") << error();
    std::this_thread::yield();
  }
  Serve({.stored = 3, .version = "own-3"});
  while (studio_.predictions(1).empty() || studio_.predictions(2).empty()) {
    std::this_thread::yield();
  }

  EXPECT_EQ(Text(studio_.predictions(1)[0].at("model_version")), announced);
}

}  // namespace
}  // namespace gateway::testing
