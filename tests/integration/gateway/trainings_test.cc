// The button, the verdict and what follows from it: a gateway, a trainer, a Label Studio and
// services over real sockets. The services of these tests follow serving.json as real ones do.
#include <absl/strings/escaping.h>
#include <absl/time/clock.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <boost/json/serialize.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "model_store/model_store.h"
#include "tests/integration/gateway/fake_label_studio.h"
#include "tests/integration/gateway/fake_services.h"
#include "tests/integration/gateway/fake_trainer.h"
#include "tests/integration/gateway/harness.h"
#include "tests/testing/log_capture.h"
#include "tests/testing/temp_dir.h"

namespace gateway::testing {
namespace {

namespace json = boost::json;
using model_store::Kind;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;
using Job = FakeTrainer::Job;
using Verdict = FakeTrainer::Verdict;

constexpr char kConfig[] = R"(<View><Image name="image" value="$image"/>
  <RectangleLabels name="rect" toName="image"><Label value="cat"/><Label value="dog"/>
  </RectangleLabels></View>)";
constexpr char kOurs[] = "1.1795395253";

std::string Text(const json::value& value) { return std::string(value.as_string()); }

template <typename Condition>
void Await(const Condition& condition) {
  while (!condition()) std::this_thread::yield();
}

class TrainingsTest : public ::testing::Test {
 protected:
  TrainingsTest() { studio_.label_config = kConfig; }
  ~TrainingsTest() override {
    stop_following_ = true;
    if (follower_.joinable()) follower_.join();
  }

  HarnessOptions Options() {
    HarnessOptions options;
    options.detector = options.segmenter = services_.address();
    options.trainer = trainer_.address();
    options.settings.background = prelabel::Background::kPush;
    options.gateway.label_studio = {
        .url = studio_.url(), .token = std::make_shared<serving::Secret>(FakeLabelStudio::kToken)};
    options.gateway.training.model_root = root_.path();
    options.gateway.training.interval = absl::ZeroDuration();
    options.gateway.training.follow = std::chrono::milliseconds(5);
    options.gateway.training.idle = std::chrono::milliseconds(5);
    options.gateway.training.look = std::chrono::milliseconds(5);
    options.gateway.training.debounce = std::chrono::milliseconds(5);
    options.gateway.training.settle_again = absl::Milliseconds(1);
    return options;
  }
  // With a project that Label Studio has set up.
  Harness& Start(HarnessOptions options) {
    harness_ = std::make_unique<Harness>(std::move(options));
    harness_->AwaitModels();
    EXPECT_EQ(SetUp(*harness_).status, 200);
    return *harness_;
  }
  static Reply SetUp(Harness& gateway, const std::string& hostname = "",
                     const std::string& prefix = "") {
    return gateway.Post(prefix + "/setup", {{"project", kOurs},
                                            {"schema", kConfig},
                                            {"hostname", hostname},
                                            {"access_token", ""},
                                            {"extra_params", nullptr}});
  }
  Harness& Start() { return Start(Options()); }
  void Stop() { harness_.reset(); }

  // The services load what serving.json names, from now on.
  void FollowServing(Kind kind = Kind::kDetector) {
    follower_ = std::thread([this, kind] {
      std::uint64_t loaded = 0;
      while (!stop_following_) {
        const auto serving = store_.ReadServing(kind, "project-1");
        if (serving.ok() && serving->version != loaded) {
          loaded = serving->version;
          const FakeServices::Named model = {
              .stored = loaded, .version = loaded == 0 ? "" : "own-" + std::to_string(loaded)};
          if (kind == Kind::kDetector) services_.ServeDetector("project-1", model);
          if (kind == Kind::kSegmenter) services_.ServeSegmenter("project-1", model);
        }
        std::this_thread::yield();
      }
    });
  }
  std::uint64_t Serves(Kind kind = Kind::kDetector) const {
    const auto serving = store_.ReadServing(kind, "project-1");
    return serving.ok() ? serving->version : 0;
  }
  // As the trainer does before it tells its verdict.
  std::uint64_t Publish(std::uint64_t parent, Kind kind = Kind::kDetector) {
    auto staging = store_.Stage(kind, "project-1");
    EXPECT_TRUE(staging.ok()) << staging.status();
    std::ofstream(staging->folder() + "/model.pth") << "weights after " << parent;
    const auto version = staging->Publish({.parent = parent, .project_id = 1});
    EXPECT_TRUE(version.ok()) << version.status();
    return *version;
  }
  static Verdict Made(std::uint64_t version, std::uint64_t parent,
                      Verdict::Outcome outcome = Verdict::OUTCOME_BETTER) {
    Verdict verdict;
    verdict.set_outcome(outcome);
    verdict.set_model_name("project-1");
    verdict.set_version(version);
    verdict.set_parent(parent);
    verdict.set_old_score(0.5);
    verdict.set_new_score(0.75);
    return verdict;
  }
  json::value Event(const std::string& action) {
    return {{"action", action},
            {"project", {{"id", 1}, {"created_at", "2026-11-23T00:54:13.814966Z"}}}};
  }
  // Presses the button; the job's id.
  std::string Button() {
    const Reply reply = harness_->Post("/webhook", Event("START_TRAINING"));
    EXPECT_EQ(reply.status, 200) << reply.body;
    return Text(reply.json().at("job"));
  }
  json::value Progress() { return harness_->Get("/train/1").json(); }
  void AwaitDecision() {
    Await([&] {
      const json::value progress = Progress();
      return progress.at("state") == "done" && progress.at("decided").as_bool();
    });
  }
  // Annotations come until the trainer has so many jobs.
  void AwaitJobs(Harness& gateway, std::size_t count) {
    Await([&] {
      gateway.Post("/webhook", Event("ANNOTATION_CREATED"));
      return trainer_.jobs().size() == count;
    });
  }
  // What has begun before is counted, and what follows from that has happened.
  void AwaitCount(FakeLabelStudio& studio, Harness& gateway) {
    const int before = studio.counts();
    Await([&] {
      gateway.Post("/webhook", Event("ANNOTATION_CREATED"));
      return studio.counts() >= before + 2;  // one at a time
    });
  }
  // Somebody else lets another version serve.
  void Rollback(std::uint64_t version, const std::string& reason = "") {
    const auto changed = store_.UpdateServing(
        Kind::kDetector, "project-1",
        [&](const model_store::Serving& now) -> absl::StatusOr<model_store::Serving> {
          model_store::Serving next = now;
          next.version = version;
          next.by = "ann";
          next.reason = reason;
          return next;
        });
    ASSERT_TRUE(changed.ok()) << changed.status();
  }
  // A whole training; the version.
  std::uint64_t TrainBetter(std::uint64_t parent) {
    const std::string job = Button();
    const std::uint64_t version = Publish(parent);
    trainer_.Finish(job, Made(version, parent), "AP50 0.75 instead of 0.50 on 20 images");
    AwaitDecision();
    return version;
  }

