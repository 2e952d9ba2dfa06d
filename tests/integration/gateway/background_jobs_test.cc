// background=push over real sockets: client ↔ gateway ↔ services, and gateway → Label Studio's API.
#include "gateway/jobs/background_jobs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>

#include "tests/integration/gateway/fake_label_studio.h"
#include "tests/integration/gateway/fake_services.h"
#include "tests/integration/gateway/harness.h"

namespace gateway::testing {
namespace {

namespace json = boost::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr char kRectangles[] = R"(<View><Image name="image" value="$image"/>
  <RectangleLabels name="rect" toName="image"><Label value="cat"/></RectangleLabels></View>)";
constexpr char kMasks[] = R"(<View><Image name="image" value="$image"/>
  <BrushLabels name="brush" toName="image"><Label value="cat"/></BrushLabels></View>)";

template <typename Condition>
void Await(const Condition& condition) {
  while (!condition()) std::this_thread::yield();
}

// A door that calls wait at until it is opened or their caller goes.
class Door {
 public:
  void Open() { open_ = true; }
  bool Pass(const grpc::ServerContext& context) const {
    while (!open_ && !context.IsCancelled()) std::this_thread::yield();
    return open_;
  }

 private:
  std::atomic<bool> open_ = false;
};

grpc::Status Cancelled() { return {grpc::StatusCode::CANCELLED, "the caller is gone"}; }

class BackgroundJobsTest : public ::testing::Test {
 protected:
  // In time for the first image at most: the detector opens its door for one.
  Harness& Start(HarnessOptions options = {}) {
    options.detector = services_.address();
    options.segmenter = services_.address();
    options.gateway.label_studio = {.url = studio_.url(),
                                    .token = std::make_shared<serving::Secret>(token_)};
    if (options.gateway.predict_deadline ==
        gateway::endpoints::ApplicationOptions().predict_deadline) {
      options.gateway.predict_deadline = std::chrono::milliseconds(500);
    }
    options.gateway.batch_concurrency = 1;
    options.gateway.background.first_pause = absl::Milliseconds(1);
    options.gateway.background.longest_pause = absl::Milliseconds(5);
    if (options.settings.background == prelabel::Background::kNone)
      options.settings.background = prelabel::Background::kPush;
    harness_ = std::make_unique<Harness>(std::move(options));
    harness_->AwaitModels();
    return *harness_;
  }
  // Detections past the first `free` ones wait at the door.
  void HoldDetections(int free) {
    services_.on_detect = [this, free](auto& context, const auto&, auto* response) {
      if (++detections_ > free && !door_.Pass(context)) return Cancelled();
      response->set_image_width(320);
      response->set_image_height(240);
      return grpc::Status::OK;
    };
  }
  std::vector<std::string> Images(int count) {
    std::vector<std::string> images;
    for (int i = 0; i < count; ++i) images.push_back(PngDataUri(320, 240, i));
    return images;
  }
  json::value Jobs() { return harness_->Get("/jobs").json().at("jobs"); }
  void AwaitEnd() {
    Await([&] {
      const json::value jobs = Jobs();
      return !jobs.as_array().empty() && jobs.at(0).at("state") != "running" &&
             jobs.at(0).at("state") != "paused";
    });
  }

  FakeServices services_;
  FakeLabelStudio studio_;
  std::string token_ = FakeLabelStudio::kToken;
  Door door_;
  std::atomic<int> detections_ = 0;
  std::unique_ptr<Harness> harness_;
};

