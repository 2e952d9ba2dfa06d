#include "gateway/jobs/serving_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "tests/testing/log_capture.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace gateway::jobs {
namespace {

using duet_testing::IsOk;
using model_store::Kind;
using model_store::Serving;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

// A gateway's watch with a thread of its own.
class Watch {
 public:
  explicit Watch(const std::string& root, const std::string& ours = "") {
    watch_.emplace(
        io_.get_executor(), root, std::chrono::milliseconds(1),
        ServingWatch::Hooks{.changed = [this] { ++changes; },
                            .renew =
                                [this](const Swap& swap) {
                                  const std::lock_guard lock(mutex_);
                                  renewals_.push_back(swap.project_id + " " +
                                                      std::to_string(swap.version));
                                },
                            .is_ours = [ours](const std::string& url) { return url == ours; }});
    watch_->Begin();
    thread_ = std::thread([this] { io_.run(); });
  }
  ~Watch() {
    watch_->Stop();
    work_.reset();
    io_.stop();
    thread_.join();
  }
  std::vector<std::string> renewals() {
    const std::lock_guard lock(mutex_);
    return renewals_;
  }
  std::atomic<int> changes = 0;

 private:
  std::mutex mutex_;
  std::vector<std::string> renewals_;  // guarded by mutex_
  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{
      io_.get_executor()};
  std::optional<ServingWatch> watch_;
  std::thread thread_;
};

class ServingWatchTest : public ::testing::Test {
 protected:
  void Publish(const std::string& name, const std::string& url = "") {
    auto staging = store_.Stage(Kind::kDetector, name);
    ASSERT_THAT(staging, IsOk());
    std::ofstream(staging->folder() + "/model.pth") << "weights";
    ASSERT_THAT(staging->Publish({.label_studio_url = url}), IsOk());
  }
  void Serve(const std::string& name, std::uint64_t version, const std::string& reason = "") {
    ASSERT_THAT(store_.UpdateServing(Kind::kDetector, name,
                                     [&](const Serving& now) -> absl::StatusOr<Serving> {
                                       Serving next = now;
                                       next.version = version;
                                       next.by = "ann";
                                       next.reason = reason;
                                       return next;
                                     }),
                IsOk());
  }
  // As somebody with an editor does.
  void Write(const std::string& name, const std::string& text) {
    const std::string file = store_.PathOf(Kind::kDetector, name) + "/serving.json";
    std::ofstream(file + "~") << text;
    std::filesystem::rename(file + "~", file);
  }
  template <typename Condition>
  static void Await(const Condition& condition) {
    while (!condition()) std::this_thread::yield();
  }