  duet_testing::TempDir root_;
  const model_store::ModelStore store_{root_.path()};
  FakeLabelStudio studio_;
  FakeServices services_;
  FakeTrainer trainer_;
  std::unique_ptr<Harness> harness_;
  std::atomic<bool> stop_following_ = false;
  std::thread follower_;
  const std::string image_ = PngDataUri(320, 240);
};

TEST_F(TrainingsTest, TheButtonBeginsAJobAndItsProgressIsThere) {
  duet_testing::LogCapture log;
  Harness& gateway = Start();
  EXPECT_EQ(gateway.Get("/train/1").status, 404);
  EXPECT_EQ(gateway.Get("/is_training").json().at("is_training"), false);

  const Reply begun = gateway.Post("/webhook", Event("START_TRAINING"));
  ASSERT_EQ(begun.status, 200) << begun.body;
  const std::string job = Text(begun.json().at("job"));
  EXPECT_EQ(begun.json().at("status"), "queued");
  trainer_.Change(job, [](Job& one) {
    one.set_state(Job::STATE_TRAINING);
    one.set_message("trains on 20 images");
    one.set_images(20);
    one.mutable_progress()->set_step(30);
    one.mutable_progress()->set_steps(120);
    one.mutable_progress()->set_loss(1.5);
  });

  const json::value progress = Progress();
  EXPECT_EQ(Text(progress.at("job")), job);
  EXPECT_EQ(progress.at("state"), "training");
  EXPECT_EQ(progress.at("message"), "trains on 20 images");
  EXPECT_EQ(progress.at("progress").at("step"), 30);
  EXPECT_EQ(progress.at("progress").at("loss"), 1.5);
  EXPECT_FALSE(progress.as_object().contains("verdict"));
  Await([&] { return gateway.Get("/is_training").json().at("is_training").as_bool(); });
  Await([&] {
    return gateway.Post("/job_status", {{"job", job}}).json().at("state") == "training";
  });
  EXPECT_EQ(gateway.Post("/job_status", {{"job", "another"}}).status, 410);

  ASSERT_THAT(log.lines("audit.train"), SizeIs(1));
  EXPECT_THAT(log.lines("audit.train")[0], AllOf(HasSubstr("\"project\":\"1\""), HasSubstr(job)));
  Await([&] { return trainer_.streams() == 0; });  // nobody holds a stream open
  EXPECT_EQ(trainer_.jobs().size(), 1U);
}

// Older versions of Label Studio take 410 for "removed" and stop asking.
TEST_F(TrainingsTest, AJobIsKnownBeforeTheNextListComes) {
  trainer_.holds_lists = true;
  Harness& gateway = Start();
  const std::string job = Text(gateway.Post("/train", {{"project", "1"}}).json().at("job"));
  EXPECT_EQ(gateway.Post("/job_status", {{"job", job}}).status, 200);
  trainer_.holds_lists = false;
}

TEST_F(TrainingsTest, WhoAsksWhileOneRunsJoinsIt) {
  Harness& gateway = Start();
  const std::string job = Button();

  EXPECT_EQ(Button(), job);
  const Reply older = gateway.Post("/train", {{"project", kOurs}, {"annotations", {{{"id", 1}}}}});
  EXPECT_EQ(older.status, 201);
  EXPECT_EQ(Text(older.json().at("job")), job);
  EXPECT_EQ(trainer_.jobs().size(), 1U);

  const Reply other = gateway.Send("POST", "/train?kind=segmenter", R"({"project": "1"})");
  EXPECT_EQ(other.json().at("kind"), "segmenter");
  EXPECT_NE(Text(other.json().at("job")), job);
  EXPECT_EQ(gateway.Send("POST", "/train?kind=cat", R"({"project": "1"})").status, 400);
}

// Nobody presses a button to get half of it.
TEST_F(TrainingsTest, WithoutAKindBothModelsAreTrained) {
  Harness& gateway = Start();
  Button();
  EXPECT_EQ(trainer_.asked().back().kind(), duet::trainer::v1::MODEL_KIND_DETECTOR);
  EXPECT_TRUE(trainer_.asked().back().and_segmenter());
  EXPECT_EQ(gateway.Post("/train", {{"project", "1"}}).status, 201);
  EXPECT_TRUE(trainer_.asked().back().and_segmenter());

  for (const auto& [query, kind] :
       {std::pair("?kind=detector", duet::trainer::v1::MODEL_KIND_DETECTOR),
        {"?kind=segmenter", duet::trainer::v1::MODEL_KIND_SEGMENTER}}) {
    const std::string path = std::string("/train") + query;
    EXPECT_EQ(gateway.Send("POST", path, R"({"project": "1"})").status, 201) << query;
    EXPECT_EQ(trainer_.asked().back().kind(), kind);
    EXPECT_FALSE(trainer_.asked().back().and_segmenter()) << query;
  }
}

TEST_F(TrainingsTest, TheTrainingsOfBothModelsAreShown) {
  Harness& gateway = Start();
  const Reply begun = gateway.Send("POST", "/train?kind=segmenter", R"({"project": "1"})");
  const std::string segmenter = Text(begun.json().at("job"));
  EXPECT_EQ(Text(Progress().at("job")), segmenter) << "there is no other";
  EXPECT_EQ(gateway.Get("/train/1?kind=detector").status, 404);

  const std::string detector = Button();
  trainer_.Change(detector, [&](Job& job) { job.set_next_job_id(segmenter); });
  const json::value both = Progress();
  EXPECT_EQ(Text(both.at("job")), detector);
  EXPECT_EQ(Text(both.at("next")), segmenter);
  EXPECT_EQ(Text(both.at("segmenter").at("job")), segmenter);
  EXPECT_EQ(both.at("segmenter").at("kind"), "segmenter");
  EXPECT_EQ(Text(gateway.Get("/train/1?kind=segmenter").json().at("job")), segmenter);
  const json::value alone = gateway.Get("/train/1?kind=detector").json();
  EXPECT_EQ(Text(alone.at("job")), detector);
  EXPECT_FALSE(alone.as_object().contains("segmenter"));
  EXPECT_EQ(gateway.Get("/train/1?kind=cat").status, 400);
}

TEST_F(TrainingsTest, AProjectIsNotTrainedAgainAtOnce) {
  HarnessOptions options = Options();
  options.gateway.training.interval = absl::Hours(1);
  Harness& gateway = Start(std::move(options));
  const std::string job = Button();
  EXPECT_EQ(Button(), job) << "one that runs is joined";
  trainer_.Finish(job, Made(1, 0, Verdict::OUTCOME_NOT_BETTER), "AP50 0.50 as before");

  const Reply early = gateway.Post("/train", {{"project", "1"}});
  EXPECT_EQ(early.status, 429);
  EXPECT_THAT(early.body,
              AllOf(HasSubstr("project 1 was trained 0 s ago"), HasSubstr("--train_interval_s")));
  EXPECT_EQ(gateway.Post("/train", {{"project", "1"}}).status, 429);

  // A clock that was wrong keeps nobody out.
  trainer_.Change(job, [](Job& one) {
    one.set_queued_ms(absl::ToUnixMillis(absl::Now() + absl::Hours(1000)));
  });
  EXPECT_NE(Button(), job);
  EXPECT_EQ(trainer_.jobs().size(), 2U);
}

TEST_F(TrainingsTest, WithAPasswordOnlyWhoHasItTrains) {
  duet_testing::LogCapture log;
  HarnessOptions options = Options();
  options.gateway.basic_auth_user = "ann";
  options.gateway.basic_auth_password = std::make_shared<serving::Secret>("secret");
  harness_ = std::make_unique<Harness>(std::move(options));
  harness_->AwaitModels();
  Harness& gateway = *harness_;
  const std::string event = json::serialize(Event("START_TRAINING"));
  const std::string train = R"({"project": "1"})";

  for (const char* wrong : {"", "Basic bm9ib2R5Om5vdGhpbmc="}) {
    const std::vector<std::pair<std::string, std::string>> headers = {{"Authorization", wrong}};
    EXPECT_EQ(gateway.Send("POST", "/webhook", event, headers).status, 401);
    EXPECT_EQ(gateway.Send("POST", "/train", train, headers).status, 401);
    EXPECT_EQ(gateway.Send("POST", "/train/1/cancel", "{}", headers).status, 401);
    EXPECT_EQ(gateway.Send("POST", "/train/1/forget", "{}", headers).status, 401);
    EXPECT_EQ(gateway.Send("GET", "/train/1", "", headers).status, 401);
  }
  EXPECT_THAT(trainer_.jobs(), IsEmpty());
  EXPECT_EQ(gateway.Post("/webhook", Event("ANNOTATION_CREATED")).status, 200)
      << "other events come without";
  EXPECT_THAT(log.lines("audit.refused"), SizeIs(8));

  const std::vector<std::pair<std::string, std::string>> right = {
      {"Authorization", "Basic " + absl::Base64Escape("ann:secret")},
      {"X-Forwarded-For", "10.0.0.7"}};
  EXPECT_EQ(gateway.Send("POST", "/webhook", event, right).status, 200);
  EXPECT_EQ(gateway.Send("POST", "/train/1/cancel", "{}", right).status, 200);
}

// Behind a proxy on this machine everybody would be this machine.
TEST_F(TrainingsTest, WhatCameThroughAProxyIsNobodys) {
  Harness& gateway = Start();
  const std::string event = json::serialize(Event("START_TRAINING"));
  for (const char* field : {"X-Forwarded-For", "Forwarded", "Via", "X-Real-IP"}) {
    const Reply reply = gateway.Send("POST", "/webhook", event, {{field, "127.0.0.1"}});
    EXPECT_EQ(reply.status, 403) << field;
    EXPECT_THAT(reply.body, AllOf(HasSubstr(field), HasSubstr("--basic_auth_user")));
    EXPECT_EQ(gateway.Send("POST", "/train", "{}", {{field, "127.0.0.1"}}).status, 403);
  }
  EXPECT_THAT(trainer_.jobs(), IsEmpty());
}

TEST_F(TrainingsTest, OnlyProjectsOfTheOperatorsLabelStudioAreTrained) {
  Harness& gateway = Start();
  json::value event = Event("START_TRAINING");
  event.at("project").at("created_at") = "2025-01-01T00:00:00Z";
  const Reply other = gateway.Post("/webhook", event);
  EXPECT_EQ(other.status, 400);
  EXPECT_THAT(other.body, HasSubstr("project 1 is no project of --label_studio_url"));
  EXPECT_EQ(gateway.Post("/train", {{"project", "cats"}}).status, 400);
  EXPECT_EQ(gateway.Post("/train", json::object()).status, 400);
  EXPECT_THAT(trainer_.jobs(), IsEmpty());
}

// `duet train` and curl know not when a project was created, nor do they stand for a Label Studio:
// who may train means the operator's project, whatever a /setup has said.
TEST_F(TrainingsTest, WhoTellsNoTimeOfCreationMeansTheOperatorsProject) {
  Harness& gateway = Start();
  ASSERT_EQ(SetUp(gateway, "https://labels.example.com").status, 200);
  const Reply begun = gateway.Post("/train", {{"project", "1"}});
  EXPECT_EQ(begun.status, 201) << begun.body;

  const Reply unknown = gateway.Post("/train", {{"project", "2"}});
  EXPECT_EQ(unknown.status, 404) << unknown.body;
  EXPECT_THAT(unknown.body, HasSubstr("there is no project 2 at " + studio_.url()));
  EXPECT_EQ(trainer_.jobs().size(), 1U);

  studio_.failures = 1;
  const Reply away = gateway.Post("/train", {{"project", "3"}});
  EXPECT_EQ(away.status, 503) << away.body;
}

TEST_F(TrainingsTest, ABetterVersionServesAndPredictionsAreRenewedOnce) {
  duet_testing::LogCapture log;
  for (int task = 1; task <= 5; ++task) studio_.AddTask(task, image_, /*labelled=*/task == 3);
  FollowServing();
  Harness& gateway = Start();
  ASSERT_EQ(TrainBetter(/*parent=*/0), 1U);

  EXPECT_EQ(Serves(), 1U);
  EXPECT_EQ(Progress().at("decision"), "project-1 is served by version 1 now");
  EXPECT_EQ(Progress().at("verdict").at("outcome"), "better");
  Await([&] { return studio_.prediction_count() >= 4; });
  Await([&] { return !log.lines("predictions.renewed").empty(); });
  const auto serving = store_.ReadServing(Kind::kDetector, "project-1");
  EXPECT_EQ(serving->decided, 1U);
  EXPECT_THAT(serving->by, HasSubstr("loopback"));
  EXPECT_THAT(serving->reason, HasSubstr("0.75 instead of 0.50"));

  const std::string announced = Text(SetUp(gateway).json().at("model_version"));
  EXPECT_THAT(announced, StartsWith("own-1+"));
  for (const int task : {1, 2, 4, 5}) {
    ASSERT_THAT(studio_.predictions(task), SizeIs(1)) << task;
    EXPECT_EQ(Text(studio_.predictions(task)[0].at("model_version")), announced);
  }
  EXPECT_THAT(studio_.predictions(3), IsEmpty()) << "somebody has annotated it";
  EXPECT_THAT(log.lines("audit.swap"), SizeIs(1));
  EXPECT_THAT(gateway.Get("/metrics").body,
              AllOf(HasSubstr("duet_gateway_verdicts_total{outcome=\"swapped\"} 1"),
                    HasSubstr("duet_gateway_trainings_ended_total{outcome=\"better\"} 1")));
}

TEST_F(TrainingsTest, WhatIsNotBetterChangesNothingAndSaysWhy) {
  Harness& gateway = Start();
  for (const auto outcome : {Verdict::OUTCOME_NOT_BETTER, Verdict::OUTCOME_UNDECIDED}) {
    const std::string job = Button();
    Verdict verdict = Made(Publish(0), 0, outcome);
    verdict.set_images_needed(outcome == Verdict::OUTCOME_UNDECIDED ? 90 : 0);
    trainer_.Finish(job, verdict, "AP50 0.52 instead of 0.50 on 5 images: too few to tell");
    AwaitDecision();
    EXPECT_THAT(Text(Progress().at("message")), HasSubstr("too few to tell"));
  }
  EXPECT_EQ(Progress().at("verdict").at("images_needed"), 90);
  EXPECT_FALSE(store_.ReadServing(Kind::kDetector, "project-1").ok());
  EXPECT_THAT(gateway.Get("/metrics").body,
              AllOf(HasSubstr("duet_gateway_trainings_ended_total{outcome=\"not_better\"} 1"),
                    HasSubstr("duet_gateway_trainings_ended_total{outcome=\"undecided\"} 1"),
                    HasSubstr("duet_gateway_verdicts_total{outcome=\"swapped\"} 0")));
}

TEST_F(TrainingsTest, WhatWasRolledBackIsNotPromotedAgain) {
  duet_testing::LogCapture log;
  FollowServing();
  Start();
  TrainBetter(0);
  ASSERT_EQ(Serves(), 1U);
  Rollback(0, "cats are missing");

  Await([&] {
    for (const std::string& line : log.lines("audit.serving")) {
      if (line.find("cats are missing") != std::string::npos) return true;
    }
    return false;
  });
  Stop();  // another gateway finds the same verdict
  Start();
  Await([&] { return Progress().at("decided").as_bool(); });
  EXPECT_EQ(Serves(), 0U);

  // The next one begins from what serves.
  EXPECT_EQ(TrainBetter(0), 2U);
  EXPECT_EQ(Serves(), 2U);
}

TEST_F(TrainingsTest, WhatWasComparedWithSomethingElseDoesNotServe) {
  Start();
  TrainBetter(0);
  const std::string job = Button();
  const std::uint64_t version = Publish(0);
  trainer_.Finish(job, Made(version, /*parent=*/0), "better than the default model");
  AwaitDecision();

  EXPECT_EQ(Serves(), 1U);
  EXPECT_THAT(Text(Progress().at("decision")),
              AllOf(HasSubstr("version 2 was compared with the default model, but version 1"),
                    HasSubstr("duet models rollback project-1 2")));
}

TEST_F(TrainingsTest, OfTwoGatewaysOneAppliesTheVerdict) {
  duet_testing::LogCapture log;
  for (int task = 1; task <= 4; ++task) studio_.AddTask(task, image_);
  FollowServing();
  Start();
  Harness other(Options());
  other.AwaitModels();
  ASSERT_EQ(SetUp(other).status, 200);
  TrainBetter(0);
  Await([&] { return other.Get("/train/1").json().at("decided").as_bool(); });
  Await([&] { return !log.lines("predictions.renewed").empty(); });
  Await([&] { return studio_.prediction_count() >= 4; });

  EXPECT_THAT(log.lines("audit.swap"), SizeIs(1));
  EXPECT_THAT(log.lines("predictions.renewed"), SizeIs(1));
  EXPECT_EQ(studio_.prediction_count(), 4U);
}

TEST_F(TrainingsTest, ASegmentersVerdictConcernsTheSegmenterAlone) {
  duet_testing::LogCapture log;
  for (int task = 1; task <= 2; ++task) studio_.AddTask(task, image_);
  FollowServing(Kind::kSegmenter);
  Harness& gateway = Start();
  const Reply begun = gateway.Send("POST", "/train?kind=segmenter", R"({"project": "1"})");
  const std::string job = Text(begun.json().at("job"));
  const std::uint64_t version = Publish(0, Kind::kSegmenter);
  trainer_.Finish(job, Made(version, 0), "IoU from a box goes from 0.8 to 0.9");
  AwaitDecision();
  Await([&] { return studio_.prediction_count() >= 2; });
  EXPECT_THAT(Text(studio_.predictions(1)[0].at("model_version")), HasSubstr("+own-1"));

  EXPECT_EQ(Serves(Kind::kSegmenter), 1U);
  EXPECT_EQ(Serves(), 0U) << "there is no such detector";
  ASSERT_THAT(log.lines("audit.swap"), SizeIs(1));
  EXPECT_THAT(log.lines("audit.swap")[0], HasSubstr("\"kind\":\"segmenter\""));
}

// Numbers begin anew where a model was deleted.
TEST_F(TrainingsTest, AVerdictIsForTheWeightsThatItWasMadeFor) {
  Start();
  const std::string job = Button();
  const std::uint64_t version = Publish(0);
  Verdict other = Made(version, 0);
  other.set_model_sha256(std::string(64, 'a'));
  trainer_.Finish(job, other, "better");
  AwaitDecision();
  EXPECT_EQ(Serves(), 0U);
  EXPECT_THAT(Text(Progress().at("decision")),
              AllOf(HasSubstr("version 1 of project-1 is another one by now"), HasSubstr(job)));

  Verdict same = Made(Publish(1), 0);
  const auto manifest = store_.ReadManifest(Kind::kDetector, "project-1", same.version());
  same.set_model_sha256(manifest->weights().sha256);
  trainer_.Finish(Button(), same, "better");
  AwaitDecision();
  EXPECT_EQ(Serves(), same.version());
}

TEST_F(TrainingsTest, ADamagedVersionDoesNotServe) {
  Harness& gateway = Start();
  const std::string job = Button();
  const std::uint64_t version = Publish(0);
  std::ofstream(store_.PathOf(Kind::kDetector, "project-1", version) + "/model.pth") << "changed";
  trainer_.Finish(job, Made(version, 0), "better");
  AwaitDecision();

  EXPECT_EQ(Serves(), 0U);
  EXPECT_THAT(Text(Progress().at("decision")),
              AllOf(HasSubstr("the new version can't serve"), HasSubstr("model.pth")));
  EXPECT_THAT(gateway.Get("/metrics").body,
              HasSubstr("duet_gateway_verdicts_total{outcome=\"failed\"} 1"));
}

TEST_F(TrainingsTest, AVerdictAboutAnotherNameIsNotBelieved) {
  Start();
  const std::string job = Button();
  Verdict verdict = Made(Publish(0), 0);
  verdict.set_model_name("project-2");
  trainer_.Finish(job, verdict, "better");
  AwaitDecision();

  EXPECT_EQ(Serves(), 0U);
  EXPECT_THAT(Text(Progress().at("decision")), HasSubstr("needed: a version of project-1"));
}

TEST_F(TrainingsTest, ATrainerThatIsAwayIsSaid) {
  auto away = std::make_unique<FakeTrainer>();
  HarnessOptions options = Options();
  options.trainer = away->address();
  const int port = away->port();
  away.reset();
  Harness& gateway = Start(std::move(options));

  const Reply reply = gateway.Post("/webhook", Event("START_TRAINING"));
  EXPECT_EQ(reply.status, 503);
  EXPECT_THAT(reply.body,
              HasSubstr("the trainer at 127.0.0.1:" + std::to_string(port) + " is away"));
  EXPECT_EQ(gateway.Get("/train/1").status, 503);
  EXPECT_THAT(gateway.Get("/metrics").body, HasSubstr("duet_gateway_trainer_up 0"));

  FakeTrainer back(port);
  Await([&] { return gateway.Post("/webhook", Event("START_TRAINING")).status == 200; });
  EXPECT_EQ(back.jobs().size(), 1U);
}

TEST_F(TrainingsTest, AFullQueueIsSaid) {
  trainer_.full = true;
  Harness& gateway = Start();
  const Reply reply = gateway.Post("/train", {{"project", "1"}});
  EXPECT_EQ(reply.status, 429);
  EXPECT_THAT(reply.body, HasSubstr("the trainer says: the queue is full"));
}

TEST_F(TrainingsTest, AJobIsCancelledAndItsCopiesAreForgotten) {
  duet_testing::LogCapture log;
  Harness& gateway = Start();
  EXPECT_EQ(gateway.Post("/train/1/cancel", json::object()).status, 404);
  Button();

  // To the trainer 0 is all projects.
  EXPECT_EQ(gateway.Post("/train/0/cancel", json::object()).status, 404);
  EXPECT_EQ(gateway.Get("/train/0").status, 404);
  EXPECT_EQ(gateway.Post("/train/00/forget", json::object()).status, 404);
  const Reply running = gateway.Post("/train/1/forget", json::object());
  EXPECT_EQ(running.status, 400) << running.body;
  const Reply cancelled = gateway.Post("/train/1/cancel", json::object());
  EXPECT_EQ(cancelled.status, 200);
  EXPECT_EQ(cancelled.json().at("state"), "cancelled");
  const Reply forgotten = gateway.Post("/train/1/forget", json::object());
  EXPECT_EQ(forgotten.json().at("jobs"), 1);
  EXPECT_EQ(forgotten.json().at("bytes"), 1000);
  EXPECT_EQ(gateway.Get("/train/1").status, 404);
  EXPECT_EQ(gateway.Get("/train/cats").status, 404);
  EXPECT_THAT(log.lines("audit.cancel"), SizeIs(1));
  EXPECT_THAT(log.lines("audit.forget"), SizeIs(2));
}

TEST_F(TrainingsTest, ManyNewAnnotationsBeginATraining) {
  HarnessOptions options = Options();
  options.gateway.training.every = 3;
  for (int task = 1; task <= 9; ++task) studio_.AddTask(task, image_);
  Harness& gateway = Start(std::move(options));

  // What events say is not believed.
  studio_.Annotate(1);
  studio_.Annotate(2);
  AwaitCount(studio_, gateway);
  EXPECT_THAT(trainer_.jobs(), IsEmpty());

  studio_.Annotate(3);
  AwaitJobs(gateway, 1);
  const Job first = trainer_.jobs()[0];
  EXPECT_THAT(first.requested_by(), HasSubstr("annotations (3 new ones)"));
  EXPECT_TRUE(trainer_.asked().back().and_segmenter());

  // Those that it has seen don't count again.
  trainer_.Finish(first.id(), Made(Publish(0), 0, Verdict::OUTCOME_NOT_BETTER), "as before");
  studio_.Annotate(4);
  studio_.Annotate(5);
  AwaitCount(studio_, gateway);
  EXPECT_EQ(trainer_.jobs().size(), 1U);
  studio_.Annotate(6);
  AwaitJobs(gateway, 2);
}

// It has learned from nothing, but would fail again with the next annotation.
TEST_F(TrainingsTest, WhatATrainingThatFailedDidNotLearnCountsAnHourLater) {
  HarnessOptions options = Options();
  options.gateway.training.every = 2;
  for (int task = 1; task <= 2; ++task) studio_.AddTask(task, image_);
  Harness& gateway = Start(std::move(options));
  studio_.Annotate(1);
  studio_.Annotate(2);
  const std::string job = Button();
  const auto fail = [&](absl::Duration ago) {
    trainer_.Change(job, [&](Job& one) {
      one.set_state(Job::STATE_FAILED);
      one.set_ended_ms(absl::ToUnixMillis(absl::Now() - ago));
    });
  };
  fail(absl::Minutes(2));
  // Nothing is counted, so the trainer's list is what comes.
  const int before = trainer_.lists_of_projects();
  Await([&] {
    gateway.Post("/webhook", Event("ANNOTATION_CREATED"));
    return trainer_.lists_of_projects() >= before + 2;
  });
  EXPECT_EQ(trainer_.jobs().size(), 1U);
  fail(absl::Hours(2));
  AwaitJobs(gateway, 2);
}

// Somebody wanted the copies gone; they don't come back because a task is opened.
TEST_F(TrainingsTest, WhatWasForgottenIsNotFetchedAgainByItself) {
  HarnessOptions options = Options();
  options.gateway.training.every = 2;
  for (int task = 1; task <= 4; ++task) studio_.AddTask(task, image_, /*labelled=*/task <= 2);
  Harness& gateway = Start(std::move(options));
  EXPECT_EQ(gateway.Post("/train/1/forget", json::object()).status, 200);
  AwaitCount(studio_, gateway);
  EXPECT_THAT(trainer_.jobs(), IsEmpty());
  studio_.Annotate(3);
  studio_.Annotate(4);
  AwaitJobs(gateway, 1);
  EXPECT_THAT(trainer_.jobs()[0].requested_by(), HasSubstr("annotations (2 new ones)"));
}

TEST_F(TrainingsTest, EventsAloneNeverBeginATrainingUnlessItIsAskedFor) {
  for (int task = 1; task <= 3; ++task) studio_.AddTask(task, image_, /*labelled=*/true);
  Harness& gateway = Start();
  // Another gateway that counts what it is told a moment later.
  FakeLabelStudio other_studio;
  other_studio.label_config = kConfig;
  HarnessOptions options = Options();
  options.gateway.label_studio.url = other_studio.url();
  options.gateway.training.every = 1000;
  Harness counting(std::move(options));
  counting.AwaitModels();
  ASSERT_EQ(SetUp(counting).status, 200);

  for (int i = 0; i < 5; ++i) gateway.Post("/webhook", Event("ANNOTATION_CREATED"));
  AwaitCount(other_studio, counting);
  EXPECT_EQ(studio_.counts(), 0);
  EXPECT_THAT(trainer_.jobs(), IsEmpty());
}

// Anybody may send events.
TEST_F(TrainingsTest, EventsOfProjectsThatNobodyHasShownCostNothing) {
  HarnessOptions options = Options();
  options.gateway.training.every = 1000;
  Harness& gateway = Start(std::move(options));
  const int requests = studio_.requests();
  json::value event = Event("ANNOTATION_CREATED");
  for (int project = 2; project < 150; ++project) {
    event.at("project").at("id") = project;
    gateway.Post("/webhook", event);
  }
  event.at("project") = {{"id", 1}};  // without a time
  gateway.Post("/webhook", event);
  event.at("project") = {{"id", 1}, {"created_at", "2025-01-01T00:00:00Z"}};
  gateway.Post("/webhook", event);
  // And keep nobody else from being counted.
  AwaitCount(studio_, gateway);
  EXPECT_EQ(studio_.requests() - requests, studio_.counts());
}

// A volume that comes back, a folder that another machine sees a moment later.
TEST_F(TrainingsTest, AVerdictWaitsForTheFilesItIsAbout) {
  duet_testing::LogCapture log;
  Start();
  const std::string away = root_.path() + "-away";
  std::filesystem::rename(root_.path(), away);
  const std::string job = Button();
  trainer_.Finish(job, Made(1, 0), "better");
  const auto fails_with = [&](const std::string& what) {
    return [this, what] {
      const json::value progress = Progress();
      return progress.as_object().contains("decision") && !progress.at("decided").as_bool() &&
             Text(progress.at("decision")).find(what) != std::string::npos;
    };
  };
  Await(fails_with("can't serve"));
  std::filesystem::rename(away, root_.path());
  Await(fails_with("detector"));  // there is no such folder yet
  const std::size_t lines = log.lines("training.not_swapped").size();
  EXPECT_LE(lines, 4U) << "the same again is no news";
  ASSERT_EQ(Publish(0), 1U);
  AwaitDecision();
  EXPECT_EQ(Serves(), 1U);
  EXPECT_EQ(Text(Progress().at("decision")), "project-1 is served by version 1 now");
}

TEST_F(TrainingsTest, AnotherGatewayTellsTheDecisionToo) {
  Start();
  TrainBetter(0);
  Stop();
  Start();
  AwaitDecision();
  EXPECT_EQ(Text(Progress().at("decision")), "project-1 is served by version 1 now");
  Rollback(0);
  Stop();
  Start();
  AwaitDecision();
  EXPECT_THAT(Text(Progress().at("decision")), HasSubstr("the default model serves by now"));
}

TEST_F(TrainingsTest, ARollbackRenewsPredictionsToo) {
  duet_testing::LogCapture log;
  for (int task = 1; task <= 3; ++task) studio_.AddTask(task, image_);
  FollowServing();
  Start();
  TrainBetter(0);
  Await([&] { return studio_.prediction_count() >= 3; });
  Rollback(0);
  Await([&] { return studio_.prediction_count() >= 6; });
  Await([&] { return log.lines("predictions.renewed").size() == 2; });
  for (int task = 1; task <= 3; ++task) {
    ASSERT_THAT(studio_.predictions(task), SizeIs(2));
    EXPECT_THAT(Text(studio_.predictions(task)[1].at("model_version")), StartsWith("d1+"));
  }
}

TEST_F(TrainingsTest, WhereThereIsLittleRoomEveryTaskIsStillComputedOnce) {
  for (int task = 1; task <= 12; ++task) studio_.AddTask(task, image_);
  FollowServing();
  HarnessOptions options = Options();
  options.gateway.background.max_tasks = 5;
  Start(std::move(options));
  TrainBetter(0);
  Await([&] { return studio_.prediction_count() >= 12; });
  EXPECT_EQ(services_.count("Detect"), 12);
}

// Its address has no /p/NAME either.
TEST_F(TrainingsTest, ABackendThatIsAnotherProgramsIsLeftAlone) {
  duet_testing::LogCapture log;
  studio_.AddTask(1, image_);
  studio_.backend_url = "http://other:9090";
  FollowServing();
  harness_ = std::make_unique<Harness>(Options());
  harness_->AwaitModels();
  TrainBetter(0);
  Await([&] { return !log.lines("predictions.not_renewed").empty(); });
  EXPECT_THAT(log.lines("predictions.not_renewed")[0], HasSubstr("none of its ML backends"));
  EXPECT_EQ(studio_.prediction_count(), 0U);
}

// A training would begin from the default profile's model.
TEST_F(TrainingsTest, AProjectThatOtherServicesAnswerIsNotTrainedFromTheDefaultsModel) {
  FakeServices others;
  HarnessOptions options = Options();
  options.profiles = R"({"street": {"detector": ")" + others.address() + R"("}, "same": {}})";
  harness_ = std::make_unique<Harness>(std::move(options));
  harness_->AwaitModels();
  const Reply street = harness_->Post("/p/street/webhook", Event("START_TRAINING"));
  EXPECT_EQ(street.status, 400) << street.body;
  EXPECT_THAT(street.body, HasSubstr("the profile street"));
  Await([&] { return SetUp(*harness_, "", "/p/street").status == 200; });
  EXPECT_EQ(harness_->Post("/train", {{"project", "1"}}).status, 400);
  EXPECT_THAT(trainer_.jobs(), IsEmpty());
  EXPECT_EQ(harness_->Post("/p/same/webhook", Event("START_TRAINING")).status, 200);
}

TEST_F(TrainingsTest, ASegmenterThatIsntTheDefaultsIsNotTrainedAlong) {
  FakeServices others;
  HarnessOptions options = Options();
  options.profiles = R"({"street": {"segmenter": ")" + others.address() + R"("}})";
  harness_ = std::make_unique<Harness>(std::move(options));
  harness_->AwaitModels();
  EXPECT_EQ(harness_->Post("/p/street/webhook", Event("START_TRAINING")).status, 200);
  EXPECT_FALSE(trainer_.asked().back().and_segmenter());
  Await([&] { return SetUp(*harness_, "", "/p/street").status == 200; });
  EXPECT_EQ(harness_->Send("POST", "/train?kind=segmenter", R"({"project": "1"})").status, 400);
}

TEST_F(TrainingsTest, AStoppingGatewayLeavesTheJobAlone) {
  Start();
  const std::string job = Button();
  Stop();
  EXPECT_EQ(trainer_.jobs()[0].state(), Job::STATE_QUEUED);
  Start();
  EXPECT_EQ(Text(Progress().at("job")), job);
}

TEST_F(TrainingsTest, ThePageIsToldHowItGoesAndWhatServes) {
  Harness& gateway = Start();
  const std::string job = Button();
  const auto page = [&] { return gateway.Get("/ui/trainings").json(); };
  const auto points = [&](std::size_t count) {
    return page().at("trainings").at(0).at("curve").as_array().size() == count;
  };
  for (std::uint32_t step = 1; step <= 3; ++step) {
    trainer_.Change(job, [step](FakeTrainer::Job& its) {
      its.set_state(FakeTrainer::Job::STATE_TRAINING);
      its.mutable_progress()->set_step(step);
      its.mutable_progress()->set_steps(3);
      its.mutable_progress()->set_loss(1.0 / step);
      if (step == 3) its.mutable_progress()->set_score(0.5);
    });
    Await([&] { return points(step); });
  }

  const json::value running = page();
  trainer_.Finish(job, Made(Publish(0), 0), "AP50 0.75 instead of 0.50 on 20 images");
  AwaitDecision();
  const json::value done = page();

  EXPECT_EQ(running.at("trainer"), true);
  EXPECT_EQ(running.at("trainings").at(0).at("state"), "training");
  EXPECT_EQ(running.at("trainings").at(0).at("curve").at(1), (json::array{2, 0.5, nullptr}));
  EXPECT_EQ(running.at("trainings").at(0).at("curve").at(2).at(2), 0.5);
  EXPECT_EQ(done.at("trainings").at(0).at("verdict").at("outcome"), "better");
  const json::value& serving = done.at("serving").at(0);
  EXPECT_EQ(serving.at("name"), "project-1");
  EXPECT_EQ(serving.at("project"), "1");
  EXPECT_EQ(serving.at("kind"), "detector");
  EXPECT_EQ(serving.at("version"), 1);
  EXPECT_EQ(serving.at("previous"), 0);
}

TEST_F(TrainingsTest, ThePageRollsBackWhatItHasSeenServe) {
  duet_testing::LogCapture log;
  Harness& gateway = Start();
  TrainBetter(0);
  const auto roll_back = [&](int from, int to) {
    return gateway.Post("/ui/rollback",
                        {{"kind", "detector"}, {"name", "project-1"}, {"from", from}, {"to", to}});
  };

  const Reply late = roll_back(5, 0);
  EXPECT_EQ(Serves(), 1U);
  const Reply done = roll_back(1, 0);
  EXPECT_EQ(Serves(), 0U);
  const Reply again = roll_back(0, 0);
  const Reply never = roll_back(0, 9);

  EXPECT_EQ(late.status, 400);
  EXPECT_THAT(late.body, HasSubstr("served by version 1 by now, no longer by version 5"));
  EXPECT_EQ(done.json(), (json::object{{"name", "project-1"}, {"before", 1}, {"version", 0}}));
  EXPECT_EQ(again.status, 400);
  EXPECT_THAT(again.body, HasSubstr("served by the default model already"));
  EXPECT_EQ(never.status, 404) << never.body;
  const auto serving = store_.ReadServing(Kind::kDetector, "project-1");
  EXPECT_THAT(serving->by, AllOf(HasSubstr("loopback"), HasSubstr("(the page at /ui)")));
  EXPECT_EQ(serving->previous, 1U);
  EXPECT_EQ(serving->decided, 1U) << "the same verdict promotes it no more";
  EXPECT_THAT(log.lines("audit.rollback")[1], HasSubstr(R"("who":"loopback)"));
}

TEST_F(TrainingsTest, NoOtherPageRollsBack) {
  Harness& gateway = Start();
  TrainBetter(0);
  const std::string body = R"({"kind": "detector", "name": "project-1", "from": 1, "to": 0})";
  const auto status = [&](const std::vector<std::pair<std::string, std::string>>& headers) {
    return gateway.Send("POST", "/ui/rollback", body, headers).status;
  };

  EXPECT_EQ(status({{"Origin", "http://evil.example"}}), 403);
  EXPECT_EQ(status({{"Host", "evil.example"}, {"Origin", "http://evil.example"}}), 403);
  EXPECT_EQ(status({{"Host", "evil.example"}}), 403);
  EXPECT_EQ(status({{"X-Forwarded-For", "10.0.0.7"}}), 403);
  EXPECT_EQ(status({{"Content-Type", "text/plain"}}), 415);
  EXPECT_EQ(Serves(), 1U);
  EXPECT_EQ(status({{"Origin", "http://localhost"}, {"Sec-Fetch-Site", "same-origin"}}), 200);
  EXPECT_EQ(Serves(), 0U);
}

}  // namespace
}  // namespace gateway::testing
