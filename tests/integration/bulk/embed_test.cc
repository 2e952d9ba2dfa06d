// duet embed against a segmenter over real gRPC: what is sent, resuming, refusals, waiting.
#include <absl/strings/str_cat.h>
#include <gmock/gmock.h>
#include <signal.h>

#include <atomic>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <filesystem>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "tests/integration/bulk/command_test.h"
#include "tests/integration/gateway/fake_services.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/subprocess.h"
#include "tests/testing/temp_dir.h"

namespace bulk {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;
namespace segmenter = duet::segmenter::v1;
using bulk_testing::Gif;
using duet_testing::Subprocess;
using gateway::testing::FakeServices;
using gateway::testing::ImageId;
using ::testing::HasSubstr;
using ::testing::Not;

class EmbedTest : public bulk_testing::CommandTest {
 protected:
  EmbedTest() {
    services_.store_bytes = 1'000'000'000;
    services_.on_embed = [this](grpc::ServerContext&, const auto& request, auto* response) {
      std::function<grpc::Status(int)> answer;
      {
        const std::lock_guard lock(mutex_);
        EXPECT_EQ(request.rank(), segmenter::EMBED_RANK_STOCK);
        EXPECT_TRUE(request.keep());
        answer = answer_;
      }
      const grpc::Status status = answer ? answer(++calls_) : grpc::Status::OK;
      if (status.ok()) {
        const std::lock_guard lock(mutex_);
        response->set_cached(!embedded_.insert(ImageId(request.image().data())).second);
      }
      return status;
    };
  }

  std::string Out() const { return CommandTest::Out("run"); }
  // Of all calls from now on; it is told their number.
  void Answer(std::function<grpc::Status(int call)> answer) {
    const std::lock_guard lock(mutex_);
    answer_ = std::move(answer);
  }
  std::size_t embedded() const {
    const std::lock_guard lock(mutex_);
    return embedded_.size();
  }

  std::unique_ptr<Subprocess> Start(const std::string& source,
                                    const std::vector<std::string>& flags = {}) {
    std::vector<std::string> command = {DUET_COMMAND, "embed", source, "--out=" + Out(),
                                        "--segmenter=" + services_.address()};
    command.insert(command.end(), flags.begin(), flags.end());
    return std::make_unique<Subprocess>(command);
  }
  Ended Run(const std::string& source, const std::vector<std::string>& flags = {}) {
    const auto process = Start(source, flags);
    return AwaitEnd(*process);
  }
  // Runs the command and kills it within the `call`-th call from now on.
  void RunAndKill(const std::string& source, int call) {
    std::promise<pid_t> started;
    std::shared_future<pid_t> pid = started.get_future().share();
    const int first = calls_;
    Answer([=](int number) {
      if (number - first == call) kill(pid.get(), SIGKILL);
      return grpc::Status::OK;
    });
    const auto process = Start(source);
    started.set_value(process->pid());
    EXPECT_EQ(process->Wait(), -SIGKILL) << process->err();
  }

