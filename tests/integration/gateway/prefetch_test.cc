// Prefetching over real sockets: which images are embedded before anybody asks for them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <mutex>
#include <thread>

#include "tests/integration/gateway/fake_label_studio.h"
#include "tests/integration/gateway/fake_services.h"
#include "tests/integration/gateway/harness.h"
#include "tests/testing/service_answers.h"

namespace gateway::testing {
namespace {

namespace json = boost::json;
namespace segmenter = duet::segmenter::v1;
using ::testing::ElementsAre;

constexpr char kSmart[] = R"(<View><Image name="image" value="$image"/>
  <RectangleLabels name="rect" toName="image"><Label value="cat"/></RectangleLabels>
  <KeyPointLabels name="point" toName="image" smart="true"><Label value="cat"/></KeyPointLabels></View>)";
constexpr char kNotSmart[] = R"(<View><Image name="image" value="$image"/>
  <RectangleLabels name="rect" toName="image"><Label value="cat"/></RectangleLabels></View>)";

template <typename Condition>
void Await(const Condition& condition) {
  while (!condition()) std::this_thread::yield();
}

class PrefetchTest : public ::testing::Test {
 protected:
  // Tasks 1 to 6, of which 3 is labelled.
  void SetUp() override {
    studio_.label_config = kSmart;
    for (int task = 1; task <= 6; ++task) studio_.AddTask(task, Image(task), task == 3);
    services_.on_embed = [this](auto&, const auto& request, auto*) {
      const std::lock_guard lock(mutex_);
      (request.rank() == segmenter::EMBED_RANK_PREFETCH ? ahead_ : opened_)
          .push_back(task_of_.at(ImageId(request.image().data())));
      return grpc::Status::OK;
    };
  }
  Harness& Start(int tasks = 2, const std::string& token = FakeLabelStudio::kToken) {
    HarnessOptions options;
    options.detector = services_.address();
    options.segmenter = services_.address();
    options.gateway.label_studio = {.url = studio_.url(),
                                    .token = std::make_shared<serving::Secret>(token)};
    options.gateway.prefetch.tasks = tasks;
    options.gateway.prefetch.click_wait = click_wait_;
    harness_ = std::make_unique<Harness>(std::move(options));
    harness_->AwaitModels();
    return *harness_;
  }
  std::string Image(int task) {
    const std::string uri = PngDataUri(32, 24, task);
    task_of_[ImageId(DecodedDataUri(uri))] = task;
    return uri;
  }
  Reply Open(int task, const char* label_config = kSmart) {
    json::value body = PredictBody(label_config, {Image(task)});
    body.at("tasks").at(0).at("id") = task;
    return harness_->Post("/predict", body);
  }
  Reply Click(int task) {
    json::value body = PredictBody(kSmart, {Image(task)});
    body.at("tasks").at(0).at("id") = task;
    body.at("params").at("context") = {
        {"result",
         json::array{{{"type", "keypointlabels"},
                      {"from_name", "point"},
                      {"to_name", "image"},
                      {"original_width", 32},
                      {"original_height", 24},
                      {"value", {{"x", 50}, {"y", 50}, {"keypointlabels", json::array{"cat"}}}}}}}};
    return harness_->Post("/predict", body);
  }
  Reply Annotate(int task) {
    return harness_->Post("/webhook", {{"action", "ANNOTATION_CREATED"},
                                       {"project", {{"id", 1}, {"label_config", "<forged"}}},
                                       {"task", {{"id", task}}},
                                       {"annotation", {{"id", 7}}}});
  }
  std::vector<int> ahead() const {
    const std::lock_guard lock(mutex_);
    return ahead_;
  }
  std::vector<int> opened() const {
    const std::lock_guard lock(mutex_);
    return opened_;
  }

