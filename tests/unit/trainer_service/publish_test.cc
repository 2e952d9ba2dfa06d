#include "trainer_service/work/publish.h"

#include <gmock/gmock.h>
#include <signal.h>
#include <sys/resource.h>

#include <filesystem>

#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace trainer_service {
namespace {

using duet_testing::IsOk;
using duet_testing::ReadFile;
using duet_testing::StatusIs;
using testing::HasSubstr;

namespace fs = std::filesystem;
constexpr model_store::Kind kKind = model_store::Kind::kDetector;

class PublishTest : public testing::Test {
 protected:
  PublishTest() {
    fs::create_directory(folder_.path() + "/models");
    for (const char* name : {"best.pth", "last.pth", "report.md", "worst/01.jpg"}) {
      folder_.Write(std::string("train/") + name, name);
    }
    folder_.Write("sides.json", "{}");
  }
  absl::StatusOr<std::uint64_t> Publish() const {
    return PublishVersion(store_, folder_.path() + "/train", folder_.path() + "/sides.json",
                          manifest_);
  }

  duet_testing::TempDir folder_;
  const model_store::ModelStore store_{folder_.path() + "/models"};
  model_store::Manifest manifest_{
      .kind = kKind, .name = "project-7", .project_id = 7, .revision = "0123456789abcdef"};
};

TEST_F(PublishTest, TheLastStateAndItsReportAreCopied) {
  ASSERT_OK_AND_ASSIGN(const std::uint64_t version, Publish());

  EXPECT_EQ(version, 1u);
  const std::string folder = store_.PathOf(kKind, "project-7", 1);
  EXPECT_EQ(ReadFile(folder + "/model.pth"), "last.pth");
  EXPECT_TRUE(fs::exists(folder + "/report.md"));
  EXPECT_EQ(ReadFile(folder + "/sides.json"), "{}");
  EXPECT_FALSE(fs::exists(folder + "/best.pth"));
  EXPECT_FALSE(fs::exists(folder + "/worst")) << "copies of the project's images";
}

// A SAM 2 of another size is described by the JSON beside it.
TEST_F(PublishTest, WhatDescribesTheModelGoesWithIt) {
  folder_.Write("train/last.pth.json", "{\"num_heads\": 1}");
  manifest_.kind = model_store::Kind::kSegmenter;
  ASSERT_THAT(Publish(), IsOk());
  EXPECT_EQ(
      ReadFile(store_.PathOf(model_store::Kind::kSegmenter, "project-7", 1) + "/model.pth.json"),
      "{\"num_heads\": 1}");
}

TEST_F(PublishTest, WhatWasPublishedAlreadyIsNotPublishedAgain) {
  ASSERT_OK_AND_ASSIGN(const std::uint64_t first, Publish());
  ASSERT_OK_AND_ASSIGN(const std::uint64_t again, Publish());
  EXPECT_EQ(again, first);

  manifest_.parent = 1;
  ASSERT_OK_AND_ASSIGN(const std::uint64_t other, Publish());
  EXPECT_EQ(other, 2u);
  folder_.Write("train/last.pth", "another one");
  ASSERT_OK_AND_ASSIGN(const std::uint64_t newer, Publish());
  EXPECT_EQ(newer, 3u);
}

TEST_F(PublishTest, WithoutAModelNothingAppears) {
  fs::remove(folder_.path() + "/train/last.pth");

  EXPECT_THAT(Publish(), StatusIs(absl::StatusCode::kNotFound, HasSubstr("last.pth")));
  EXPECT_TRUE(fs::is_empty(folder_.path() + "/models"));
}

// As on a full disk.
TEST_F(PublishTest, AFileThatFindsNoRoomSaysSoAndLeavesNothing) {
  folder_.Write("train/last.pth", std::string(100'000, 'x'));
  const auto before = signal(SIGXFSZ, SIG_IGN);
  rlimit old;
  getrlimit(RLIMIT_FSIZE, &old);
  const rlimit small{4096, old.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  const auto published = Publish();
  setrlimit(RLIMIT_FSIZE, &old);
  signal(SIGXFSZ, before);

  EXPECT_FALSE(published.ok());
  EXPECT_THAT(std::string(published.status().message()),
              testing::AllOf(HasSubstr("model.pth"), HasSubstr("too large")));
  for (const auto& left : fs::directory_iterator(folder_.path() + "/models/detector/project-7")) {
    EXPECT_EQ(left.path().filename(), ".lock");
  }
}

TEST_F(PublishTest, WhereVersionsCantBeWrittenIsSaidBefore) {
  EXPECT_THAT(CheckCanPublish(store_, kKind, "project-7"), IsOk());
  EXPECT_THAT(CheckCanPublish(model_store::ModelStore("/nowhere"), kKind, "project-7"),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("--model_root=/nowhere")));
  folder_.Write("models/detector", "a file where a folder should be");
  EXPECT_THAT(CheckCanPublish(store_, kKind, "project-7"),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("models/detector")));
}

}  // namespace
}  // namespace trainer_service
