#include "model_service/named_models.h"

#include <gmock/gmock.h>
#include <sys/fsuid.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "model_service/served_models.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace model_service {
namespace {

namespace fs = std::filesystem;
using absl::StatusCode;
using duet::vision::v1::ModelStatus;
using duet_testing::IsOk;
using duet_testing::ReadFile;
using duet_testing::StatusIs;
using model_store::Serving;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

constexpr model_store::Kind kKind = model_store::Kind::kDetector;

void Write(const std::string& path, const std::string& contents) {
  std::ofstream(path, std::ios::binary) << contents;
}

// Models are the texts of their files. Polls happen when the test says so.
class NamedModelsTest : public testing::Test {
 protected:
  ~NamedModelsTest() override { GoOn(); }

  void Publish(const std::string& name, const std::string& weights,
               model_store::Manifest manifest = {}) {
    absl::StatusOr<model_store::Staging> staging = store_.Stage(kKind, name);
    ASSERT_THAT(staging, IsOk());
    Write(staging->folder() + "/model.pth", weights);
    ASSERT_THAT(staging->Publish(std::move(manifest)), IsOk());
  }
  void Serve(const std::string& name, std::uint64_t version) {
    ASSERT_THAT(store_.UpdateServing(kKind, name,
                                     [&](Serving now) -> absl::StatusOr<Serving> {
                                       now.version = version;
                                       return now;
                                     }),
                IsOk());
    if (models_ != nullptr) models_->Poll();
  }
  // With versions whose weights are "NAME-VERSION", of which the first serves.
  void Make(const std::string& name, int versions = 1) {
    for (int i = 1; i <= versions; ++i) Publish(name, name + "-" + std::to_string(i));
    Serve(name, 1);
  }
  void Start(NamedModelsOptions options = {}) {
    options.model_root = root_.path();
    options.kind = kKind;
    options.poll_interval = absl::Hours(1);
    options.overhead_bytes = 0;
    models_ = std::make_unique<NamedModels>(
        options, [this](const ModelFile& file) { return Load(file); }, metrics_);
  }

  absl::StatusOr<LoadedModel> Load(const ModelFile& file) {
    const std::string weights = ReadFile(file.handle);
    {
      std::unique_lock lock(mutex_);
      loads_.push_back(weights);
      changed_.notify_all();
      changed_.wait(lock, [&] { return blocked_.empty() || !weights.starts_with(blocked_); });
    }
    if (weights.starts_with("throw")) throw std::runtime_error("no such layer");
    if (weights.starts_with("bad")) return absl::InvalidArgumentError(file.path + ": is bad");
    return LoadedModel{.model = Unnamed(std::make_shared<std::string>(weights)),
                       .version = "v-" + weights,
                       .more_bytes = weights.starts_with("more") ? 4U : 0U,
                       .shared_bytes = weights.starts_with("tuned") ? weights.size() - 1 : 0U};
  }
  // Loads of weights that begin so wait until GoOn.
  void Block(const std::string& beginning) {
    const std::lock_guard lock(mutex_);
    blocked_ = beginning;
  }
  void GoOn() {
    const std::lock_guard lock(mutex_);
    blocked_.clear();
    changed_.notify_all();
  }
  void AwaitLoads(std::size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return loads_.size() >= count; });
  }
  std::size_t loads() {
    const std::lock_guard lock(mutex_);
    return loads_.size();
  }

  absl::StatusOr<std::shared_ptr<std::string>> Get(const std::string& name,
                                                   const WaitLimits& limits = {}) {
    absl::StatusOr<std::shared_ptr<void>> model = models_->Get(name, limits);
    if (!model.ok()) return model.status();
    return std::static_pointer_cast<std::string>(*std::move(model));
  }
  // The text of the model, or of the error.
  std::string Answer(const std::string& name) {
    const auto model = Get(name);
    return model.ok() ? **model : std::string(model.status().message());
  }
  ModelStatus StatusOf(const std::string& name) {
    const auto list = models_->List();
    EXPECT_THAT(list, IsOk());
    for (const ModelStatus& status : *list) {
      if (status.name() == name) return status;
    }
    return {};
  }
  // Until the name answers with this model.
  void AwaitAnswer(const std::string& name, const std::string& answer) {
    while (Answer(name) != answer) std::this_thread::yield();
  }
  void AwaitState(const std::string& name, ModelStatus::State state) {
    while (StatusOf(name).state() != state) std::this_thread::yield();
  }

  duet_testing::TempDir root_;
  const model_store::ModelStore store_{root_.path()};
  serving::Metrics metrics_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> loads_;  // guarded by mutex_
  std::string blocked_;             // guarded by mutex_
  std::unique_ptr<NamedModels> models_;
};

