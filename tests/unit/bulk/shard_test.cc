// Runs that are cut into shards: the manifest's parts, the shards' results, and their merge.
#include "bulk/shard.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "bulk/manifest.h"
#include "bulk/merge.h"
#include "bulk/prepared_manifest.h"
#include "bulk/run_folder.h"
#include "bulk/shard_result.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"
#include "text/str_cat.h"

namespace bulk {
namespace {

using duet_testing::IsOk;
using duet_testing::ReadFile;
using duet_testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using text::StrCat;

TEST(ParseShardTest, IsANumberOrThatOfAJob) {
  ASSERT_OK_AND_ASSIGN(const Shard plain, ParseShard("3/8", nullptr));
  EXPECT_EQ(ShardText(plain), "3/8");
  EXPECT_EQ(ShardFileName(plain), "00003-of-00008.shard");
  ASSERT_OK_AND_ASSIGN(const Shard of_job, ParseShard("job/8", "7"));
  EXPECT_EQ(ShardText(of_job), "7/8");
  const auto is_refused = [](std::string_view sentence) {
    return StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(std::string(sentence)));
  };
  EXPECT_THAT(ParseShard("job/8", nullptr), is_refused("JOB_COMPLETION_INDEX isn't set"));
  EXPECT_THAT(ParseShard("job/8", "8"),
              is_refused("--shard=job/8 with JOB_COMPLETION_INDEX=8: needed: I/N"));
  for (const char* wrong : {"", "3", "8/8", "-1/8", "1/0", "a/8", "1/8/9", "0/1000001"}) {
    EXPECT_THAT(ParseShard(wrong, "0"), is_refused("needed: I/N with I from 0 to N-1")) << wrong;
  }
}

class ShardsTest : public ::testing::Test {
 protected:
  std::string At(std::string_view name) const { return StrCat(folder_.path(), "/", name); }

  // Lists images of these names into a manifest.
  std::unique_ptr<PreparedManifest> Prepare(const std::vector<std::string>& names,
                                            const std::string& at = "all.manifest",
                                            const std::string& root = "/data") const {
    std::string list;
    for (const std::string& name : names) list += name + std::string(1, '\0');
    const std::string source = folder_.Write("list.txt", list);
    EXPECT_THAT(PreparedManifest::Write({.sources = {source}, .images = root}, At(at)), IsOk());
    auto manifest = PreparedManifest::Open(At(at));
    EXPECT_THAT(manifest, IsOk());
    return *std::move(manifest);
  }
  static std::vector<std::string> NamesOf(const PreparedManifest& manifest, const Shard& shard) {
    std::vector<std::string> names;
    const auto listing = manifest.List(
        shard, [&](std::string_view name, std::string_view) { names.emplace_back(name); });
    EXPECT_THAT(listing, IsOk());
    EXPECT_EQ(listing->images, names.size());
    return names;
  }

  const duet_testing::TempDir folder_;
};

std::vector<std::string> Names(int count) {
  std::vector<std::string> names;
  // Of very different lengths, with line ends and bytes that aren't UTF-8.
  for (int i = 0; i < count; ++i)
    names.push_back(StrCat(i, "\n\t%\xff", std::string(i * i % 97, 'x')));
  return names;
}

TEST_F(ShardsTest, EveryImageIsInOneShardAndInOrder) {
  const std::vector<std::string> names = Names(100);
  const auto manifest = Prepare(names);
  EXPECT_EQ(manifest->listing().images, 100U);
  EXPECT_EQ(manifest->listing().root, "/data");
  for (std::uint64_t count = 1; count < 300; count = count * 5 / 4 + 1) {
    std::vector<std::string> together;
    for (std::uint64_t i = 0; i < count; ++i) {
      const auto part = NamesOf(*manifest, {.index = i, .count = count});
      together.insert(together.end(), part.begin(), part.end());
    }
    EXPECT_EQ(together, names) << count;
  }
}

TEST_F(ShardsTest, ABorderThatIsALinesBeginningBelongsToTheNext) {
  const auto manifest = Prepare({"a", "b", "c", "d"});  // two bytes a line
  EXPECT_THAT(NamesOf(*manifest, {.index = 0, .count = 2}), ElementsAre("a", "b"));
  EXPECT_THAT(NamesOf(*manifest, {.index = 1, .count = 2}), ElementsAre("c", "d"));
}

TEST_F(ShardsTest, AShardReadsItsOwnLinesAlone) {
  Prepare({"a", "b", "c", "d"});
  std::string bytes = ReadFile(At("all.manifest"));
  bytes[4] = '\n';  // instead of "c"
  const auto damaged = PreparedManifest::Open(folder_.Write("damaged.manifest", bytes));
  ASSERT_THAT(damaged, IsOk());
  EXPECT_THAT(NamesOf(**damaged, {.index = 0, .count = 2}), ElementsAre("a", "b"));
  EXPECT_THAT((*damaged)->List({.index = 1, .count = 2}, [](std::string_view, std::string_view) {}),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("a line without a name")));
}

