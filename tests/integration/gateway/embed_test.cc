// POST /embed/{project} over real sockets: a gateway, a segmenter that keeps embeddings, and a
// Label Studio.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "tests/integration/gateway/fake_label_studio.h"
#include "tests/integration/gateway/fake_services.h"
#include "tests/integration/gateway/harness.h"
#include "tests/testing/log_capture.h"

namespace gateway::testing {
namespace {

namespace json = boost::json;
namespace segmenter = duet::segmenter::v1;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

constexpr char kConfig[] = R"(<View><Image name="image" value="$image"/>
  <BrushLabels name="brush" toName="image"><Label value="cat"/></BrushLabels></View>)";

template <typename Condition>
void Await(const Condition& condition) {
  while (!condition()) std::this_thread::yield();
}

class EmbedTest : public ::testing::Test {
 protected:
  // Tasks 1 to 5, of which 3 is labelled.
  void SetUp() override {
    studio_.label_config = kConfig;
    for (int task = 1; task <= 5; ++task) {
      const std::string uri = PngDataUri(32, 24, task);
      task_of_[ImageId(DecodedDataUri(uri))] = task;
      studio_.AddTask(task, uri, task == 3);
    }
    services_.store_bytes = 1'000'000'000;
    services_.on_embed = [this](auto&, const auto& request, auto* response) {
      const int task = task_of_.at(ImageId(request.image().data()));
      std::function<grpc::Status(int)> answer;
      {
        const std::lock_guard lock(mutex_);
        requests_.push_back({task, request.rank(), request.keep()});
        answer = answer_;
      }
      response->set_cached(false);
      return answer ? answer(task) : grpc::Status::OK;
    };
  }
  Harness& Start(const std::string& token = FakeLabelStudio::kToken) {
    HarnessOptions options;
    options.detector = options.segmenter = services_.address();
    options.profiles = R"({"street": {}})";
    options.gateway.label_studio = {.url = studio_.url(),
                                    .token = std::make_shared<serving::Secret>(token)};
    options.gateway.embedding.page = 2;
    options.gateway.embedding.in_flight = in_flight_;
    options.gateway.embedding.first_pause = absl::Milliseconds(1);
    options.gateway.embedding.longest_pause = absl::Milliseconds(1);
    options.gateway.embedding.give_up_after = give_up_after_;
    harness_ = std::make_unique<Harness>(std::move(options));
    harness_->AwaitModels();
    return *harness_;
  }
  // Of all calls of the segmenter's Embed from now on, by the task whose image it is.
  void Answer(std::function<grpc::Status(int)> answer) {
    const std::lock_guard lock(mutex_);
    answer_ = std::move(answer);
  }
  // The first of them fulfils reached_ and waits for release_.
  void HoldFirstAnswer() {
    Answer([this, released = release_.get_future().share(),
            first = std::make_shared<std::atomic<bool>>(true)](int) {
      if (first->exchange(false)) {
        reached_.set_value();
        released.wait();
      }
      return grpc::Status::OK;
    });
  }
  json::value AwaitEnd(const std::string& path = "/embed/1") {
    json::value run;
    Await([&] {
      run = harness_->Get(path).json();
      return run.at("finished_at").is_string();
    });
    return run;
  }
  struct Seen {
    int task = 0;
    segmenter::EmbedRank rank = segmenter::EMBED_RANK_UNSPECIFIED;
    bool keep = false;
  };
  std::vector<Seen> seen() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }
  std::vector<int> tasks() const {
    std::vector<int> tasks;
    for (const Seen& one : seen()) tasks.push_back(one.task);
    return tasks;
  }

  int in_flight_ = 3;
  absl::Duration give_up_after_ = absl::Hours(1);
  std::map<std::string, int> task_of_;  // by image id
  mutable std::mutex mutex_;
  std::vector<Seen> requests_;               // guarded by mutex_
  std::function<grpc::Status(int)> answer_;  // guarded by mutex_
  FakeServices services_;
  FakeLabelStudio studio_;
  std::unique_ptr<Harness> harness_;
  // HoldFirstAnswer's; the last, so that a test that ends early holds nothing.
  std::promise<void> reached_, release_;
};