TEST_F(NamedModelsTest, TheFirstRequestLoadsAndOthersShare) {
  Make("a");
  Start();
  ModelStatus status = StatusOf("a");
  EXPECT_EQ(status.state(), ModelStatus::STATE_UNLOADED);
  EXPECT_EQ(status.stored_version(), 1u);
  EXPECT_EQ(status.loaded_version(), 0u);
  EXPECT_EQ(status.version(), "");
  EXPECT_EQ(loads(), 0u);

  ASSERT_OK_AND_ASSIGN(const auto first, Get("a"));
  ASSERT_OK_AND_ASSIGN(const auto second, Get("a"));

  EXPECT_EQ(*first, "a-1");
  EXPECT_EQ(first, second);
  EXPECT_EQ(loads(), 1u);
  status = StatusOf("a");
  EXPECT_EQ(status.state(), ModelStatus::STATE_LOADED);
  EXPECT_EQ(status.loaded_version(), 1u);
  EXPECT_EQ(status.version(), "v-a-1");
  EXPECT_EQ(status.memory_bytes(), 3u);
  EXPECT_EQ(status.error(), "");
  EXPECT_THAT(metrics_.Text(), AllOf(HasSubstr("duet_model_loaded_version{name=\"a\"} 1"),
                                     HasSubstr("duet_model_loads_total{result=\"ok\"} 1"),
                                     HasSubstr("duet_model_failed{name=\"a\"} 0")));
}

TEST_F(NamedModelsTest, WhoseModelItIsIsToldOfWhatIsLoadedElseOfWhatIsStored) {
  Publish("a", "a-1",
          {.label_studio_url = "http://studio", .project_created = "2026-11-01T00:00:00Z"});
  Publish("a", "a-2",
          {.label_studio_url = "http://other", .project_created = "2026-11-02T00:00:00Z"});
  Serve("a", 1);
  Start();
  EXPECT_EQ(StatusOf("a").label_studio_url(), "http://studio");
  EXPECT_EQ(StatusOf("a").project_created(), "2026-11-01T00:00:00Z");
  EXPECT_EQ(Answer("a"), "a-1");
  Block("a-2");
  Serve("a", 2);
  AwaitLoads(2);
  EXPECT_EQ(StatusOf("a").stored_version(), 2u);
  EXPECT_EQ(StatusOf("a").project_created(), "2026-11-01T00:00:00Z");
  GoOn();
  AwaitAnswer("a", "a-2");
  EXPECT_EQ(StatusOf("a").label_studio_url(), "http://other");
  EXPECT_EQ(StatusOf("a").project_created(), "2026-11-02T00:00:00Z");
  Serve("a", 0);
  EXPECT_EQ(StatusOf("a").project_created(), "");
}

TEST_F(NamedModelsTest, UnknownNamesCostNothing) {
  for (const char* name : {"a", "b", "c", "d", "e", "f", "g"}) Make(name);
  Start();
  const std::string before = metrics_.Text();
  for (int i = 0; i < 1000; ++i) {
    EXPECT_THAT(Get("project-" + std::to_string(i)), StatusIs(StatusCode::kFailedPrecondition));
  }
  for (const std::string& name : {std::string("../a"), std::string("a/1"), std::string("A"),
                                  std::string("\xff"), std::string(1 << 20, 'a')}) {
    EXPECT_LT(Get(name).status().message().size(), 400u);
  }
  EXPECT_EQ(Answer("x"),
            "model.name is 'x', but this replica serves 'default', 'a', 'b', 'c', 'd', 'e' and 2 "
            "more");
  EXPECT_EQ(models_->List()->size(), 7u);
  EXPECT_EQ(loads(), 0u);
  EXPECT_EQ(metrics_.Text().size(), before.size());
}