  std::atomic<int> calls_{0};
  mutable std::mutex mutex_;
  std::set<std::string> embedded_;                // image ids; guarded by mutex_
  std::function<grpc::Status(int call)> answer_;  // guarded by mutex_
  FakeServices services_;
};

TEST_F(EmbedTest, AnotherCommandsRunOfTheSameNameIsLeftAlone) {
  const std::string images = Images(3);
  Subprocess prelabel(
      {DUET_COMMAND, "prelabel", images, "--out=" + Out(), "--detector=" + services_.address()});
  ASSERT_EQ(prelabel.Wait(), 0) << prelabel.err();

  const Ended ended = Run(images);

  EXPECT_EQ(ended.code, 2) << ended.out;
  EXPECT_THAT(ended.err, HasSubstr("the command was duet prelabel and is now duet embed"));
  EXPECT_EQ(calls_, 0);
  EXPECT_TRUE(fs::exists(Out() + ".journal/journal"));
}

TEST_F(EmbedTest, EveryImageIsEmbeddedAndItIsSaidHowMuchThatTakes) {
  const std::string images = Images(12);

  const Ended ended = Run(images);

  ASSERT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(embedded(), 12U);
  EXPECT_EQ(services_.count("Embed"), 12);
  EXPECT_EQ(services_.count("Detect"), 0);
  EXPECT_THAT(ended.err,
              HasSubstr("12 images to embed: 24.0 MB, 2.0 MB each, in a store of 1.0 GB\n"));
  EXPECT_THAT(ended.out, HasSubstr("12 images embedded, 0.0 GB"));
  EXPECT_FALSE(fs::exists(Out() + ".journal")) << "nothing is left of a run that is done";
  EXPECT_FALSE(fs::exists(Out()));
  // What has come since is found, and what is kept is not encoded again by a real segmenter.
  folder_.Write("images/new.gif", Gif(99));
  EXPECT_EQ(Run(images).code, 0);
  EXPECT_EQ(embedded(), 13U);
}

TEST_F(EmbedTest, AKilledRunGoesOnWhereItWas) {
  constexpr int kImages = 150;
  const std::string images = Images(kImages);
  RunAndKill(images, 100);
  EXPECT_TRUE(fs::exists(Out() + ".journal"));
  Answer([](int) { return grpc::Status::OK; });

  const Ended ended = Run(images);

  ASSERT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(embedded(), kImages);
  // What was in flight is asked again, and what waited for the oldest of it.
  EXPECT_LE(services_.count("Embed"), kImages + 64);
  EXPECT_THAT(ended.out, HasSubstr("were done before"));
}

TEST_F(EmbedTest, ThePlanSaysHowMuchRoomItTakesAndWhetherThereIsSome) {
  services_.store_bytes = 5'000'000;

  const Ended plan = Run(Images(3), {"--plan"});
  const Ended as_json = Run(Images(3), {"--plan", "--json"});

  EXPECT_EQ(plan.code, 0) << plan.err;
  EXPECT_THAT(plan.out,
              HasSubstr("3 images, 0 done; 3 images to embed: 6.0 MB, 2.0 MB each, in a "
                        "store of 5.0 MB; all 3 take 6.0 MB, so that the first are gone "
                        "when the last are stored; needed: a larger --embedding_store_mb"));
  const json::value value = json::parse(as_json.out);
  EXPECT_EQ(value.at("images"), 3);
  EXPECT_EQ(value.at("bytes"), 6'000'000);
  EXPECT_EQ(value.at("store_bytes"), 5'000'000);
  EXPECT_EQ(services_.count("Embed"), 0);
  EXPECT_FALSE(fs::exists(Out() + ".journal"));
}

TEST_F(EmbedTest, ASegmenterThatKeepsNothingIsRefused) {
  services_.store_bytes.reset();
  const std::string images = Images(3);

  const Ended ended = Run(images);
  const Ended plan = Run(images, {"--plan"});
  const auto unnamed = std::make_unique<Subprocess>(
      std::vector<std::string>{DUET_COMMAND, "embed", images, "--out=" + Out()});

  EXPECT_EQ(ended.code, 2);
  EXPECT_THAT(ended.err, HasSubstr("the embeddings of the segmenter (sam-vit-b) end with it; "
                                   "needed: one that was started with --embedding_store="));
  EXPECT_EQ(plan.code, 2);
  EXPECT_EQ(unnamed->Wait(), 2);
  EXPECT_THAT(unnamed->err(), HasSubstr("no segmenter is named; needed: --segmenter=host:port"));
  EXPECT_EQ(services_.count("Embed"), 0);
  EXPECT_FALSE(fs::exists(Out() + ".journal"));
}

TEST_F(EmbedTest, AnotherDecoderGoesOnAndAnotherEncoderIsRefused) {
  const std::string images = Images(60);
  RunAndKill(images, 20);
  services_.Serve("d1", "s2");
  RunAndKill(images, 20);
  services_.Encode("e2");

  const Ended other_encoder = Run(images);
  services_.Encode("e1");
  Answer([](int) { return grpc::Status::OK; });
  const Ended ended = Run(images);

  EXPECT_EQ(other_encoder.code, 2);
  EXPECT_THAT(other_encoder.err, HasSubstr("the segmenter's encoder was e1 and is now e2"));
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(embedded(), 60U);
}

TEST_F(EmbedTest, AnEncoderThatIsReplacedMeanwhileEndsTheRun) {
  const std::string images = Images(200);
  Answer([&](int call) {
    if (call == 20) {
      services_.Encode("e2");
      services_.Serve("d1", "s2");
    }
    return grpc::Status::OK;
  });

  const Ended ended = Run(images);

  EXPECT_EQ(ended.code, 2);
  EXPECT_THAT(ended.err, HasSubstr("the segmenter has the encoder e2 now, which finds nothing of "
                                   "what e1 has encoded"));
  EXPECT_TRUE(fs::exists(Out() + ".journal")) << "it goes on with the first encoder";
}

TEST_F(EmbedTest, AStoreThatTakesNothingIsWaitedForAndSaid) {
  std::atomic<bool> full = true;
  Answer([&](int) {
    return full ? grpc::Status(grpc::StatusCode::ABORTED, "the disk is full") : grpc::Status::OK;
  });
  const auto running = Start(Images(40));
  const auto waits = running->WaitForLine("waiting: the segmenter says: the disk is full");
  full = false;

  EXPECT_EQ(running->Wait(), 0) << running->err();
  EXPECT_THAT(waits, duet_testing::IsOk());
  EXPECT_EQ(embedded(), 40U);
}

TEST_F(EmbedTest, WhatIsDamagedIsListedAndTheRestIsDone) {
  const std::string images = Images(4);
  folder_.Write("images/broken.png", "no image");

  const Ended ended = Run(images, {"--json"});

  EXPECT_EQ(ended.code, 1);
  EXPECT_THAT(ended.err,
              HasSubstr("1 of 5 images failed; " + Out() + ".failures.jsonl lists them"));
  std::istringstream lines(ended.out);
  json::value last;
  for (std::string line; std::getline(lines, line);) last = json::parse(line);
  EXPECT_EQ(last.at("event"), "done");
  EXPECT_EQ(last.at("images"), 5);
  EXPECT_EQ(last.at("failed"), 1);
  EXPECT_EQ(last.at("kept_bytes"), 8'000'000);
  EXPECT_FALSE(fs::exists(Out() + ".journal"));
}

}  // namespace
}  // namespace bulk