  duet_testing::LogCapture log_;
  duet_testing::TempDir root_;
  const model_store::ModelStore store_{root_.path()};
};

TEST_F(ServingWatchTest, AChangeIsLoggedByEachAndRenewedByOne) {
  Publish("project-7");
  Publish("cats");
  Watch one(root_.path());
  Watch two(root_.path());
  Serve("project-7", 1, "it is better");
  Serve("cats", 1);
  Await([&] { return log_.lines("audit.serving").size() == 4; });
  Await([&] { return !one.renewals().empty() || !two.renewals().empty(); });
  // Whoever changes it, and also back.
  Serve("project-7", 0, "cats are missing");
  Await([&] { return log_.lines("audit.serving").size() == 6; });
  Await([&] { return one.changes > 0 && two.changes > 0; });
  Await([&] { return one.renewals().size() + two.renewals().size() >= 2; });
  const auto serving = store_.ReadServing(Kind::kDetector, "project-7");
  ASSERT_THAT(serving, IsOk());
  EXPECT_TRUE(serving->renewed);
  EXPECT_EQ(serving->reason, "cats are missing") << "a claim changes nothing else";
  std::vector<std::string> renewals = one.renewals();
  for (const std::string& of_two : two.renewals()) renewals.push_back(of_two);
  EXPECT_THAT(renewals, ::testing::UnorderedElementsAre("7 1", "7 0"));
  EXPECT_THAT(log_.lines("audit.serving").back(),
              AllOf(HasSubstr("detector/project-7"), HasSubstr("\"version\":0"),
                    HasSubstr("\"previous\":1"), HasSubstr("ann"), HasSubstr("cats are missing")));
}

TEST_F(ServingWatchTest, WhatChangedWhileNobodyLookedIsRenewedUnlessAnEarlierReleaseWroteIt) {
  Publish("project-7");
  Publish("project-8");
  Serve("project-7", 1);
  Write("project-8", R"({"version": 1, "previous": 0, "decided": 1})");
  Watch watch(root_.path());
  Await([&] { return !watch.renewals().empty(); });
  Await([&] { return log_.lines("audit.serving").size() == 2; });
  EXPECT_THAT(watch.renewals(), ElementsAre("7 1"));
  for (const std::string& line : log_.lines("audit.serving")) {
    EXPECT_THAT(line, HasSubstr("\"at_start\":true"));
  }
}

TEST_F(ServingWatchTest, WhatCannotBeReadIsNotSaidToBeDeleted) {
  Publish("project-7");
  Serve("project-7", 1);
  Watch watch(root_.path());
  Await([&] { return watch.renewals().size() == 1; });

  Write("project-7", "{");
  Await([&] { return log_.lines("model_root.unreadable").size() == 1; });
  EXPECT_THAT(log_.lines("model_root.unreadable")[0], HasSubstr("serving.json"));
  Write("project-7", R"({"version": 1})");
  Publish("project-8");
  Serve("project-8", 1);
  Await([&] { return log_.lines("audit.serving").size() >= 2; });
  EXPECT_THAT(log_.lines("audit.serving"), SizeIs(2));
  EXPECT_THAT(log_.lines("audit.serving")[1], HasSubstr("project-8"));
  EXPECT_THAT(log_.lines("model_root.unreadable"), SizeIs(1));
}

TEST_F(ServingWatchTest, AVolumeThatIsAwayIsOneLine) {
  Publish("project-7");
  Publish("project-8");
  Serve("project-7", 1);
  Serve("project-8", 1);
  Watch watch(root_.path());
  Await([&] { return watch.renewals().size() == 2; });
  const std::string away = root_.path() + "-away";
  std::filesystem::rename(root_.path(), away);
  Await([&] { return log_.lines("model_root.unreadable").size() == 2; });  // a kind each
  std::filesystem::create_directory(root_.path());                         // an empty mount point
  Await([&] { return log_.lines("model_root.unreadable").size() == 3; });
  std::filesystem::remove(root_.path());
  std::filesystem::rename(away, root_.path());
  Serve("project-7", 0, "at last");
  Await([&] { return log_.lines("audit.serving").size() >= 3; });
  EXPECT_THAT(log_.lines("audit.serving"), SizeIs(3));
  EXPECT_THAT(log_.lines("audit.serving")[2], HasSubstr("at last"));
}

TEST_F(ServingWatchTest, ADeletedNameIsSaid) {
  Publish("project-7");
  Publish("project-8");
  Serve("project-7", 1);
  Watch watch(root_.path());
  Await([&] { return watch.renewals().size() == 1; });
  ASSERT_THAT(store_.DeleteName(Kind::kDetector, "project-7"), IsOk());
  Await([&] { return log_.lines("audit.serving").size() == 2; });
  EXPECT_THAT(log_.lines("audit.serving")[1], HasSubstr("the name was deleted"));
}

// Two Label Studios, and models of both below one root.
TEST_F(ServingWatchTest, AnotherLabelStudiosPredictionsAreItsGatewaysBusiness) {
  Publish("project-7", "http://theirs:8080");
  Publish("project-8", "http://ours:8080");
  Watch watch(root_.path(), "http://ours:8080");
  Serve("project-7", 1);
  Serve("project-8", 1);
  Await([&] { return !watch.renewals().empty(); });
  EXPECT_THAT(watch.renewals(), ElementsAre("8 1"));
  EXPECT_FALSE(store_.ReadServing(Kind::kDetector, "project-7")->renewed);
}

// What reads or writes the model root then uses parts of the gateway.
TEST_F(ServingWatchTest, TheEndWaitsForWhatIsBeingDone) {
  Publish("project-7");
  auto watch = std::make_unique<Watch>(root_.path());
  std::mutex mutex;
  std::condition_variable changed;
  bool gone = false;
  bool gone_while_held = false;
  Serve("project-7", 1);
  Await([&] { return !watch->renewals().empty(); });
  std::atomic<bool> held = false;
  // Holds the name's lock, which a claim waits for.
  std::thread holder([&] {
    const auto kept = store_.UpdateServing(
        Kind::kDetector, "project-7", [&](const Serving&) -> absl::StatusOr<Serving> {
          // Written by hand, beside the lock: something to renew.
          Write("project-7", R"({"version": 0, "previous": 1, "renewed": false})");
          held = true;
          std::unique_lock lock(mutex);
          // Long enough for an end that doesn't wait; the right one waits for this.
          gone_while_held = changed.wait_for(lock, std::chrono::seconds(1), [&] { return gone; });
          return absl::AbortedError("nothing changes");
        });
    EXPECT_FALSE(kept.ok());
  });
  Await([&] { return log_.lines("audit.serving").size() == 2; });  // the claim is next
  watch.reset();
  {
    const std::lock_guard lock(mutex);
    gone = true;
    changed.notify_all();
  }
  holder.join();
  EXPECT_FALSE(gone_while_held);
}

}  // namespace
}  // namespace gateway::jobs