TEST_F(EmbedTest, EveryImageIsEncodedOnceAtTheLowestRankAndKept) {
  duet_testing::LogCapture log;
  Harness& gateway = Start();

  const Reply begun = gateway.Post("/embed/1", json::object());
  const json::value run = AwaitEnd();

  EXPECT_EQ(begun.status, 202) << begun.body;
  EXPECT_EQ(begun.json().at("message"),
            "5 images to embed: 10.0 MB, 2.0 MB each, in a store of 1.0 GB");
  EXPECT_EQ(run.at("state"), "done");
  EXPECT_EQ(run.at("tasks"), 5);
  EXPECT_EQ(run.at("tasks_done"), 5);
  EXPECT_EQ(run.at("encoded"), 5);
  EXPECT_EQ(run.at("failed"), 0);
  EXPECT_EQ(run.at("kept_bytes"), 10'000'000);
  EXPECT_EQ(run.at("encoder"), "e1");
  EXPECT_THAT(tasks(), UnorderedElementsAre(1, 2, 3, 4, 5));
  for (const Seen& one : seen()) {
    EXPECT_EQ(one.rank, segmenter::EMBED_RANK_STOCK);
    EXPECT_TRUE(one.keep);
  }
  EXPECT_THAT(gateway.Get("/metrics").body,
              AllOf(HasSubstr("duet_gateway_embedded_total{outcome=\"encoded\"} 5"),
                    HasSubstr("duet_gateway_embedding_runs 0")));
  ASSERT_THAT(log.lines("audit.embed"), SizeIs(1));
  EXPECT_THAT(log.lines("audit.embed")[0], HasSubstr("POST /embed/{project} from loopback"));
}

// The project's segmenter, whose encoder need not be the default one's, is replaced by one that
// isn't loaded yet.
TEST_F(EmbedTest, NothingIsEncodedWhileItIsNotKnownByWhichModel) {
  in_flight_ = 1;
  HoldFirstAnswer();
  services_.ServeSegmenter("project-1", {.stored = 1, .version = "own-1"});
  Harness& gateway = Start();
  EXPECT_EQ(gateway.Post("/embed/1", json::object()).status, 202);
  reached_.get_future().wait();
  services_.ServeSegmenter("project-1", {.stored = 2, .version = ""});
  const auto& profile = gateway.app().profiles.default_profile();
  Await([&] { return !prelabel::KnownServing(profile, "project-1"); });
  release_.set_value();

  json::value run;
  Await([&] {
    run = gateway.Get("/embed/1").json();
    return run.at("error").is_string() || run.at("finished_at").is_string();
  });
  EXPECT_EQ(run.at("error"), "the models have not been heard of yet");
  EXPECT_THAT(tasks(), SizeIs(1));
  services_.ServeSegmenter("project-1", {.stored = 2, .version = "own-2"});
  EXPECT_EQ(AwaitEnd().at("state"), "done");
  EXPECT_THAT(tasks(), SizeIs(5));
}

TEST_F(EmbedTest, WhoAsksAgainJoinsAndWhatIsCancelledEnds) {
  duet_testing::LogCapture log;
  in_flight_ = 1;
  HoldFirstAnswer();
  Harness& gateway = Start();
  EXPECT_EQ(gateway.Get("/embed/1").status, 404);
  EXPECT_EQ(gateway.Post("/embed/1/cancel", json::object()).status, 404);
  EXPECT_EQ(gateway.Post("/embed/1", json::object()).status, 202);
  reached_.get_future().wait();

  const json::value joined = gateway.Post("/embed/1", json::object()).json();
  const Reply other = gateway.Post("/p/street/embed/1", json::object());
  const json::value cancelled = gateway.Post("/embed/1/cancel", json::object()).json();
  const json::value after = gateway.Get("/embed/1").json();

  EXPECT_THAT(log.lines("audit.embed"),
              ElementsAre(HasSubstr("\"joins\":false"), HasSubstr("\"joins\":true"),
                          HasSubstr("\"joins\":false")));
  EXPECT_EQ(joined.at("state"), "running");
  EXPECT_EQ(other.json().at("state"), "waiting") << "one project after the other";
  EXPECT_EQ(cancelled.at("state"), "cancelled");
  EXPECT_EQ(after.at("state"), "cancelled");
  release_.set_value();
  EXPECT_EQ(AwaitEnd("/p/street/embed/1").at("state"), "done") << "its turn came";
  EXPECT_EQ(tasks().size(), 1U + 5U);
  EXPECT_EQ(gateway.Get("/embed/1").json().at("state"), "cancelled");
  EXPECT_EQ(gateway.Post("/embed/1", json::object()).status, 202);
  EXPECT_EQ(AwaitEnd().at("state"), "done");
}

TEST_F(EmbedTest, WithoutAStoreOrATokenNothingBegins) {
  services_.store_bytes.reset();
  const Reply no_store = Start().Post("/embed/1", json::object());
  const Reply no_token = Start("").Post("/embed/1", json::object());

  EXPECT_EQ(no_store.status, 400);
  EXPECT_THAT(no_store.body, HasSubstr("needed: one that was started with --embedding_store="));
  EXPECT_EQ(no_token.status, 400);
  EXPECT_THAT(no_token.body, HasSubstr("needed: --label_studio_url and a token"));
  EXPECT_EQ(harness_->Get("/embed/1").status, 404);
  EXPECT_TRUE(tasks().empty());
}

