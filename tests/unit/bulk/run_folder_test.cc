#include "bulk/run_folder.h"

#include <gmock/gmock.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "bulk/journal.h"
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

TEST(HeadTest, ARunThatEmbedsIsAnotherOne) {
  Head embeds{.source = "photos \xff", .embeds = true, .encoder = "e1"};
  ASSERT_OK_AND_ASSIGN(const Head read, HeadFromJson(ToJson(embeds)));
  EXPECT_TRUE(read.embeds);
  EXPECT_THAT(CheckSame(read, embeds, "out.journal"), IsOk());
  Head finds = SomeHead();
  finds.settings = {};
  ASSERT_OK_AND_ASSIGN(const Head found, HeadFromJson(ToJson(finds)));
  EXPECT_FALSE(found.embeds);
  // What the options alone say: no models, no encoder.
  embeds.encoder.clear();
  EXPECT_THAT(CheckSame(found, embeds, "out.journal"),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("the command was duet prelabel and is now duet embed")));
  EXPECT_THAT(CheckSame(read, {.source = "photos \xff"}, "out.journal"),
              StatusIs(absl::StatusCode::kFailedPrecondition));
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

TEST(RunFolderTest, WhatKilledProcessesLeftOfTheOutputIsRemoved) {
  const duet_testing::TempDir folder;
  for (const char* name : {"out.json.17.0.tmp", "out.json.failures.jsonl.17.1.tmp",
                           "out.json.journal/head.json.17.2.tmp", "out.json.more.17.3.tmp"}) {
    folder.Write(name, "half");
  }
  ASSERT_OK_AND_ASSIGN(const RunFolder run, RunFolder::Lock(folder.path() + "/out.json"));
  std::vector<std::string> left;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder.path())) {
    if (entry.is_regular_file()) left.push_back(entry.path().filename().native());
  }
  EXPECT_THAT(left, ::testing::UnorderedElementsAre("lock", "out.json.more.17.3.tmp"));
}

TEST(RunFolderTest, OneThatBeginsHasNoResultOfAnEarlierOne) {
  const duet_testing::TempDir folder;
  ASSERT_OK_AND_ASSIGN(const RunFolder run, RunFolder::Lock(folder.path() + "/out.json"));
  folder.Write("out.json.journal/manifest", "a\nb\n");
  {
    ASSERT_OK_AND_ASSIGN(Journal journal, Journal::Open(run.path(), run.manifest()));
    duet::bulk::v1::Record record;
    record.mutable_found();
    ASSERT_THAT(journal.Append(record, {.offset = 2, .index = 1}), IsOk());
    ASSERT_THAT(journal.Sync(), IsOk());
  }
  // Its head went first, and then its process was killed.
  ASSERT_THAT(run.WriteHead(SomeHead()), IsOk());
  ASSERT_OK_AND_ASSIGN(const Journal journal, Journal::Open(run.path(), run.manifest()));
  EXPECT_EQ(journal.place().index, 0U);
}

// What is left by a process that is killed at any moment of it must not look like a run.
TEST(RunFolderTest, WhenItIsRemovedItsHeadGoesFirst) {
  const duet_testing::TempDir folder;
  ASSERT_OK_AND_ASSIGN(const RunFolder run, RunFolder::Lock(folder.path() + "/out.json"));
  for (const char* name : {"manifest", "journal", "checkpoint", "kernel_plan"}) {
    folder.Write(std::string("out.json.journal/") + name, "x");
  }
  ASSERT_THAT(run.WriteHead(SomeHead()), IsOk());
  const int removed = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  ASSERT_GE(inotify_add_watch(removed, run.path().c_str(), IN_DELETE), 0);

  run.Remove();

  alignas(inotify_event) std::array<char, 4096> events = {};
  EXPECT_GE(read(removed, events.data(), events.size()),
            static_cast<ssize_t>(sizeof(inotify_event)));
  close(removed);
  EXPECT_STREQ(reinterpret_cast<const inotify_event*>(events.data())->name, "head.json");
}

}  // namespace
}  // namespace bulk