TEST_F(NamedModelsTest, WhatTheDefaultModelServesIsSaid) {
  Make("a");
  Publish("b", "b-1");  // nobody has decided
  Serve("a", 0);
  Start();
  for (const char* name : {"a", "b"}) {
    EXPECT_EQ(Answer(name),
              std::string("model.name is '") + name + "', which the model 'default' serves");
    EXPECT_EQ(StatusOf(name).state(), ModelStatus::STATE_UNLOADED);
    EXPECT_EQ(StatusOf(name).stored_version(), 0u);
  }
}

TEST_F(NamedModelsTest, ANewVersionIsLoadedBesideTheOldOne) {
  Make("a", 2);
  Start();
  ASSERT_OK_AND_ASSIGN(const auto held, Get("a"));
  Block("a-2");

  Serve("a", 2);

  AwaitLoads(2);
  EXPECT_EQ(Answer("a"), "a-1") << "until the new one is loaded";
  ModelStatus status = StatusOf("a");
  EXPECT_EQ(status.state(), ModelStatus::STATE_LOADING);
  EXPECT_EQ(status.stored_version(), 2u);
  EXPECT_EQ(status.loaded_version(), 1u);
  GoOn();
  AwaitAnswer("a", "a-2");
  EXPECT_EQ(*held, "a-1") << "who holds the old one finishes with it";
  Serve("a", 1);  // a rollback
  AwaitAnswer("a", "a-1");
}

TEST_F(NamedModelsTest, ANameThatNobodyAskedForIsNotLoadedForAVersion) {
  Make("a", 2);
  Start();
  Serve("a", 2);
  EXPECT_EQ(StatusOf("a").state(), ModelStatus::STATE_UNLOADED);
  EXPECT_EQ(Answer("a"), "a-2");
  EXPECT_EQ(loads(), 1u);
}

TEST_F(NamedModelsTest, AVersionDuringWhoseLoadAnotherOneIsChosenDoesNotServe) {
  Make("a", 3);
  Start();
  ASSERT_THAT(Get("a"), IsOk());
  Block("a-2");
  Serve("a", 2);
  AwaitLoads(2);
  Serve("a", 3);
  GoOn();
  std::string answer;
  while ((answer = Answer("a")) != "a-3") ASSERT_EQ(answer, "a-1");
}

TEST_F(NamedModelsTest, WhatIsDamagedLeavesTheOldOneServingAndIsSaid) {
  Make("a", 2);
  Start();
  ASSERT_THAT(Get("a"), IsOk());
  const std::string folder = store_.PathOf(kKind, "a");
  const std::string serving = ReadFile(folder + "/serving.json");
  const auto expect_failed = [&](const std::string& error, std::uint64_t stored_version) {
    AwaitState("a", ModelStatus::STATE_FAILED);
    const ModelStatus status = StatusOf("a");
    EXPECT_THAT(status.error(), HasSubstr(error));
    EXPECT_EQ(status.stored_version(), stored_version);
    EXPECT_EQ(status.loaded_version(), 1u);
    EXPECT_EQ(Answer("a"), "a-1");
    EXPECT_THAT(metrics_.Text(), HasSubstr("duet_model_failed{name=\"a\"} 1"));
  };
  Write(folder + "/serving.json", "version 2");
  models_->Poll();
  expect_failed("serving.json: is no JSON", 0);
  Write(folder + "/serving.json", R"({"version": 9})");
  models_->Poll();
  expect_failed("/a/9: cannot be opened", 9);
  fs::rename(folder + "/2/manifest.json", folder + "/2/manifest.bak");
  Write(folder + "/serving.json", R"({"version": 2})");
  models_->Poll();
  expect_failed("/a/2/manifest.json: cannot be opened", 2);
  fs::rename(folder + "/2/manifest.bak", folder + "/2/manifest.json");
  Write(folder + "/2/model.pth", "a-3");
  models_->Poll();
  expect_failed("/a/2/model.pth: has changed since it was published", 2);
  EXPECT_EQ(loads(), 1u) << "nothing damaged was loaded";
  Write(folder + "/serving.json", serving);
  models_->Poll();
  EXPECT_EQ(StatusOf("a").state(), ModelStatus::STATE_LOADED);
  EXPECT_EQ(StatusOf("a").error(), "");
  EXPECT_THAT(metrics_.Text(), HasSubstr("duet_model_failed{name=\"a\"} 0"));
}