  std::chrono::milliseconds click_wait_{0};
  std::map<std::string, int> task_of_;  // by image id
  mutable std::mutex mutex_;
  std::vector<int> ahead_, opened_;  // tasks embedded; guarded by mutex_
  FakeServices services_;
  FakeLabelStudio studio_;
  std::unique_ptr<Harness> harness_;
};

TEST_F(PrefetchTest, AnOpenedTaskBringsTheNextUnlabelledOnes) {
  Start();

  EXPECT_EQ(Open(2).status, 200);
  Await([&] { return ahead().size() == 2 && opened().size() == 1; });

  EXPECT_THAT(opened(), ElementsAre(2));
  EXPECT_THAT(ahead(), ElementsAre(4, 5));
}

TEST_F(PrefetchTest, NothingBeginsBeforeTheFirstClickIsAnswered) {
  click_wait_ = std::chrono::hours(1);
  std::atomic<bool> too_early = false;
  services_.on_segment = [&](auto&, const auto&, auto* response) {
    too_early = too_early || !ahead().empty();
    auto* const mask = response->add_results()->add_masks();
    duet_testing::FillBox(320, 240, {10, 10, 20, 20}, mask->mutable_row_runs());
    return grpc::Status::OK;
  };
  Start();

  EXPECT_EQ(Open(1).status, 200);
  Await([&] { return opened().size() == 1; });
  EXPECT_EQ(Click(1).status, 200);
  Await([&] { return ahead().size() == 2; });
  EXPECT_FALSE(too_early);
  EXPECT_EQ(Open(4).status, 200);
  EXPECT_EQ(Annotate(4).status, 200);
  Await([&] { return ahead().size() == 4; });

  EXPECT_THAT(ahead(), ElementsAre(2, 4, 5, 6));
}

TEST_F(PrefetchTest, AnAnnotationOfAnOpenedTaskBringsTheNextUnlabelledOnes) {
  click_wait_ = std::chrono::hours(1);
  Harness& gateway = Start();

  EXPECT_EQ(Open(4).status, 200);
  EXPECT_EQ(Annotate(4).status, 200);
  Await([&] { return ahead().size() == 2; });

  EXPECT_THAT(ahead(), ElementsAre(5, 6));
  Await([&] {
    return gateway.Get("/metrics").body.find("duet_gateway_prefetched_total{code=\"OK\"} 2") !=
           std::string::npos;
  });
}

TEST_F(PrefetchTest, BehindTheLastTaskComesTheFirst) {
  Start();

  Open(5);
  Await([&] { return ahead().size() == 2; });

  EXPECT_THAT(ahead(), ElementsAre(6, 1));
}

TEST_F(PrefetchTest, OneTaskIsFollowedOnce) {
  Start();

  Open(1);
  Await([&] { return ahead().size() == 2; });
  const int asked = studio_.requests();
  Open(1);
  Annotate(1);
  Annotate(2);
  Await([&] { return ahead().size() == 4; });

  EXPECT_THAT(ahead(), ElementsAre(2, 4, 4, 5));
  EXPECT_EQ(studio_.requests(), asked + 1) << "the list behind task 2; the project is remembered";
}

TEST_F(PrefetchTest, UncertaintySamplingHasItsOwnOrder) {
  studio_.sampling = "Uncertainty sampling";
  Start();

  Open(2);
  Await([&] { return ahead().size() == 2; });

  EXPECT_THAT(ahead(), ElementsAre(1, 4)) << "as listed, but for the current task";
}

TEST_F(PrefetchTest, NobodyIsAheadOfChanceOrNeededWithoutSmartTools) {
  studio_.sampling = "Uniform sampling";
  {
    Start();
    Open(1);
    Await([&] { return studio_.requests() == 1; });
    harness_.reset();
  }
  studio_.sampling = "Sequential sampling";
  studio_.label_config = kNotSmart;
  Start();
  Open(1);
  Await([&] { return studio_.requests() == 2; });
  harness_.reset();

  EXPECT_EQ(studio_.requests(), 2) << "the project, not its tasks";
  EXPECT_THAT(ahead(), ElementsAre());
}