TEST_F(BackgroundJobsTest, WhatABatchLeavesUndoneIsStoredLater) {
  HoldDetections(/*free=*/1);
  Harness& gateway = Start();

  const Reply reply = gateway.Post("/predict", PredictBody(kRectangles, Images(5)));
  door_.Open();
  AwaitEnd();

  ASSERT_EQ(reply.status, 200) << reply.body;
  EXPECT_TRUE(reply.result(0).as_object().contains("result"));
  for (std::size_t i = 1; i < 5; ++i) EXPECT_THAT(reply.result(i).as_object(), IsEmpty());
  EXPECT_THAT(studio_.predictions(1), IsEmpty()) << "Label Studio stores what was answered";
  for (int task = 2; task <= 5; ++task) {
    ASSERT_THAT(studio_.predictions(task), SizeIs(1)) << task;
    EXPECT_EQ(studio_.predictions(task)[0].at("model_version"),
              reply.result(0).at("model_version"));
    EXPECT_TRUE(studio_.predictions(task)[0].at("result").is_array());
  }
  const json::value job = Jobs().at(0);
  EXPECT_EQ(job.at("state"), "done");
  EXPECT_EQ(job.at("project"), "1");
  EXPECT_EQ(job.at("tasks"), 4);
  EXPECT_EQ(job.at("stored"), 4);
  EXPECT_EQ(job.at("waiting"), 0);
  EXPECT_THAT(gateway.Get("/metrics").body,
              HasSubstr("duet_gateway_pushed_total{outcome=\"stored\"} 4"));
}

TEST_F(BackgroundJobsTest, ItsImagesAreEmbeddedAtTheLowestRank) {
  std::atomic<int> background = 0;
  services_.on_detect = [&](auto& context, const auto&, auto* response) {
    if (++detections_ == 1 && !door_.Pass(context)) return Cancelled();
    response->set_image_width(320);
    response->set_image_height(240);
    auto* found = response->add_detections();
    found->set_label("cat");
    found->set_score(0.9f);
    found->mutable_box()->set_x_max(20);
    found->mutable_box()->set_y_max(30);
    return grpc::Status::OK;
  };
  services_.on_embed = [&](auto&, const auto& request, auto*) {
    if (request.rank() == duet::segmenter::v1::EMBED_RANK_PREFETCH) ++background;
    return grpc::Status::OK;
  };
  Harness& gateway = Start();

  gateway.Post("/predict", PredictBody(kMasks, Images(3)));
  AwaitEnd();

  EXPECT_EQ(Jobs().at(0).at("stored"), 3);
  EXPECT_EQ(background, 3);
}

TEST_F(BackgroundJobsTest, WhoeverWaitsComesFirst) {
  HoldDetections(/*free=*/1);
  door_.Open();
  HarnessOptions options;
  options.gateway.background.longest_yield = absl::InfiniteDuration();
  options.gateway.predict_deadline = std::chrono::milliseconds(0);  // all is left for the job
  Harness& gateway = Start(std::move(options));
  auto guard =
      std::make_unique<gateway::jobs::BackgroundJobs::InteractiveGuard>(gateway.app().jobs);

  gateway.Post("/predict", PredictBody(kRectangles, Images(3)));
  for (int look = 0; look < 20; ++look) EXPECT_EQ(Jobs().at(0).at("waiting"), 3);
  guard.reset();
  AwaitEnd();

  EXPECT_EQ(studio_.prediction_count(), 3u);
}

TEST_F(BackgroundJobsTest, ButNotForEver) {
  HarnessOptions options;
  options.gateway.background.longest_yield = absl::Milliseconds(1);
  options.gateway.predict_deadline = std::chrono::milliseconds(0);
  Harness& gateway = Start(std::move(options));
  const gateway::jobs::BackgroundJobs::InteractiveGuard guard(gateway.app().jobs);

  gateway.Post("/predict", PredictBody(kRectangles, Images(3)));
  AwaitEnd();

  EXPECT_EQ(studio_.prediction_count(), 3u);
}

TEST_F(BackgroundJobsTest, ARepeatedClickLeavesItsTasksAlone) {
  HoldDetections(/*free=*/1);
  Harness& gateway = Start();
  const json::value body = PredictBody(kRectangles, Images(4));

  gateway.Post("/predict", body);
  json::value again = body;
  again.at("tasks").as_array().erase(again.at("tasks").as_array().begin());  // is stored
  const Reply second = gateway.Post("/predict", again);
  door_.Open();
  AwaitEnd();

  EXPECT_EQ(second.status, 200) << second.body;
  for (std::size_t i = 0; i < 3; ++i) EXPECT_THAT(second.result(i).as_object(), IsEmpty());
  EXPECT_THAT(Jobs().as_array(), SizeIs(1));
  for (int task = 2; task <= 4; ++task) EXPECT_THAT(studio_.predictions(task), SizeIs(1));
}