TEST_F(NamedModelsTest, WhatIsDamagedAndWasNotLoadedIsRefused) {
  Make("a");
  Write(store_.PathOf(kKind, "a", 1) + "/model.pth", "");
  Make("b");
  Write(store_.PathOf(kKind, "b") + "/serving.json", "");
  Start();
  EXPECT_THAT(Get("a"),
              StatusIs(StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("model.name is 'a', which can't be loaded: "),
                             HasSubstr("model.pth: has 0 bytes; it was published with 3"))));
  EXPECT_THAT(Get("b"), StatusIs(StatusCode::kFailedPrecondition,
                                 HasSubstr("model.name is 'b', which can't be served: ")));
  EXPECT_EQ(loads(), 0u);
}

TEST_F(NamedModelsTest, AFailedLoadIsTriedAgainAfterAWhile) {
  Publish("a", "bad");
  Serve("a", 1);
  Publish("b", "throw");
  Serve("b", 1);
  Start({.retry_delay = absl::Hours(1)});
  EXPECT_THAT(Answer("a"), HasSubstr("a/1/model.pth: is bad"));
  EXPECT_THAT(Answer("b"), HasSubstr("no such layer"));
  EXPECT_THAT(Answer("a"), HasSubstr("a/1/model.pth: is bad"));
  EXPECT_EQ(loads(), 2u) << "not with every request";
  Start({.retry_delay = absl::ZeroDuration()});
  EXPECT_THAT(Get("a", {.deadline = absl::Now() + absl::Milliseconds(200)}), Not(IsOk()));
  EXPECT_GT(loads(), 3u);
}

TEST_F(NamedModelsTest, WhatWasMendedIsLoadedThoughNobodyAsksAgain) {
  Make("a");
  Make("b");
  const std::string file = store_.PathOf(kKind, "a", 1) + "/model.pth";
  Write(file, "damaged");
  Start({.budget_bytes = 6, .retry_delay = absl::ZeroDuration()});
  ASSERT_THAT(Get("a", {.deadline = absl::Now() + absl::Milliseconds(50)}), Not(IsOk()));
  AwaitState("a", ModelStatus::STATE_FAILED);
  ASSERT_EQ(Answer("b"), "b-1");
  Write(file, "a-1");
  models_->Poll();
  AwaitState("a", ModelStatus::STATE_LOADED);
  EXPECT_EQ(StatusOf("a").error(), "");
}

TEST_F(NamedModelsTest, AnAttemptThatNobodyWaitsForDropsNoOtherModel) {
  Make("a");
  Make("b");
  const std::string file = store_.PathOf(kKind, "a", 1) + "/model.pth";
  Write(file, "damaged");
  Start({.budget_bytes = 5, .retry_delay = absl::ZeroDuration()});
  ASSERT_THAT(Get("a", {.deadline = absl::Now() + absl::Milliseconds(50)}), Not(IsOk()));
  AwaitState("a", ModelStatus::STATE_FAILED);
  ASSERT_EQ(Answer("b"), "b-1");
  Write(file, "a-1");
  models_->Poll();
  AwaitState("a", ModelStatus::STATE_UNLOADED);
  EXPECT_EQ(StatusOf("b").state(), ModelStatus::STATE_LOADED);
  EXPECT_EQ(Answer("a"), "a-1") << "for a request it does";
}