TEST_F(ShardsTest, AManifestIsKnownByWhatItLists) {
  const std::string id = Prepare({"a", "b"})->id();
  EXPECT_EQ(Prepare({"a", "b"}, "again.manifest")->id(), id);
  EXPECT_NE(Prepare({"b", "a"}, "other.manifest")->id(), id);
  EXPECT_THAT(Prepare({"a", "b"})->Describe(), AllOf(HasSubstr(id), HasSubstr("list.txt")));
}

TEST_F(ShardsTest, ImagesOfTheSameNamesInAnotherFolderAreOthers) {
  const auto id = [&](const std::string& name, const std::string& root) {
    return Prepare({name}, "some.manifest", root)->id();
  };
  EXPECT_NE(id("0001.jpg", "/day1"), id("0001.jpg", "/day2"));
  // Which folder relative paths would be below says nothing of names that need none.
  EXPECT_EQ(id("/a/0001.jpg", "/day1"), id("/a/0001.jpg", "/day2"));
  EXPECT_EQ(id("s3://a/0001.jpg", "/day1"), id("s3://a/0001.jpg", "/day2"));
}

TEST_F(ShardsTest, AManifestThatIsntWholeIsRefused) {
  Prepare(Names(10));
  const std::string bytes = ReadFile(At("all.manifest"));
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, bytes.size() / 8, bytes.size() - 1}) {
    const std::string path = folder_.Write("cut.manifest", bytes.substr(0, size));
    EXPECT_THAT(PreparedManifest::Open(path),
                StatusIs(absl::StatusCode::kDataLoss,
                         AllOf(HasSubstr("cut.manifest"), HasSubstr("needed: a whole manifest"))))
        << size;
  }
  EXPECT_THAT(PreparedManifest::Open(At("none.manifest")), StatusIs(absl::StatusCode::kNotFound));
}

// Says nothing.
class Silent final : public Reporter {
 public:
  void Progress(const Totals&, std::uint64_t) override {}
  void Failed(const Item&, const duet::bulk::v1::Failure&) override {}
  void Says(std::string_view) override {}
  void Waits(std::string_view) override {}
  void GoesOn(absl::Duration) override {}
};

class MergeTest : public ShardsTest {
 protected:
  static Head HeadOf(const std::string& source, const std::string& version) {
    Head head{.source = source};
    head.detector = std::make_shared<backends::DetectorModel>(
        backends::DetectorModel{.name = "rtmdet", .version = version, .classes = {"cat"}});
    return head;
  }

  // What was found in an image follows from its name; every seventh failed.
  duet::bulk::v1::Record RecordOf(std::uint64_t index, std::string_view name) const {
    duet::bulk::v1::Record record;
    record.set_index(index);
    if (name.size() % 7 == 0) {
      record.mutable_failure()->set_kind("damaged");
      record.mutable_failure()->set_message("damaged");
      return record;
    }
    record.mutable_found()->set_width(100);
    record.mutable_found()->set_height(100);
    auto& object = *record.mutable_found()->add_objects();
    object.set_score(score_);
    for (const float edge : {1.0F, 2.0F, 3.0F + static_cast<float>(name.size()), 4.0F}) {
      object.add_box(edge);
    }
    return record;
  }