TEST_F(BackgroundJobsTest, AClickDuringTheFirstOneLeavesItsTasksAlone) {
  HoldDetections(/*free=*/0);
  Harness& gateway = Start();
  const json::value body = PredictBody(kRectangles, Images(3));

  std::future<Reply> first = std::async([&] { return gateway.Post("/predict", body); });
  Await([&] { return detections_ > 0; });
  const Reply second = gateway.Post("/predict", body);
  door_.Open();
  first.get();

  EXPECT_EQ(second.status, 200) << second.body;
  EXPECT_THAT(second.result(0).as_object(), IsEmpty())
      << "the first click works on it, and two answers would be stored twice";
}

TEST_F(BackgroundJobsTest, WhatAnotherGatewayHasStoredIsNotStoredTwice) {
  HoldDetections(/*free=*/1);
  Harness& gateway = Start();

  const Reply reply = gateway.Post("/predict", PredictBody(kRectangles, Images(3)));
  studio_.AddPrediction(2, std::string(reply.result(0).at("model_version").as_string()));
  studio_.AddPrediction(3, "another version");
  door_.Open();
  AwaitEnd();

  EXPECT_THAT(studio_.predictions(2), SizeIs(1));
  EXPECT_THAT(studio_.predictions(3), SizeIs(2));
  EXPECT_EQ(Jobs().at(0).at("already_there"), 1);
}

TEST_F(BackgroundJobsTest, AnOpenedTaskNeedsNoSecondPrediction) {
  HoldDetections(/*free=*/1);
  Harness& gateway = Start();
  const auto images = Images(3);

  gateway.Post("/predict", PredictBody(kRectangles, images));
  json::value opened = PredictBody(kRectangles, {images[2]});
  opened.at("tasks").at(0).at("id") = 3;
  door_.Open();
  const Reply reply = gateway.Post("/predict", opened);
  AwaitEnd();

  EXPECT_EQ(reply.status, 200) << reply.body;
  const json::value job = Jobs().at(0);
  EXPECT_EQ(job.at("stored").to_number<int>() + job.at("already_there").to_number<int>(), 2);
  EXPECT_EQ(studio_.prediction_count(), job.at("stored").to_number<std::size_t>());
}

TEST_F(BackgroundJobsTest, ProfilesAndExtraParamsDecide) {
  HoldDetections(/*free=*/1);
  Harness& gateway = Start({.profiles = R"({"off": {"background": "none"}})"});

  const Reply off = gateway.Post("/p/off/predict", PredictBody(kRectangles, Images(3)));
  EXPECT_EQ(off.status, 200);
  EXPECT_THAT(Jobs().as_array(), IsEmpty());

  // By extra_params, against the profile.
  detections_ = 0;
  gateway.Post(
      "/p/off/setup",
      {{"project", "1.5"}, {"schema", kRectangles}, {"extra_params", {{"background", "push"}}}});
  gateway.Post("/p/off/predict", PredictBody(kRectangles, Images(3)));
  EXPECT_THAT(Jobs().as_array(), SizeIs(1));
  door_.Open();
  AwaitEnd();
}

TEST_F(BackgroundJobsTest, WithoutATokenNothingIsPushed) {
  HoldDetections(/*free=*/1);
  token_ = "";
  Harness& gateway = Start();

  const Reply reply = gateway.Post("/predict", PredictBody(kRectangles, Images(3)));

  EXPECT_EQ(reply.status, 200);
  EXPECT_THAT(Jobs().as_array(), IsEmpty());
  EXPECT_EQ(studio_.requests(), 0);
}

// ---- Faults, by name.

TEST_F(BackgroundJobsTest, LabelStudioAwayForAWhile) {
  HoldDetections(/*free=*/1);
  Harness& gateway = Start();

  gateway.Post("/predict", PredictBody(kRectangles, Images(4)));
  studio_.failures = 20;
  door_.Open();
  AwaitEnd();

  EXPECT_EQ(Jobs().at(0).at("state"), "done");
  for (int task = 2; task <= 4; ++task) EXPECT_THAT(studio_.predictions(task), SizeIs(1));
  EXPECT_EQ(detections_, 1 + 1 + 3) << "computed once, however often storing is tried";
}