TEST_F(NamedModelsTest, TheLeastRecentlyUsedMakesRoom) {
  for (const char* name : {"a", "b", "c"}) Make(name);
  Start({.budget_bytes = 6});
  ASSERT_EQ(Answer("a"), "a-1");
  ASSERT_EQ(Answer("b"), "b-1");
  ASSERT_EQ(Answer("a"), "a-1");

  ASSERT_EQ(Answer("c"), "c-1");

  EXPECT_EQ(StatusOf("a").state(), ModelStatus::STATE_LOADED);
  EXPECT_EQ(StatusOf("b").state(), ModelStatus::STATE_UNLOADED);
  EXPECT_EQ(StatusOf("b").memory_bytes(), 0u);
  EXPECT_THAT(metrics_.Text(), HasSubstr("duet_named_model_bytes 6"));
  EXPECT_EQ(Answer("b"), "b-1");
  EXPECT_EQ(StatusOf("a").state(), ModelStatus::STATE_UNLOADED);
}

TEST_F(NamedModelsTest, WhatAModelTakesBesidesItsWeightsCountsOnceItIsKnown) {
  Make("a");
  Publish("b", "more");
  Serve("b", 1);
  Start({.budget_bytes = 10});
  ASSERT_EQ(Answer("a"), "a-1");
  ASSERT_EQ(Answer("b"), "more");
  AwaitState("a", ModelStatus::STATE_UNLOADED);
  EXPECT_EQ(StatusOf("b").memory_bytes(), 8u);
}

TEST_F(NamedModelsTest, WhatARequestHoldsStaysAndCounts) {
  Make("a");
  Make("b");
  Start({.budget_bytes = 5});
  ASSERT_OK_AND_ASSIGN(std::shared_ptr<std::string> held, Get("a"));
  EXPECT_THAT(
      Get("b", {.deadline = absl::Now() + absl::Milliseconds(100)}),
      StatusIs(StatusCode::kDeadlineExceeded, "model.name is 'b', which wasn't loaded in time"));
  EXPECT_EQ(StatusOf("a").state(), ModelStatus::STATE_LOADED);
  auto waiting = std::async(std::launch::async, [&] { return Answer("b"); });
  held.reset();
  EXPECT_EQ(waiting.get(), "b-1");
}

TEST_F(NamedModelsTest, WhatWasReplacedCountsUntilItIsLetGo) {
  Make("a", 2);
  Make("b");
  Start({.budget_bytes = 8});
  ASSERT_OK_AND_ASSIGN(std::shared_ptr<std::string> held, Get("a"));
  Serve("a", 2);
  AwaitAnswer("a", "a-2");
  ASSERT_OK_AND_ASSIGN(const std::shared_ptr<std::string> replacement, Get("a"));
  EXPECT_THAT(Get("b", {.deadline = absl::Now() + absl::Milliseconds(100)}), Not(IsOk()))
      << "a-1 and a-2 are there";
  held.reset();
  EXPECT_EQ(Answer("b"), "b-1");
}

TEST_F(NamedModelsTest, WhatIsLargerThanTheBudgetIsSaid) {
  constexpr std::size_t kMiB = 1 << 20;
  Publish("large", std::string(3 * kMiB, 'x'));
  Serve("large", 1);
  Publish("a", std::string(kMiB, 'y'));
  Publish("a", std::string(kMiB + 1, 'z'));
  Serve("a", 1);
  Start({.budget_bytes = 2 * kMiB});
  EXPECT_EQ(Answer("large"),
            "model.name is 'large', which can't be loaded: version 1 needs 3 MiB, more than "
            "--model_budget_mb=2");
  ASSERT_THAT(Get("a"), IsOk());
  Serve("a", 2);
  AwaitState("a", ModelStatus::STATE_FAILED);
  EXPECT_EQ(
      StatusOf("a").error(),
      "version 2 needs 2 MiB beside the 1 MiB of the version that serves meanwhile, more than "
      "--model_budget_mb=2");
  EXPECT_EQ(Answer("a").size(), kMiB);
}