TEST_F(PrefetchTest, OffWithoutATokenOrByFlag) {
  Start(/*tasks=*/0);
  Open(1);
  Annotate(1);
  Start(/*tasks=*/2, /*token=*/"");
  Open(1);
  Annotate(1);
  harness_->Post("/webhook", {{"action", "ANNOTATION_CREATED"},
                              {"project", {{"id", "1/../../x"}}},
                              {"task", {{"id", 1}}}});

  EXPECT_EQ(studio_.requests(), 0);
}

TEST_F(PrefetchTest, LabelStudioAwayCostsTheAnnotatorNothing) {
  studio_.failures = 1;
  Start();

  EXPECT_EQ(Open(1).status, 200);
  Await([&] { return studio_.requests() == 1; });
  Await([&] {
    Annotate(1);  // not taken as followed already
    return ahead().size() >= 2;
  });
}

// /webhook is open to everybody: what it is told costs nothing that a /predict hasn't paid for.

TEST_F(PrefetchTest, AnnotationsOfProjectsThatNoPredictHasShownAreNothing) {
  Harness& gateway = Start();
  const auto annotate = [&](int project) {
    return gateway.Post(
        "/webhook",
        {{"action", "ANNOTATION_CREATED"}, {"project", {{"id", project}}}, {"task", {{"id", 1}}}});
  };

  for (int project = 1; project <= 2000; ++project) ASSERT_EQ(annotate(project).status, 200);
  // What is behind them in the queue has been served.
  Open(1);
  Await([&] { return ahead().size() == 2; });

  EXPECT_EQ(studio_.requests(), 2) << "the project and its tasks, for the opened one";
}

TEST_F(PrefetchTest, AnOpenedTaskPaysForAFewAnnotations) {
  Start();
  Open(1);
  Await([&] { return ahead().size() == 2; });
  const int asked = studio_.requests();

  for (int task = 100; task < 150; ++task) {
    Annotate(task);
    if (task < 100 + gateway::jobs::Prefetcher::kMaxFollowedAnnotations) {
      Await([&] { return studio_.requests() >= asked + task - 99; });
    }
  }
  Open(2);
  Await([&] { return ahead().size() >= 4; });
  harness_.reset();

  EXPECT_LE(studio_.requests(), asked + 2 * gateway::jobs::Prefetcher::kMaxFollowedAnnotations + 2);
}

TEST_F(PrefetchTest, ManyProjectsAreFollowedWithinBounds) {
  click_wait_ = std::chrono::hours(1);
  Harness& gateway = Start();
  for (int project = 1; project <= 1500; ++project) {
    json::value body = PredictBody(kSmart, {Image(1)});
    body.at("project") = std::to_string(project);
    ASSERT_EQ(gateway.Post("/predict", body).status, 200);
  }
  // The first project has been forgotten, with its pending wait, for a newer one; the last not.
  Annotate(1);
  harness_->Post(
      "/webhook",
      {{"action", "ANNOTATION_CREATED"}, {"project", {{"id", 1500}}}, {"task", {{"id", 1}}}});
  Await([&] { return studio_.requests() == 1; });
  harness_.reset();

  EXPECT_EQ(studio_.requests(), 1);
}

TEST_F(PrefetchTest, AStopCancelsWhatRuns) {
  std::promise<void> entered;
  std::promise<void> cancelled;
  services_.on_embed = [&](grpc::ServerContext& context, const auto&, auto*) {
    entered.set_value();
    while (!context.IsCancelled()) std::this_thread::yield();
    cancelled.set_value();
    return grpc::Status::CANCELLED;
  };
  Start(/*tasks=*/1);

  Click(1);
  entered.get_future().wait();
  harness_->app().prefetcher.Stop();

  EXPECT_EQ(cancelled.get_future().wait_for(std::chrono::seconds(20)), std::future_status::ready);
}

}  // namespace
}  // namespace gateway::testing
