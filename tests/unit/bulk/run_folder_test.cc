#include "bulk/run_folder.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <optional>
#include <string>

#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace bulk {
namespace {

using duet_testing::IsOk;
using duet_testing::StatusIs;
using ::testing::HasSubstr;

Head SomeHead() {
  Head head{.source = "photos \xff",
            .listing = {.images = 3,
                        .root = "/data/\xff",
                        .has_ids = true,
                        .of_label_studio = true,
                        .categories = {{7, "cat"}}}};
  head.detector = std::make_shared<backends::DetectorModel>(
      backends::DetectorModel{.name = "rtmdet", .version = "d1", .classes = {"cat", "dog"}});
  head.segmenter = std::make_shared<backends::SegmenterModel>(
      backends::SegmenterModel{.name = "sam", .version = "s1"});
  head.masks = MaskMaker::kSegmenter;
  head.settings = {.score_threshold = 0.3,
                   .max_detections = 7,
                   .class_agnostic = true,
                   .outputs = "brush",
                   .label_map = {{"cat", "Cat"}},
                   .mask_source = prelabel::MaskSource::kSam,
                   .degrade = prelabel::Degrade::kBoxes,
                   .background = prelabel::Background::kPush,
                   .score = prelabel::Score::kUncertainty,
                   .slice = prelabel::Slicing{.tile = 640,
                                              .overlap = 0.25,
                                              .join = prelabel::SliceJoin::kNmm,
                                              .metric = prelabel::SliceMetric::kIou,
                                              .threshold = 0.4,
                                              .whole_image = false}};
  head.label_config = "<View/>";
  return head;
}

TEST(HeadTest, ComesBackAsItWas) {
  const Head head = SomeHead();
  ASSERT_OK_AND_ASSIGN(const Head read, HeadFromJson(ToJson(head)));
  EXPECT_EQ(ToJson(read), ToJson(head));
  EXPECT_EQ(read.settings, head.settings);
  EXPECT_EQ(read.listing.root, head.listing.root);
  EXPECT_THAT(CheckSame(read, head, "out.journal"), IsOk());
  EXPECT_THAT(HeadFromJson("{}"), StatusIs(absl::StatusCode::kDataLoss));
}

TEST(HeadTest, TheFirstDifferenceIsNamedWithBothValues) {
  const Head head = SomeHead();
  const auto complaint = [&head](auto change) {
    Head wanted = SomeHead();
    change(wanted);
    const absl::Status status = CheckSame(head, wanted, "out.journal");
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    return std::string(status.message());
  };
  EXPECT_THAT(complaint([](Head& wanted) { wanted.source = "other"; }),
              HasSubstr("the source was photos \xff and is now other"));
  EXPECT_LT(complaint([](Head& wanted) { wanted.source.assign(100'000, 'x'); }).size(), 500U);
  EXPECT_THAT(complaint([](Head& wanted) { wanted.settings.score_threshold = 0.25; }),
              HasSubstr("score_threshold was 0.3 and is now 0.25"));
  EXPECT_THAT(complaint([](Head& wanted) { wanted.settings.max_detections.reset(); }),
              HasSubstr("max_detections was 7 and is now not set"));
  EXPECT_THAT(complaint([](Head& wanted) { wanted.settings.slice->overlap = 0.3; }),
              HasSubstr("slice was"));
  EXPECT_THAT(complaint([](Head& wanted) { wanted.label_config = "<View></View>"; }),
              HasSubstr("the label config was"));
  EXPECT_THAT(complaint([](Head& wanted) {
                auto model = std::make_shared<backends::SegmenterModel>(*wanted.segmenter);
                model->version = "s2";
                wanted.segmenter = model;
              }),
              HasSubstr("the segmenter's model was s1 and is now s2"));
  EXPECT_THAT(complaint([](Head& wanted) { wanted.masks = MaskMaker::kNone; }),
              HasSubstr("the maker of masks was segmenter and is now none"));
}

TEST(RunFolderTest, IsLockedForAsLongAsItIsUsed) {
  const duet_testing::TempDir folder;
  const std::string out = folder.path() + "/out.json";
  {
    ASSERT_OK_AND_ASSIGN(const RunFolder first, RunFolder::Lock(out));
    EXPECT_EQ(first.path(), out + ".journal");
    EXPECT_THAT(RunFolder::Lock(out), StatusIs(absl::StatusCode::kUnavailable,
                                               HasSubstr("is working on " + out + " already")));
    EXPECT_THAT(RunFolder::Lock(folder.path() + "/other"), IsOk());
  }
  EXPECT_THAT(RunFolder::Lock(out + "/"), IsOk());  // a folder as people write it
}

TEST(RunFolderTest, WhatSomebodyElseHasInAFolderOfThisNameStays) {
  const duet_testing::TempDir folder;
  const std::string mine = folder.Write("out.json.journal/letters.txt", "mine");
  {
    ASSERT_OK_AND_ASSIGN(const RunFolder run, RunFolder::Lock(folder.path() + "/out.json"));
    run.Remove();
  }
  EXPECT_EQ(duet_testing::ReadFile(mine), "mine");
  EXPECT_FALSE(std::filesystem::exists(folder.path() + "/out.json.journal/lock"));
}

TEST(RunFolderTest, OneThatWasRemovedMeanwhileIsMadeAnew) {
  const duet_testing::TempDir folder;
  const std::string out = folder.path() + "/out.json";
  ASSERT_OK_AND_ASSIGN(const RunFolder first, RunFolder::Lock(out));
  first.Remove();
  ASSERT_OK_AND_ASSIGN(const RunFolder second, RunFolder::Lock(out));
  EXPECT_TRUE(std::filesystem::exists(second.path() + "/lock"));
}

}  // namespace
}  // namespace bulk