  // A complete run over a shard, as a process leaves it; writes it by `write` to options.out.
  void Run(const PreparedManifest& manifest, const Shard& shard, const OutputFormat& format,
           const OutputOptions& options, const std::string& version = "d1") {
    ASSERT_OK_AND_ASSIGN(const RunFolder folder, RunFolder::Lock(options.out));
    ASSERT_OK_AND_ASSIGN(ManifestWriter writer, ManifestWriter::Create(folder.manifest()));
    ASSERT_OK_AND_ASSIGN(const Listing listing,
                         manifest.List(shard, [&](std::string_view name, std::string_view id) {
                           writer.Add(name, id);
                         }));
    ASSERT_THAT(writer.Commit(), IsOk());
    Head head = HeadOf(manifest.Describe(), version);
    head.listing = listing;
    ASSERT_THAT(folder.WriteHead(head), IsOk());
    ASSERT_OK_AND_ASSIGN(Journal journal, Journal::Open(folder.path(), folder.manifest()));
    ASSERT_OK_AND_ASSIGN(ManifestReader items, ManifestReader::Open(folder.manifest(), {}));
    for (std::uint64_t i = 0; i < listing.images; ++i) {
      ASSERT_OK_AND_ASSIGN(const std::optional<Item> item, items.Next());
      ASSERT_THAT(journal.Append(RecordOf(i, item->name), items.place()), IsOk());
    }
    ASSERT_THAT(journal.Sync(), IsOk());
    RunResult result{.totals = journal.totals()};
    const Results results{
        .folder = folder, .head = head, .count = listing.images, .totals = journal.totals()};
    Silent reporter;
    ASSERT_THAT(FinishRun(format, options, results, reporter, &result), IsOk());
    if (options.shard != nullptr) folder.Remove();
  }
  // Its result, in the folder "results".
  std::string RunShard(const PreparedManifest& manifest, const Shard& shard,
                       const std::string& version = "d1", const std::string& name = "") {
    const ShardIdentity identity = {.manifest = manifest.id(),
                                    .source = manifest.Describe(),
                                    .manifest_images = manifest.listing().images,
                                    .shard = shard};
    std::filesystem::create_directory(At("results"));
    const std::string out = At("results/" + (name.empty() ? ShardFileName(shard) : name));
    Run(manifest, shard, {.name = "shard", .write = WriteShardResult},
        {.out = out, .shard = &identity}, version);
    return out;
  }
  void RunAll(const PreparedManifest& manifest, std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) RunShard(manifest, {.index = i, .count = count});
  }
  absl::StatusOr<RunResult> Merge(const std::string& out = "merged.json") const {
    Silent reporter;
    return MergeShards({.results = At("results"),
                        .output = {.out = At(out), .patience = {}},
                        .format = FindOutputFormat("coco")},
                       reporter);
  }
  float score_ = 0.5F;  // of all objects
  void ExpectSameRun(const std::string& merged, const std::string& single) const {
    for (const char* file : {"", ".failures.jsonl", ".journal/manifest", ".journal/journal",
                             ".journal/checkpoint", ".journal/head.json"}) {
      EXPECT_EQ(ReadFile(At(merged + file)), ReadFile(At(single + file))) << file;
    }
  }
};

TEST_F(MergeTest, ManyShardsAreASingleRunByteForByte) {
  const auto manifest = Prepare(Names(12));
  Run(*manifest, {}, *FindOutputFormat("coco"), {.out = At("single.json")});
  RunAll(*manifest, 14);  // some have no image
  ASSERT_OK_AND_ASSIGN(const RunResult result, Merge());
  EXPECT_EQ(result.totals.images, 12U);
  EXPECT_GT(result.totals.failed(), 0U);
  ExpectSameRun("merged.json", "single.json");
}

TEST_F(MergeTest, OneThatWasInterruptedGoesOn) {
  const auto manifest = Prepare(Names(50));
  Run(*manifest, {}, *FindOutputFormat("coco"), {.out = At("single.json")});
  RunAll(*manifest, 3);
  ASSERT_THAT(Merge(), IsOk());
  // As a process leaves it that was killed within a record of the second shard.
  const std::string journal = At("merged.json.journal/journal");
  std::filesystem::resize_file(journal, std::filesystem::file_size(journal) / 2);
  std::filesystem::remove(At("merged.json.journal/checkpoint"));
  ASSERT_OK_AND_ASSIGN(const RunResult result, Merge());
  EXPECT_GT(result.before, 10U);
  EXPECT_LT(result.before, 40U);
  ExpectSameRun("merged.json", "single.json");
}

// Its images could not be read, say. The new results are as many, and as long.
TEST_F(MergeTest, AShardThatWasDoneAgainIsMergedAgain) {
  const auto manifest = Prepare(Names(50));
  RunAll(*manifest, 3);
  ASSERT_THAT(Merge(), IsOk());
  ASSERT_OK_AND_ASSIGN(const RunResult same, Merge());
  EXPECT_EQ(same.before, 50U) << "nothing has changed";

  std::filesystem::remove(At("results/00001-of-00003.shard"));
  score_ = 0.75F;
  RunShard(*manifest, {.index = 1, .count = 3});
  ASSERT_OK_AND_ASSIGN(const RunResult again, Merge());

  EXPECT_EQ(again.before, 0U);
  ASSERT_THAT(Merge("fresh.json"), IsOk());
  ExpectSameRun("merged.json", "fresh.json");
  EXPECT_THAT(ReadFile(At("merged.json")), HasSubstr("0.75"));
}

TEST_F(MergeTest, ShardsThatAreMissingAreNamed) {
  const auto manifest = Prepare(Names(50));
  EXPECT_THAT(Merge(), StatusIs(absl::StatusCode::kNotFound, HasSubstr("results")));
  for (const std::uint64_t i : {0, 1, 3}) RunShard(*manifest, {.index = i, .count = 5});
  EXPECT_THAT(Merge(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                HasSubstr("lacks 2 of 5 shards: 00002-of-00005.shard, "
                                          "00004-of-00005.shard")));
  EXPECT_FALSE(std::filesystem::exists(At("merged.json.journal")));
}