TEST_F(NamedModelsTest, WhatModelsShareCountsOnce) {
  for (const char* name : {"tuned-a", "tuned-b", "tuned-c"}) Make(name);
  Start({.budget_bytes = 3, .shareable_bytes = 8});  // a file has nine
  EXPECT_EQ(Answer("tuned-a"), "tuned-a-1");
  EXPECT_EQ(Answer("tuned-b"), "tuned-b-1");
  EXPECT_EQ(Answer("tuned-c"), "tuned-c-1");
  for (const char* name : {"tuned-a", "tuned-b", "tuned-c"}) {
    EXPECT_EQ(StatusOf(name).state(), ModelStatus::STATE_LOADED) << name;
    EXPECT_EQ(StatusOf(name).memory_bytes(), 1U) << name;
  }
}

TEST_F(NamedModelsTest, WhatSharesNothingAfterAllCountsWhole) {
  constexpr std::size_t kMiB = 1 << 20;
  Make("tuned");
  Publish("alone", std::string(2 * kMiB, 'x'));
  Serve("alone", 1);
  Publish("larger", std::string(3 * kMiB, 'x'));
  Serve("larger", 1);
  Start({.budget_bytes = 2 * kMiB, .shareable_bytes = 3 * kMiB});
  EXPECT_EQ(Answer("tuned"), "tuned-1");
  EXPECT_EQ(Answer("alone").size(), 2 * kMiB);
  EXPECT_EQ(StatusOf("tuned").state(), ModelStatus::STATE_UNLOADED) << "it had to make room";
  EXPECT_EQ(Answer("larger"),
            "model.name is 'larger', which can't be loaded: version 1 needs 3 MiB, more than "
            "--model_budget_mb=2");
  EXPECT_EQ(Answer("alone").size(), 2 * kMiB);
}

TEST_F(NamedModelsTest, ALoadBlocksNoOtherName) {
  for (const char* name : {"a", "b", "c"}) Make(name);
  Start({.max_waiting = 4});
  ASSERT_EQ(Answer("c"), "c-1");
  Block("a");
  std::vector<std::future<std::string>> waiting;
  for (int i = 0; i < 2; ++i) {
    // Below, this thread may be in their place for a moment.
    waiting.push_back(std::async(std::launch::async, [&] {
      for (;;) {
        const auto model = Get("a");
        if (!absl::IsResourceExhausted(model.status())) return model.ok() ? **model : "an error";
      }
    }));
  }
  AwaitLoads(2);
  // Half of those that may wait are there: a third one is refused, at once.
  absl::Status refused;
  while (refused.ok() || absl::IsDeadlineExceeded(refused)) {
    refused = Get("a", {.deadline = absl::Now() + absl::Milliseconds(50)}).status();
  }
  EXPECT_THAT(refused, StatusIs(StatusCode::kResourceExhausted,
                                HasSubstr("model.name is 'a', which is being loaded, and ")));
  EXPECT_EQ(Answer("c"), "c-1") << "is loaded";
  EXPECT_EQ(Answer("b"), "b-1") << "is loaded meanwhile";
  GoOn();
  for (auto& one : waiting) EXPECT_EQ(one.get(), "a-1");
  EXPECT_EQ(loads(), 3u);
  EXPECT_THAT(metrics_.Text(), Not(HasSubstr("duet_model_waits_refused_total 0")));
}

TEST_F(NamedModelsTest, WhoHangsUpDoesNotWait) {
  Make("a");
  Start();
  Block("a");
  std::atomic<bool> cancelled = false;
  auto waiting = std::async(std::launch::async, [&] {
    return Get("a", {.is_cancelled = [&] { return cancelled.load(); }}).status();
  });
  AwaitLoads(1);
  cancelled = true;
  EXPECT_THAT(waiting.get(), StatusIs(StatusCode::kCancelled));
}

TEST_F(NamedModelsTest, ANameThatBeginsAgainIsAnotherModel) {
  Make("a");
  Start();
  ASSERT_OK_AND_ASSIGN(const auto held, Get("a"));
  ASSERT_THAT(store_.DeleteName(kKind, "a"), IsOk());
  models_->Poll();
  EXPECT_EQ(Answer("a"), "model.name is 'a', but this replica serves 'default' only");
  EXPECT_TRUE(models_->List()->empty());
  EXPECT_EQ(*held, "a-1");
  EXPECT_THAT(metrics_.Text(), HasSubstr("duet_model_loaded_version{name=\"a\"} 0"));
  Publish("a", "another");
  Serve("a", 1);
  EXPECT_EQ(Answer("a"), "another");

  // Without a poll in between.
  ASSERT_THAT(store_.DeleteName(kKind, "a"), IsOk());
  Publish("a", "a third one");
  Serve("a", 1);
  AwaitAnswer("a", "a third one");
}

