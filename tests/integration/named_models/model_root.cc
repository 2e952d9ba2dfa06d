#include "tests/integration/named_models/model_root.h"

#include <absl/time/clock.h>
#include <absl/time/time.h>
#include <gmock/gmock.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "tests/testing/status_matchers.h"

namespace named_models {

namespace fs = std::filesystem;
using duet_testing::IsOk;

void ModelRoot::Publish(const std::string& name, const std::string& weights) {
  absl::StatusOr<model_store::Staging> staging = store_.Stage(kind_, name);
  ASSERT_THAT(staging, IsOk());
  fs::copy_file(weights, staging->folder() + "/model.pth");
  if (fs::exists(weights + ".json")) {
    fs::copy_file(weights + ".json", staging->folder() + "/model.pth.json");
  }
  ASSERT_THAT(staging->Publish({}), IsOk());
}

void ModelRoot::Serve(const std::string& name, std::uint64_t version) {
  const auto served = store_.UpdateServing(
      kind_, name, [&](model_store::Serving now) -> absl::StatusOr<model_store::Serving> {
        now.version = version;
        return now;
      });
  ASSERT_THAT(served, IsOk());
}

duet::vision::v1::ModelStatus StatusOf(const duet::vision::v1::ListModelsResponse& list,
                                       const std::string& name) {
  for (const auto& status : list.models()) {
    if (status.name() == name) return status;
  }
  return {};
}

int WantedAnswers(int usual) { return std::getenv("DUET_SOAK") != nullptr ? 100'000 : usual; }

void Answers::Count(const std::string& version, const std::string& wrong) {
  const std::lock_guard lock(mutex_);
  ++answered_;
  ++by_version_[version];
  if (!wrong.empty()) {
    ADD_FAILURE() << wrong << " after " << answered_;
    failed_ = true;
  }
  changed_.notify_all();
}

bool Answers::over() const {
  const std::lock_guard lock(mutex_);
  return answered_ >= wanted_ || failed_;
}

bool Answers::Await(int more) {
  std::unique_lock lock(mutex_);
  const int wanted = std::min(answered_ + more, wanted_);
  changed_.wait(lock, [&] { return answered_ >= wanted || failed_; });
  return answered_ < wanted_ && !failed_;
}

absl::Duration Answers::AwaitVersion(const std::string& version) {
  const absl::Time begin = absl::Now();
  std::unique_lock lock(mutex_);
  const std::uint64_t before = by_version_[version];
  changed_.wait(lock,
                [&] { return by_version_[version] > before || answered_ >= wanted_ || failed_; });
  return absl::Now() - begin;
}

std::uint64_t Answers::count_of(const std::string& version) const {
  const std::lock_guard lock(mutex_);
  const auto found = by_version_.find(version);
  return found == by_version_.end() ? 0 : found->second;
}

void Answers::ChangeUntilOver(ModelRoot& root, const std::string& name, int per_change,
                              const std::map<std::uint64_t, std::string>& version_of) {
  absl::Duration longest, all;
  int changes = 0;
  for (std::uint64_t version = 2; Await(per_change); version = 3 - version, ++changes) {
    root.Serve(name, version);
    const absl::Duration took = AwaitVersion(version_of.at(version));
    longest = std::max(longest, took);
    all += took;
  }
  EXPECT_GT(changes, 2);
  for (const auto& [number, version] : version_of) EXPECT_GT(count_of(version), 0U) << number;
  std::printf("%d changes were effective after %.0f ms on average, %.0f ms at most\n", changes,
              absl::ToDoubleMilliseconds(all) / std::max(changes, 1),
              absl::ToDoubleMilliseconds(longest));
}

}  // namespace named_models
