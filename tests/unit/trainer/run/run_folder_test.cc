// A folder is one training's, and what it asked for is remembered.
#include "trainer/run/run_folder.h"

#include <gmock/gmock.h>

#include <boost/json.hpp>
#include <filesystem>
#include <fstream>
#include <vector>

#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"
#include "trainer/run/run_log.h"
#include "trainer/run/training_state.h"

namespace trainer {
namespace {

using duet_testing::IsOk;
using duet_testing::StatusIs;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

const RunRecord kRecord{.configuration = {{"epochs", "40"}, {"lr", "0.01"}}, .revision = "abc"};

TEST(RunFolderTest, IsOneProcessesAtATime) {
  const duet_testing::TempDir temp;
  {
    ASSERT_OK_AND_ASSIGN(const RunFolder first, RunFolder::Open(temp.path() + "/out"));
    EXPECT_THAT(RunFolder::Open(temp.path() + "/out"),
                StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("another duet-train")));
  }
  EXPECT_THAT(RunFolder::Open(temp.path() + "/out"), IsOk());
}

TEST(RunFolderTest, RemembersWhatWasAskedAndSaysWhatDiffers) {
  const duet_testing::TempDir temp;
  {
    ASSERT_OK_AND_ASSIGN(RunFolder folder, RunFolder::Open(temp.path()));
    EXPECT_FALSE(folder.record().has_value());
    EXPECT_EQ(folder.Find(kRecord, /*resume=*/true).value(), RunFolder::Found::kNothing);
  }
  ASSERT_OK_AND_ASSIGN(RunFolder folder, RunFolder::Open(temp.path()));
  ASSERT_TRUE(folder.record().has_value());
  EXPECT_FALSE(folder.record()->finished);

  EXPECT_EQ(folder.Find(kRecord, /*resume=*/true).value(), RunFolder::Found::kNothing);
  temp.Write("state.pth", "x");
  EXPECT_EQ(folder.Find(kRecord, /*resume=*/true).value(), RunFolder::Found::kUnfinished);
  RunRecord other = kRecord;
  other.configuration[1].second = "0.02";
  EXPECT_THAT(folder.Find(other, /*resume=*/true),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("--lr=0.02 (it was 0.01)"), HasSubstr("--noresume"),
                             Not(HasSubstr("epochs")))));
  other = kRecord;
  other.revision = "xyz";
  EXPECT_THAT(
      folder.Find(other, /*resume=*/true),
      StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("revision xyz (it was abc)")));

  EXPECT_THAT(folder.Finish(), IsOk());
  EXPECT_EQ(folder.Find(kRecord, /*resume=*/true).value(), RunFolder::Found::kFinished);
}

TEST(RunFolderTest, BeginningAnewRemovesTheResultsAndKeepsTheData) {
  const duet_testing::TempDir temp;
  ASSERT_OK_AND_ASSIGN(RunFolder folder, RunFolder::Open(temp.path()));
  ASSERT_THAT(folder.Find(kRecord, /*resume=*/false), IsOk());
  for (const char* name : {"best.pth", "state.pth", "worst/1.jpg", "data/images/x.png"}) {
    temp.Write(name, "x");
  }

  EXPECT_EQ(folder.Find(kRecord, /*resume=*/false).value(), RunFolder::Found::kNothing);

  EXPECT_FALSE(std::filesystem::exists(folder.file("best.pth")));
  EXPECT_FALSE(std::filesystem::exists(folder.file("state.pth")));
  EXPECT_FALSE(std::filesystem::exists(folder.file("worst/1.jpg")));
  EXPECT_TRUE(std::filesystem::exists(folder.file("data/images/x.png")));
}

TEST(RunFolderTest, SomebodyElsesModelsAreNotTouched) {
  const duet_testing::TempDir temp;
  temp.Write("best.pth", "precious");

  EXPECT_THAT(RunFolder::Open(temp.path()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("best.pth")));
}

TEST(RunFolderTest, WhatAKilledProcessLeftIsRemoved) {
  const duet_testing::TempDir temp;
  temp.Write("state.pth.17.0.tmp", "half");
  temp.Write("data/images/ab.png.17.3.tmp", "half");

  ASSERT_OK_AND_ASSIGN(const RunFolder folder, RunFolder::Open(temp.path()));

  EXPECT_FALSE(std::filesystem::exists(folder.file("state.pth.17.0.tmp")));
  EXPECT_FALSE(std::filesystem::exists(folder.file("data/images/ab.png.17.3.tmp")));
}

TEST(RunLogTest, IsCutToWhatWasSavedAndReadBack) {
  const duet_testing::TempDir temp;
  const std::string path = temp.path() + "/log.jsonl";
  std::uint64_t saved = 0;
  {
    ASSERT_OK_AND_ASSIGN(RunLog log, RunLog::Open(path, 0, [](const auto&) {}));
    ASSERT_THAT(log.Append(MakeEvent("first")), IsOk());
    saved = log.size();
    ASSERT_THAT(log.Append(MakeEvent("lost")), IsOk());
  }
  std::ofstream(path, std::ios::app) << "{\"half";

  std::vector<std::string> names;
  ASSERT_OK_AND_ASSIGN(RunLog log, RunLog::Open(path, saved, [&](const auto& event) {
                         names.emplace_back(event.at("event").as_string());
                       }));
  ASSERT_THAT(log.Append(MakeEvent("second")), IsOk());

  EXPECT_THAT(names, testing::ElementsAre("first"));
  EXPECT_THAT(duet_testing::ReadFile(path),
              AllOf(HasSubstr("second"), Not(HasSubstr("lost")), Not(HasSubstr("half"))));
  EXPECT_THAT(RunLog::Open(path, 10'000, [](const auto&) {}),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr(path)));
}

// /dev/full takes what is opened and refuses what is written.
TEST(RunLogTest, AFullDiskIsAnErrorThatNamesTheFile) {
  ASSERT_OK_AND_ASSIGN(RunLog log, RunLog::Open("/dev/full", 0, [](const auto&) {}));

  EXPECT_THAT(log.Append(MakeEvent("step")),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("/dev/full")));
  EXPECT_EQ(log.size(), 0u);
}

TEST(TrainingStateTest, ComesBackToTheBit) {
  const duet_testing::TempDir temp;
  const std::string path = temp.path() + "/state.pth";
  const std::vector<float> weights = {1, 2, 3};
  checkpoint::TensorView view{.shape = {3}, .strides = {1}};
  view.data = reinterpret_cast<const std::byte*>(weights.data());
  const RunState run{.step = 7,
                     .evaluated_step = 5,
                     .best_ap = 1.0 / 3,
                     .best_step = 5,
                     .evaluations_since_best = 1,
                     .skipped_batches = 2,
                     .log_bytes = 1234,
                     .bf16 = true,
                     .seconds = 12};

  ASSERT_THAT(SaveState(path, run, {{"weights.a", view}}), IsOk());
  ASSERT_OK_AND_ASSIGN(const SavedState state, LoadState(path));

  EXPECT_EQ(state.run, run);
  ASSERT_EQ(state.tensors.size(), 1u);
  EXPECT_EQ(state.tensors[0].first, "weights.a");
  EXPECT_EQ(reinterpret_cast<const float*>(state.tensors[0].second.data)[2], 3);

  ASSERT_THAT(SaveState(path, run, {}), IsOk());
  const std::string whole = duet_testing::ReadFile(path);
  temp.Write("state.pth", whole.substr(0, whole.size() / 2));
  EXPECT_THAT(LoadState(path).status().message(), HasSubstr(path));
}

}  // namespace
}  // namespace trainer