TEST_F(MergeTest, AShardThatIsThereTwiceIsNamed) {
  const auto manifest = Prepare(Names(50));
  RunAll(*manifest, 2);
  std::filesystem::copy(At("results/00001-of-00002.shard"), At("results/copy.shard"));
  EXPECT_THAT(Merge(),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("00001-of-00002.shard and copy.shard are both shard 1/2")));
}

TEST_F(MergeTest, AShardOfAnotherRunIsNamed) {
  const auto manifest = Prepare(Names(50));
  RunAll(*manifest, 2);
  const auto expect_foreign = [&](const std::string& path, const std::string& sentence) {
    EXPECT_THAT(Merge(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(sentence)));
    std::filesystem::remove(path);
  };
  expect_foreign(RunShard(*manifest, {.index = 1, .count = 2}, "d2"),
                 "00001-of-00002.shard isn't of the same run as 00000-of-00002.shard: its "
                 "detector's model is d2 instead of d1");
  expect_foreign(RunShard(*manifest, {.index = 2, .count = 3}), "its number of shards is 3");
  const auto other = Prepare(Names(51), "other.manifest");
  expect_foreign(RunShard(*other, {.index = 1, .count = 2}),
                 "its source is manifest " + other->id());
  // An output that was begun of other shards.
  RunShard(*manifest, {.index = 1, .count = 2});
  ASSERT_THAT(Merge(), IsOk());
  std::filesystem::remove_all(At("results"));
  RunAll(*other, 2);
  EXPECT_THAT(Merge(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                HasSubstr("merged.json.journal was begun with something else")));
}

TEST_F(MergeTest, ADamagedShardIsNamed) {
  const auto manifest = Prepare(Names(50));
  RunAll(*manifest, 2);
  const std::string path = At("results/00001-of-00002.shard");
  const std::string whole = ReadFile(path);
  const auto expect_damaged = [&](std::string bytes, const std::string& sentence,
                                  const std::string& named = "00001-of-00002.shard") {
    folder_.Write("results/00001-of-00002.shard", bytes);
    EXPECT_THAT(Merge(), StatusIs(absl::StatusCode::kDataLoss,
                                  AllOf(HasSubstr(named), HasSubstr(sentence))));
    std::filesystem::remove_all(At("merged.json.journal"));
  };
  expect_damaged(whole.substr(0, whole.size() - 1), "behind its first line");
  expect_damaged(whole.substr(0, 20), "its first line is missing");
  for (const char* number : {"\"shards\":1,", "\"shards\":0,", "\"shards\":99999999999999,"}) {
    std::string changed = whole;
    const std::string right = "\"shards\":2,";
    changed.replace(changed.find(right), right.size(), number);
    expect_damaged(changed, "which there can't be");
  }
  const auto with_number = [](std::string bytes, const std::string& name, int change) {
    const std::size_t at = bytes.find(StrCat("\"", name, "\":")) + name.size() + 3;
    const std::size_t end = bytes.find(',', at);
    return bytes.replace(at, end - at, StrCat(std::stoi(bytes.substr(at, end - at)) + change));
  };
  expect_damaged(with_number(whole, "images", 1), "the shards have 51 images together", "results");
  const std::string first = ReadFile(At("results/00000-of-00002.shard"));
  folder_.Write("results/00000-of-00002.shard", with_number(first, "manifest_images", -1));
  expect_damaged(with_number(whole, "images", -1), "it goes on behind its last image");
  folder_.Write("results/00000-of-00002.shard", first);
  const std::size_t list = whole.find('\n') + 3;
  expect_damaged(whole.substr(0, list) + "!" + whole.substr(list + 1), "its list of images");
  expect_damaged(whole.substr(0, whole.size() - 3) + "!" + whole.substr(whole.size() - 2),
                 "it is damaged at image");
}

TEST_F(MergeTest, WhatTheFormatNeedsAndTheShardsLackIsSaid) {
  RunAll(*Prepare(Names(5)), 1);
  Silent reporter;
  const auto merge_as = [&](std::string_view format) {
    return MergeShards({.results = At("results"),
                        .output = {.out = At("merged")},
                        .format = FindOutputFormat(format)},
                       reporter);
  };
  EXPECT_THAT(merge_as("png"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("needs masks, and the shards were made without")));
  EXPECT_THAT(merge_as("label-studio"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("needs --label_config")));
}

TEST_F(MergeTest, AnOutputThatCantBeWrittenIsRefusedFirst) {
  RunAll(*Prepare(Names(5)), 1);
  std::filesystem::create_directory(At("merged.json"));
  EXPECT_THAT(Merge(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                HasSubstr("merged.json is a folder; needed: --out=a file")));
  EXPECT_FALSE(std::filesystem::exists(At("merged.json.journal")));
}

}  // namespace
}  // namespace bulk
