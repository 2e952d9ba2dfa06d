// duet merge over very many images: what it takes doesn't grow with them.
#include <gmock/gmock.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <string>

#include "bulk/journal.h"
#include "bulk/manifest.h"
#include "bulk/prepared_manifest.h"
#include "bulk/run_folder.h"
#include "bulk/shard_result.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/subprocess.h"
#include "tests/testing/temp_dir.h"
#include "text/str_cat.h"

namespace bulk {
namespace {

using duet_testing::IsOk;
using ::testing::HasSubstr;
using text::StrCat;

// The result of a shard, with an object on each image, as a run leaves it.
void WriteShard(const PreparedManifest& manifest, const Shard& shard, const std::string& out) {
  ASSERT_OK_AND_ASSIGN(const RunFolder folder, RunFolder::Lock(out));
  ASSERT_OK_AND_ASSIGN(ManifestWriter writer, ManifestWriter::Create(folder.manifest()));
  Head head{.source = manifest.Describe()};
  ASSERT_OK_AND_ASSIGN(head.listing,
                       manifest.List(shard, [&](std::string_view name, std::string_view id) {
                         writer.Add(name, id);
                       }));
  ASSERT_THAT(writer.Commit(), IsOk());
  head.detector = std::make_shared<backends::DetectorModel>(
      backends::DetectorModel{.name = "rtmdet", .version = "d1", .classes = {"cat"}});
  ASSERT_OK_AND_ASSIGN(Journal journal, Journal::Open(folder.path(), folder.manifest()));
  ASSERT_OK_AND_ASSIGN(ManifestReader items, ManifestReader::Open(folder.manifest(), {}));
  duet::bulk::v1::Record record;
  record.mutable_found()->set_width(320);
  record.mutable_found()->set_height(240);
  auto& object = *record.mutable_found()->add_objects();
  object.set_score(0.5);
  for (const float at : {10.F, 20.F, 30.F, 40.F}) object.add_box(at);
  for (std::uint64_t i = 0; i < head.listing.images; ++i) {
    record.set_index(i);
    ASSERT_THAT(items.Next(), IsOk());
    ASSERT_THAT(journal.Append(record, items.place()), IsOk());
  }
  const ShardIdentity identity = {.manifest = manifest.id(),
                                  .source = manifest.Describe(),
                                  .manifest_images = manifest.listing().images,
                                  .shard = shard};
  const Results results{
      .folder = folder, .head = head, .count = head.listing.images, .totals = journal.totals()};
  dataset::Findings findings;
  ASSERT_THAT(WriteShardResult(results, {.out = out, .shard = &identity}, &findings), IsOk());
  folder.Remove();
}

// DUET_BULK_IMAGES=10000000 measures it, in a thousand shards.
TEST(MergeCommandTest, PutsManyShardsTogether) {
  const char* const wanted = std::getenv("DUET_BULK_IMAGES");
  const std::uint64_t images = wanted == nullptr ? 20'000 : std::strtoull(wanted, nullptr, 10);
  const std::uint64_t shards = std::min<std::uint64_t>(1000, images / 1000);
  const duet_testing::TempDir folder;
  {
    std::ofstream list(folder.path() + "/list.txt");
    for (std::uint64_t i = 0; i < images; ++i) list << "folder/" << i << ".jpg\n";
  }
  const std::string manifest = folder.path() + "/all.manifest";
  ASSERT_THAT(PreparedManifest::Write({.sources = {folder.path() + "/list.txt"}}, manifest),
              IsOk());
  ASSERT_OK_AND_ASSIGN(const auto prepared, PreparedManifest::Open(manifest));
  const std::string results = folder.path() + "/results";
  std::filesystem::create_directory(results);
  for (std::uint64_t i = 0; i < shards; ++i) {
    const Shard shard{.index = i, .count = shards};
    WriteShard(*prepared, shard, StrCat(results, "/", ShardFileName(shard)));
  }
  const auto begun = std::chrono::steady_clock::now();
  duet_testing::Subprocess command(
      {DUET_COMMAND, "merge", results, "--out=" + folder.path() + "/found.json"});
  const int code = command.Wait(/*seconds=*/600);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begun;

  EXPECT_EQ(code, 0) << command.err();
  EXPECT_THAT(command.out(), HasSubstr(StrCat(images, " images, ", images, " objects")));
  rusage usage = {};
  getrusage(RUSAGE_CHILDREN, &usage);
  EXPECT_LT(usage.ru_maxrss, 200 * 1024) << "KiB";  // as the other commands over as many images
  if (wanted != nullptr) {
    std::cout << shards << " shards of " << images << " images: " << seconds.count() << " s, "
              << usage.ru_maxrss / 1024 << " MiB\n";
  }
}

}  // namespace
}  // namespace bulk