TEST_F(BackgroundJobsTest, LabelStudioAwayForGood) {
  HoldDetections(/*free=*/1);
  HarnessOptions options;
  options.gateway.background.give_up_after = absl::Milliseconds(50);
  Harness& gateway = Start(std::move(options));

  gateway.Post("/predict", PredictBody(kRectangles, Images(4)));
  studio_.failures = 1'000'000;
  door_.Open();
  AwaitEnd();

  EXPECT_EQ(Jobs().at(0).at("state"), "failed");
  EXPECT_THAT(std::string(Jobs().at(0).at("error").as_string()), HasSubstr("503"));
  // Whoever asks again gets a new job.
  detections_ = 0;
  studio_.failures = 0;
  const Reply again = gateway.Post("/predict", PredictBody(kRectangles, Images(4)));
  EXPECT_EQ(again.status, 200);
}

TEST_F(BackgroundJobsTest, TheTokenIsRefused) {
  HoldDetections(/*free=*/1);
  Harness& gateway = Start();

  gateway.Post("/predict", PredictBody(kRectangles, Images(4)));
  studio_.failure_status = 401;
  studio_.failures = 1'000'000;
  door_.Open();
  AwaitEnd();

  EXPECT_EQ(Jobs().at(0).at("state"), "failed");
  EXPECT_THAT(std::string(Jobs().at(0).at("error").as_string()),
              HasSubstr("--label_studio_api_key"));
}

TEST_F(BackgroundJobsTest, ATaskThatFailsDoesNotHoldUpTheOthers) {
  HoldDetections(/*free=*/1);
  HarnessOptions options;
  options.gateway.background.max_tries = 2;
  Harness& gateway = Start(std::move(options));
  auto images = Images(4);
  images[2] = "data:image/png;base64,AAAA";

  gateway.Post("/predict", PredictBody(kRectangles, images));
  door_.Open();
  AwaitEnd();

  const json::value job = Jobs().at(0);
  EXPECT_EQ(job.at("state"), "done");
  EXPECT_EQ(job.at("stored"), 2);
  EXPECT_EQ(job.at("failed"), 1);
  EXPECT_THAT(std::string(job.at("error").as_string()), HasSubstr("task 3"));
}

TEST_F(BackgroundJobsTest, ATaskIsTriedAsOftenAsItMayBe) {
  HoldDetections(/*free=*/1);
  HarnessOptions options;
  options.gateway.background.max_tries = 3;
  Harness& gateway = Start(std::move(options));

  gateway.Post("/predict", PredictBody(kRectangles, Images(2)));
  studio_.failures = 1'000'000;
  door_.Open();
  AwaitEnd();

  const json::value job = Jobs().at(0);
  EXPECT_EQ(job.at("state"), "done");
  EXPECT_EQ(job.at("failed"), 1);
  EXPECT_THAT(gateway.Get("/metrics").body,
              AllOf(HasSubstr("duet_gateway_pushed_total{outcome=\"tried_again\"} 2\n"),
                    HasSubstr("duet_gateway_pushed_total{outcome=\"failed\"} 1\n")));
}

TEST_F(BackgroundJobsTest, ACancelledJobStoresNothingMore) {
  HoldDetections(/*free=*/1);
  Harness& gateway = Start();

  gateway.Post("/predict", PredictBody(kRectangles, Images(4)));
  const std::string id(Jobs().at(0).at("id").as_string());
  const Reply cancelled = gateway.Send("DELETE", "/jobs/" + id);
  door_.Open();
  Await([&] { return Jobs().at(0).at("in_work") == 0; });

  EXPECT_EQ(cancelled.status, 200) << cancelled.body;
  EXPECT_EQ(Jobs().at(0).at("state"), "cancelled");
  EXPECT_EQ(studio_.prediction_count(), 0u);
  EXPECT_EQ(gateway.Send("DELETE", "/jobs/" + id).status, 404);
  EXPECT_EQ(gateway.Send("DELETE", "/jobs/none").status, 404);
}