TEST_F(EmbedTest, OnlyWhoMayTrainBeginsIt) {
  Harness& gateway = Start();
  for (const char* path : {"/embed/1", "/embed/1/cancel"}) {
    const Reply forwarded = gateway.Send("POST", path, "{}", {{"X-Forwarded-For", "10.0.0.7"}});
    EXPECT_EQ(forwarded.status, 403) << path;
    EXPECT_THAT(forwarded.body, HasSubstr("reviews and embedding need --basic_auth_user"));
  }
  EXPECT_EQ(gateway.Post("/embed/2", json::object()).status, 404) << "Label Studio has none";
  EXPECT_EQ(gateway.Post("/embed/cats", json::object()).status, 404);
  EXPECT_TRUE(tasks().empty());
}

TEST_F(EmbedTest, WhatCannotBeEmbeddedIsToldAndTheRestIsDone) {
  studio_.AddTask(6, "data:image/png;base64,bm8gaW1hZ2U=");
  Harness& gateway = Start();

  gateway.Post("/embed/1", json::object());
  const json::value run = AwaitEnd();

  EXPECT_EQ(run.at("state"), "done");
  EXPECT_EQ(run.at("encoded"), 5);
  EXPECT_EQ(run.at("failed"), 1);
  ASSERT_EQ(run.at("failures").as_array().size(), 1U);
  EXPECT_EQ(run.at("failures").at(0).at("task"), 6);
  EXPECT_THAT(std::string(run.at("failures").at(0).at("error").as_string()),
              HasSubstr("not a JPEG, PNG"));
}

TEST_F(EmbedTest, AStoreThatIsFullAndALabelStudioThatIsAwayAreWaitedFor) {
  std::atomic<int> refusals = 9;
  Answer([&](int) {
    return refusals-- > 0 ? grpc::Status(grpc::StatusCode::ABORTED, "the disk is full")
                          : grpc::Status::OK;
  });
  Harness& gateway = Start();
  gateway.Post("/embed/1", json::object());
  const json::value run = AwaitEnd();

  EXPECT_EQ(run.at("state"), "done") << run;
  EXPECT_EQ(run.at("failed"), 0);
  EXPECT_EQ(run.at("encoded"), 5);
  EXPECT_EQ(tasks().size(), 5U + 9U);
  EXPECT_THAT(std::string(run.at("error").as_string()), HasSubstr("the disk is full"));
}

// Images of a host that is away, say: each might succeed at the next try, and the last one of a
// page is soon alone.
TEST_F(EmbedTest, TasksWhoseOwnTroubleStaysAreLeftOutAndHoldUpNoOthers) {
  in_flight_ = 3;
  std::atomic<int> second_tries = 0;
  std::map<int, int> tries;
  Answer([&](int task) {
    if (task == 1 || task == 2) {
      const std::lock_guard lock(mutex_);
      if (++tries[task] == 2) ++second_tries;
      return grpc::Status(grpc::StatusCode::ABORTED, "its trouble");
    }
    Await([&] { return second_tries == 2; });
    return grpc::Status::OK;
  });
  Harness& gateway = Start();

  gateway.Post("/embed/1", json::object());
  const json::value run = AwaitEnd();

  EXPECT_EQ(run.at("state"), "done") << run;
  EXPECT_EQ(run.at("encoded"), 3);
  EXPECT_EQ(run.at("failed"), 2);
  EXPECT_THAT(std::string(run.at("failures").at(1).at("error").as_string()),
              HasSubstr("its trouble"));
}

TEST_F(EmbedTest, ASegmenterThatHasLostItsStoreEndsIt) {
  Answer(
      [](int) { return grpc::Status(grpc::StatusCode::UNIMPLEMENTED, "embeddings end with it"); });
  Harness& gateway = Start();
  gateway.Post("/embed/1", json::object());
  const json::value run = AwaitEnd();

  EXPECT_EQ(run.at("state"), "failed");
  EXPECT_THAT(std::string(run.at("error").as_string()), HasSubstr("embeddings end with it"));
  EXPECT_EQ(run.at("failed"), 0) << "of the tasks none is at fault";
}

TEST_F(EmbedTest, WhatStaysAwayEndsIt) {
  give_up_after_ = absl::Milliseconds(20);
  Answer([](int) { return grpc::Status(grpc::StatusCode::ABORTED, "the disk is full"); });
  Harness& gateway = Start();
  gateway.Post("/embed/1", json::object());
  const json::value run = AwaitEnd();

  EXPECT_EQ(run.at("state"), "failed");
  EXPECT_THAT(std::string(run.at("error").as_string()), HasSubstr("the disk is full"));
}

}  // namespace
}  // namespace gateway::testing