TEST_F(NamedModelsTest, ARootThatIsGoneChangesNothing) {
  Make("a", 2);
  Start();
  ASSERT_EQ(Answer("a"), "a-1");
  fs::rename(root_.path() + "/detector", root_.path() + "/elsewhere");
  models_->Poll();
  EXPECT_EQ(Answer("a"), "a-1");
  fs::rename(root_.path() + "/elsewhere", root_.path() + "/detector");
  Serve("a", 2);
  AwaitAnswer("a", "a-2");
}

// Whether it has names isn't known: nobody may take that for none.
TEST_F(NamedModelsTest, ARootThatWasNeverReadHasNoListUntilItIs) {
  Make("a");
  const std::string elsewhere = root_.path() + "-elsewhere";
  fs::rename(root_.path(), elsewhere);
  Start();
  EXPECT_THAT(models_->List(),
              StatusIs(StatusCode::kFailedPrecondition, StartsWith(root_.path() + ": ")));
  fs::rename(elsewhere, root_.path());
  models_->Poll();
  EXPECT_EQ(models_->List()->size(), 1u);
  EXPECT_EQ(Answer("a"), "a-1");
}

// By a mode or an owner that only whoever wrote it may read, or while a volume is disturbed.
TEST_F(NamedModelsTest, AFolderThatCannotBeOpenedServesOnAndIsSaid) {
  Make("a");
  Start();
  ASSERT_EQ(Answer("a"), "a-1");
  // Whoever runs this, root too: of this thread alone.
  for (const char* path : {"", "/detector"}) fs::permissions(root_.path() + path, fs::perms(0755));
  fs::permissions(root_.path() + "/detector/a", fs::perms::none);
  setfsuid(65534);
  models_->Poll();
  setfsuid(geteuid());
  fs::permissions(root_.path() + "/detector/a", fs::perms(0755));
  EXPECT_EQ(Answer("a"), "a-1");
  EXPECT_EQ(StatusOf("a").state(), ModelStatus::STATE_FAILED);
  EXPECT_THAT(StatusOf("a").error(), HasSubstr("/detector/a: cannot be opened"));
  models_->Poll();
  EXPECT_EQ(StatusOf("a").state(), ModelStatus::STATE_LOADED);
}

TEST_F(NamedModelsTest, ItLooksAtTheRootByItself) {
  NamedModelsOptions options;
  options.model_root = root_.path();
  options.poll_interval = absl::Milliseconds(1);
  models_ = std::make_unique<NamedModels>(
      options, [this](const ModelFile& file) { return Load(file); }, metrics_);
  Publish("a", "a-1");
  ASSERT_THAT(store_.UpdateServing(
                  kKind, "a",
                  [](const Serving&) -> absl::StatusOr<Serving> { return Serving{.version = 1}; }),
              IsOk());
  AwaitAnswer("a", "a-1");
}

TEST_F(NamedModelsTest, RequestsOfSeveralThreadsGetTheirOwnModels) {
  for (const char* name : {"a", "b", "c"}) Make(name, 2);
  Start({.budget_bytes = 6});  // of three models two
  std::vector<std::thread> threads;
  for (const std::string name : {"a", "b", "c"}) {
    threads.emplace_back([&, name] {
      for (int i = 0; i < 200; ++i) EXPECT_EQ(Answer(name).substr(0, 2), name + "-");
    });
  }
  for (int i = 0; i < 20; ++i) {
    for (const char* name : {"a", "b", "c"}) Serve(name, 1 + i % 2);
  }
  for (std::thread& thread : threads) thread.join();
  for (const char* name : {"a", "b", "c"}) AwaitAnswer(name, std::string(name) + "-2");
}

}  // namespace
}  // namespace model_service