TEST_F(BackgroundJobsTest, ADrainFinishesWhatIsInWorkAndLeavesTheRest) {
  HoldDetections(/*free=*/1);
  HarnessOptions options;
  options.gateway.background.concurrency = 1;
  Harness& gateway = Start(std::move(options));

  gateway.Post("/predict", PredictBody(kRectangles, Images(5)));
  Await([&] { return Jobs().at(0).at("in_work") == 1; });
  gateway.app().jobs.Stop();
  door_.Open();
  gateway.app().jobs.Drain(absl::Now() + absl::Seconds(30));

  EXPECT_EQ(Jobs().at(0).at("state"), "dropped");
  EXPECT_EQ(Jobs().at(0).at("stored"), 1);
  EXPECT_EQ(studio_.prediction_count(), 1u);
}

TEST_F(BackgroundJobsTest, MoreThanThereIsRoomFor) {
  HoldDetections(/*free=*/1);
  HarnessOptions options;
  options.gateway.background.max_tasks = 2;
  Harness& gateway = Start(std::move(options));

  gateway.Post("/predict", PredictBody(kRectangles, Images(6)));
  EXPECT_EQ(Jobs().at(0).at("tasks"), 2);
  door_.Open();
  AwaitEnd();

  EXPECT_EQ(studio_.prediction_count(), 2u);
}

TEST_F(BackgroundJobsTest, FiveThousandTasksInOneRequest) {
  constexpr std::size_t kTasks = 5000;
  HarnessOptions options;
  options.gateway.background.concurrency = 8;
  Harness& gateway = Start(std::move(options));
  const std::vector<std::string> images(kTasks, PngDataUri(32, 24));

  const Reply reply = gateway.Post("/predict", PredictBody(kRectangles, images));

  ASSERT_EQ(reply.status, 200) << reply.body.substr(0, 500);
  const json::value answer = reply.json();
  ASSERT_EQ(answer.at("results").as_array().size(), kTasks);
  std::size_t answered = 0;
  for (const json::value& result : answer.at("results").as_array()) {
    answered += result.as_object().contains("result") ? 1 : 0;
  }
  EXPECT_GT(answered, 0u);
  if (answered < kTasks) AwaitEnd();
  EXPECT_EQ(answered + studio_.prediction_count(), kTasks);
}

TEST_F(BackgroundJobsTest, IdleWorkersHaveOneTimerTogether) {
  HoldDetections(/*free=*/1);
  Harness& gateway = Start({.gateway = {.background = {.longest_yield = absl::Hours(1)}}});
  const gateway::jobs::BackgroundJobs& jobs = gateway.app().jobs;
  const gateway::jobs::BackgroundJobs::InteractiveGuard somebody_waits(jobs);
  const absl::Time begin = absl::Now();

  ASSERT_EQ(gateway.Post("/predict", PredictBody(kRectangles, Images(5))).status, 200);
  Await([&] { return jobs.wakeups() >= 25; });

  const std::int64_t wakeups = jobs.wakeups();
  EXPECT_LE(wakeups, (absl::Now() - begin) / absl::Milliseconds(20));
}

TEST_F(BackgroundJobsTest, TasksThatWaitHaveABoundInBytes) {
  HoldDetections(/*free=*/1);
  // A task's numbers take five times their text.
  json::value body = PredictBody(kRectangles, Images(6));
  for (json::value& task : body.at("tasks").as_array()) {
    json::array numbers;
    for (int i = 0; i < 10'000; ++i) numbers.push_back(i % 10);
    task.at("data").as_object()["numbers"] = std::move(numbers);
  }
  Harness& gateway = Start({.gateway = {.background = {.max_bytes = 600'000}}});
  const gateway::jobs::BackgroundJobs::InteractiveGuard somebody_waits(gateway.app().jobs);

  const Reply reply = gateway.Post("/predict", body);

  ASSERT_EQ(reply.status, 200) << reply.body;
  const json::value jobs = Jobs();
  ASSERT_THAT(jobs.as_array(), SizeIs(1));
  EXPECT_EQ(jobs.at(0).at("tasks").to_number<int>(), 2) << "of 240 KB each";
}

}  // namespace
}  // namespace gateway::testing
