// What clients take for a name's model while replicas swap it, answer late, or fail to tell their
// names: never the default model, which would answer with other classes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>
#include <chrono>
#include <condition_variable>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "backends/grpc_clients.h"
#include "tests/integration/gateway/fake_services.h"

namespace backends {
namespace {

using gateway::testing::FakeServices;
using std::chrono::seconds;
using std::chrono::system_clock;

constexpr char kName[] = "project-1";

// A point that calls pass one after the other while it is open, and stop at while it is shut.
class Gate {
 public:
  ~Gate() { Open(); }
  // The calls that come from now on stop.
  void Shut() {
    const std::lock_guard lock(mutex_);
    shut_ = true;
  }
  void Open() {
    const std::lock_guard lock(mutex_);
    shut_ = false;
    changed_.notify_all();
  }
  // Lets the call that stands there pass, and waits until the next one does.
  void PassOne() {
    std::unique_lock lock(mutex_);
    const int next = arrived_ + 1;
    passes_ = arrived_;
    changed_.notify_all();
    changed_.wait(lock, [&] { return arrived_ >= next; });
  }
  void AwaitCall() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return stands_; });
  }
  grpc::Status Pass() {
    std::unique_lock lock(mutex_);
    if (!shut_) return grpc::Status::OK;
    const int number = ++arrived_;
    stands_ = true;
    changed_.notify_all();
    changed_.wait(lock, [&] { return !shut_ || passes_ >= number; });
    stands_ = arrived_ > number;
    return grpc::Status::OK;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_.
  bool shut_ = false;
  bool stands_ = false;
  int arrived_ = 0;  // while it was shut
  int passes_ = 0;   // the last of them that may pass
};

class ServedNamesTest : public ::testing::Test {
 protected:
  ServedNamesTest() : thread_([this] { io_.run(); }) {}
  ~ServedNamesTest() override {
    io_.stop();
    thread_.join();
    detector_.reset();
  }

  void Connect(const std::string& targets) {
    detector_ = *MakeGrpcDetector(io_.get_executor(), targets);
  }
  std::future<absl::StatusOr<duet::detector::v1::DetectResponse>> Detect(
      const std::string& name, const std::string& version) {
    return boost::asio::co_spawn(
        io_,
        detector_->Detect(
            image_, {},
            {.deadline = system_clock::now() + seconds(60), .model = name, .version = version}),
        boost::asio::use_future);
  }
  void AwaitModel(const std::string& name, const std::string& version) {
    for (auto model = detector_->model(name); !model || model->version != version;
         model = detector_->model(name)) {
      std::this_thread::yield();
    }
  }
  // Until a replica has told of the name.
  void AwaitTold(const FakeServices& services, const std::string& name) {
    for (;; std::this_thread::yield()) {
      for (const NameStatus& told : detector_->health().names[services.address()]) {
        if (told.name == name) return;
      }
    }
  }

  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{
      io_.get_executor()};
  const ImageRef image_{.id = gateway::testing::ImageId("image"),
                        .bytes = std::make_shared<const std::string>("image")};
  std::unique_ptr<DetectorClient> detector_;
  std::thread thread_;
};

// Between what one replica tells and what the last one does, a call finds that its version is gone.
TEST_F(ServedNamesTest, AModelThatIsSwappedWhileReplicasAreAskedIsNotTheDefault) {
  FakeServices own, other;  // the other one was started without a model root
  Gate own_list, other_list;
  own.refuse_list_models = [&] { return own_list.Pass(); };
  other.refuse_list_models = [&] { return other_list.Pass(); };
  own.ServeDetector(kName, {.stored = 3, .version = "own-3"});
  Connect(own.address() + "," + other.address());
  AwaitModel(kName, "own-3");
  own_list.Shut();
  other_list.Shut();
  own_list.AwaitCall();
  other_list.AwaitCall();
  own.ServeDetector("project-2", {.stored = 1, .version = "two-1"});  // to see that it was told
  own_list.Open();
  AwaitTold(own, "project-2");

  own.ServeDetector(kName, {.stored = 4, .version = "better-4"});
  EXPECT_EQ(Detect(kName, "own-3").get().status().code(), absl::StatusCode::kAborted);
  other_list.PassOne();  // what was told is announced before the replicas are asked again

  EXPECT_EQ(detector_->model(kName), nullptr) << detector_->model(kName)->version;
  EXPECT_TRUE(detector_->Has(kName));
  other_list.Open();
  AwaitModel(kName, "better-4");
}

TEST_F(ServedNamesTest, ALateAnswerSaysNothingOfWhatServesNow) {
  FakeServices services;
  Gate list, detect;
  services.Serve("d1", "s1");
  services.refuse_list_models = [&] { return list.Pass(); };
  services.on_detect = [&](auto&, const auto&, auto*) { return detect.Pass(); };
  Connect(services.address());
  AwaitModel(kDefaultModel, "d1");
  detect.Shut();
  auto late = Detect(kDefaultModel, "d1");
  detect.AwaitCall();
  services.Serve("d2", "s1");
  AwaitModel(kDefaultModel, "d2");
  list.Shut();
  list.AwaitCall();  // nothing is told meanwhile

  detect.Open();
  ASSERT_TRUE(late.get().ok());

  EXPECT_EQ(detector_->health().versions, (std::map<std::string, int>{{"d2", 1}}));
}

TEST_F(ServedNamesTest, UntilNamesWereToldAnyMayHaveAModelOfItsOwn) {
  FakeServices services;
  std::atomic<bool> fails = true;
  services.refuse_list_models = [&] {
    return fails ? grpc::Status(grpc::StatusCode::INTERNAL, "a fault") : grpc::Status::OK;
  };
  services.ServeDetector(kName, {.stored = 3, .version = "own-3"});
  Connect(services.address());
  AwaitModel(kDefaultModel, "d1");

  EXPECT_EQ(detector_->model(kName), nullptr);
  EXPECT_EQ(detector_->known_model("project-2"), nullptr);
  EXPECT_TRUE(detector_->Has(kName));

  fails = false;
  AwaitModel(kName, "own-3");
  EXPECT_EQ(detector_->model("project-2")->version, "d1");
  EXPECT_FALSE(detector_->Has("project-2"));
}

}  // namespace
}  // namespace backends
