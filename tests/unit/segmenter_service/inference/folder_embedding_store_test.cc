#include "segmenter_service/inference/folder_embedding_store.h"

#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "segmenter_service/inference/stores_from_urls.h"
#include "tests/testing/log_capture.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace segmenter {
namespace {

namespace fs = std::filesystem;
using duet_testing::IsOk;
using duet_testing::StatusIs;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

NetworkSpec Spec(std::int64_t side = 4) {
  NetworkSpec spec;
  spec.image_size = 64;
  spec.embedding = {{8, side, side}};
  return spec;
}

ImageEmbedding Embedding(float value, std::int64_t side = 4) {
  const FeatureShape shape{8, side, side};
  const std::vector<float> values(shape.bytes() / sizeof(float), value);
  std::vector<std::byte> bytes(shape.bytes());
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return {FitInput({20, 10}, 64, Framing::kLongestSide), {{{shape, std::move(bytes)}}}};
}

float ValueOf(const ImageEmbedding& embedding) { return embedding.features.maps[0].floats()[0]; }

class FolderEmbeddingStoreTest : public testing::Test {
 protected:
  std::unique_ptr<FolderEmbeddingStore> Open(std::int64_t budget_bytes = 1 << 20) {
    auto store = FolderEmbeddingStore::Open(
        {.folder = folder_, .budget_bytes = budget_bytes, .max_pixels = 1000}, metrics_);
    EXPECT_THAT(store, IsOk());
    return *std::move(store);
  }
  double Count(const char* outcome) { return metrics_.Get(kEmbeddingFiles, {outcome}).Value(); }
  std::vector<std::string> Files() const {
    std::vector<std::string> files;
    for (const auto& entry : fs::recursive_directory_iterator(folder_)) {
      if (entry.is_regular_file()) files.push_back(fs::relative(entry.path(), folder_).string());
    }
    std::sort(files.begin(), files.end());
    return files;
  }
  void UsedBefore(const std::string& file, std::chrono::hours age) {
    fs::last_write_time(folder_ + "/" + file, fs::file_time_type::clock::now() - age);
  }

  const duet_testing::TempDir temp_;
  const std::string folder_ = temp_.path() + "/embeddings";
  serving::Metrics metrics_;
};

TEST_F(FolderEmbeddingStoreTest, WhatWasKeptIsThereAfterARestart) {
  {
    const auto store = Open();
    EXPECT_EQ(store->Find("encoder/abc", Spec()), nullptr);
    store->Insert("encoder/abc", Embedding(2.5F));
  }  // writes what waits
  const auto store = Open();

  const auto found = store->Find("encoder/abc", Spec());

  ASSERT_NE(found, nullptr);
  EXPECT_EQ(ValueOf(*found), 2.5F);
  EXPECT_EQ(found->geometry.original, (vision::Size{20, 10}));
  EXPECT_EQ(store->Find("other-encoder/abc", Spec()), nullptr);
  EXPECT_THAT(Files(), ElementsAre("encoder/ab/abc.embedding"));
}

TEST_F(FolderEmbeddingStoreTest, WhoKeepsKnowsThatItIsThereOrThatItCannotBe) {
  const auto store = Open();
  const std::string path = folder_ + "/encoder/ab/abc.embedding";
  ASSERT_THAT(store->Keep("encoder/abc", Embedding(2.5F), absl::InfiniteFuture()), IsOk());
  EXPECT_EQ(fs::file_size(path), FolderEmbeddingStore::FileBytes(Spec()));
  ASSERT_NE(store->Find("encoder/abc", Spec()), nullptr);
  EXPECT_THAT(store->Keep("encoder/abc", Embedding(2.5F), absl::InfiniteFuture()), IsOk());
  EXPECT_EQ(Count("written"), 1) << "it was there";

  // What is half there isn't.
  fs::resize_file(path, 100);
  EXPECT_THAT(store->Keep("encoder/abc", Embedding(2.5F), absl::InfiniteFuture()), IsOk());
  EXPECT_NE(store->Find("encoder/abc", Spec()), nullptr);

  fs::remove_all(folder_);
  temp_.Write("embeddings", "a file, so that no folder can be made");
  EXPECT_THAT(store->Keep("encoder/def", Embedding(1), absl::InfiniteFuture()),
              StatusIs(absl::StatusCode::kAborted, HasSubstr("could not be kept")));
}

TEST_F(FolderEmbeddingStoreTest, WhoKeepsWaitsForRoomInsteadOfBeingDropped) {
  auto opened = FolderEmbeddingStore::Open(
      {.folder = folder_, .budget_bytes = 1 << 20, .max_pixels = 1000, .most_waiting_bytes = 1},
      metrics_);
  ASSERT_THAT(opened, IsOk());
  FolderEmbeddingStore& store = **opened;
  std::vector<std::thread> keepers;
  for (int i = 0; i < 20; ++i) {
    keepers.emplace_back([&store, i] {
      EXPECT_THAT(
          store.Keep("encoder/" + std::to_string(100 + i), Embedding(1), absl::InfiniteFuture()),
          IsOk());
    });
  }
  for (std::thread& keeper : keepers) keeper.join();
  EXPECT_THAT(Files(), SizeIs(20));
  EXPECT_EQ(Count("dropped"), 0);
}

TEST_F(FolderEmbeddingStoreTest, AFileThatIsAskedForManyTimesAtOnceIsOne) {
  const auto store = Open();
  for (int i = 0; i < 40; ++i) store->Insert("encoder/abc", Embedding(1));
  store->Flush();
  EXPECT_THAT(Files(), SizeIs(1));
  EXPECT_EQ(metrics_.Get(kEmbeddingFolderBytes).Value(),
            static_cast<double>(FolderEmbeddingStore::FileBytes(Spec())));
}

TEST_F(FolderEmbeddingStoreTest, NoKeyLeavesTheFolder) {
  const auto store = Open();
  for (const char* key : {"../../evil", "/etc/passwd", "a/b/../../..", "..", "", "a/", "/", "x/\n",
                          "encoder/.hidden"}) {
    store->Insert(key, Embedding(1));
    store->Flush();
    EXPECT_NE(store->Find(key, Spec()), nullptr) << key;
  }
  for (const auto& entry : fs::directory_iterator(temp_.path())) {
    EXPECT_EQ(entry.path(), folder_);
  }
}

TEST_F(FolderEmbeddingStoreTest, WhatIsDamagedIsRemovedAndNeverUsed) {
  const duet_testing::LogCapture log;
  const auto store = Open();
  const std::string path = folder_ + "/encoder/ab/abc.embedding";
  const auto damage = [&](const std::function<void(std::string*)>& change) {
    store->Insert("encoder/abc", Embedding(1));
    store->Flush();
    std::string bytes = duet_testing::ReadFile(path);
    change(&bytes);
    temp_.Write("embeddings/encoder/ab/abc.embedding", bytes);
  };
  const std::function<void(std::string*)> kDamages[] = {
      [](std::string* bytes) { bytes->clear(); },
      [](std::string* bytes) { bytes->resize(bytes->size() / 2); },
      [](std::string* bytes) { (*bytes)[bytes->size() / 2] ^= 1; },
      [](std::string* bytes) { bytes->back() ^= 1; },
      [](std::string* bytes) { bytes->append(100'000, 'x'); },
  };
  for (const auto& change : kDamages) {
    damage(change);
    EXPECT_EQ(store->Find("encoder/abc", Spec()), nullptr);
    EXPECT_FALSE(fs::exists(path));
  }
  // Whole, but of a network with other maps.
  store->Insert("encoder/abc", Embedding(1, 2));
  store->Flush();
  EXPECT_EQ(store->Find("encoder/abc", Spec(4)), nullptr);

  EXPECT_EQ(Count("damaged"), 6);
  EXPECT_THAT(log.lines("embedding_store.refused"), SizeIs(6));
  store->Insert("encoder/abc", Embedding(3));
  store->Flush();
  EXPECT_NE(store->Find("encoder/abc", Spec()), nullptr);
}

TEST_F(FolderEmbeddingStoreTest, AboveTheBudgetThoseGoThatWereUsedLongestAgo) {
  constexpr std::int64_t kFile = 8 * 4 * 4 * 4 + 36 + 32;  // values, header, checksum
  const auto store = Open(4 * kFile);
  for (const char* image : {"aaa", "bbb", "ccc", "ddd"}) {
    store->Insert(std::string("encoder/") + image, Embedding(1));
  }
  store->Flush();
  ASSERT_THAT(Files(), SizeIs(4));
  ASSERT_EQ(fs::file_size(folder_ + "/encoder/aa/aaa.embedding"), kFile);
  UsedBefore("encoder/aa/aaa.embedding", std::chrono::hours(9));
  UsedBefore("encoder/bb/bbb.embedding", std::chrono::hours(7));
  UsedBefore("encoder/cc/ccc.embedding", std::chrono::hours(8));
  UsedBefore("encoder/dd/ddd.embedding", std::chrono::hours(6));
  ASSERT_NE(store->Find("encoder/aaa", Spec()), nullptr) << "uses it";

  store->Insert("encoder/eee", Embedding(1));
  store->Flush();

  EXPECT_THAT(Files(), ElementsAre("encoder/aa/aaa.embedding", "encoder/dd/ddd.embedding",
                                   "encoder/ee/eee.embedding"));
  EXPECT_EQ(Count("evicted"), 2);
  EXPECT_EQ(metrics_.Get(kEmbeddingFolderBytes).Value(), 3 * kFile);
}

TEST_F(FolderEmbeddingStoreTest, AtTheStartTheFolderIsBroughtBelowTheBudget) {
  {
    const auto store = Open();
    for (int i = 10; i < 30; ++i) store->Insert("e/" + std::to_string(i), Embedding(1));
  }
  temp_.Write("embeddings/e/10/10.embedding.17.0.tmp", "somebody was killed");
  temp_.Write("embeddings/e/11/11.embedding.17.0.tmp", "somebody writes");
  UsedBefore("e/10/10.embedding.17.0.tmp", std::chrono::hours(2));
  const std::vector<std::string> foreign = {"old.tmp",      "a.embedding",
                                            "e/README",     "e/old.tmp",
                                            "e/10/old.tmp", "photos/2026/old.embedding"};
  for (const std::string& file : foreign) {
    temp_.Write("embeddings/" + file, std::string(9000, 'x'));
    UsedBefore(file, std::chrono::hours(24 * 365));
  }

  Open(5000)->Flush();

  std::int64_t bytes = 0;
  for (const std::string& file : Files()) {
    if (file.starts_with("e/") && file.ends_with(".embedding")) {
      bytes += fs::file_size(folder_ + "/" + file);
    }
  }
  EXPECT_GT(bytes, 3000);
  EXPECT_LE(bytes, 5000);
  EXPECT_FALSE(fs::exists(folder_ + "/e/10/10.embedding.17.0.tmp"));
  EXPECT_TRUE(fs::exists(folder_ + "/e/11/11.embedding.17.0.tmp"));
  for (const std::string& file : foreign) {
    EXPECT_TRUE(fs::exists(folder_ + "/" + file)) << file << " isn't ours";
  }
}

TEST_F(FolderEmbeddingStoreTest, WhatCannotBeReadStays) {
  const auto store = Open();
  // Links in a circle: reading fails, as it does on a network volume that is away (ELOOP, ESTALE).
  fs::create_directories(folder_ + "/encoder/ab");
  fs::create_symlink("loop.embedding", folder_ + "/encoder/ab/loop.embedding");
  fs::rename(folder_ + "/encoder/ab/loop.embedding", folder_ + "/encoder/ab/abc.embedding");
  fs::create_symlink("abc.embedding", folder_ + "/encoder/ab/loop.embedding");

  EXPECT_EQ(store->Find("encoder/abc", Spec()), nullptr);

  EXPECT_TRUE(fs::is_symlink(folder_ + "/encoder/ab/abc.embedding"));
  EXPECT_EQ(Count("unreadable"), 1);
  EXPECT_EQ(Count("damaged"), 0);
}

TEST_F(FolderEmbeddingStoreTest, AFolderThatFailsIsOneLineUntilItIsBack) {
  const duet_testing::LogCapture log;
  const auto store = Open();
  store->Flush();
  fs::remove(folder_);
  temp_.Write("embeddings", "a file, so that no folder can be made");

  store->Insert("encoder/abc", Embedding(1));
  store->Insert("encoder/def", Embedding(1));
  store->Flush();

  EXPECT_EQ(Count("failed"), 2);
  EXPECT_THAT(log.lines("embedding_store.down"), SizeIs(1));
  EXPECT_EQ(store->Find("encoder/abc", Spec()), nullptr);
  fs::remove(folder_);
  store->Insert("encoder/abc", Embedding(1));
  store->Flush();
  EXPECT_THAT(log.lines("embedding_store.up"), SizeIs(1));
  EXPECT_NE(store->Find("encoder/abc", Spec()), nullptr);
}

TEST_F(FolderEmbeddingStoreTest, TheStoresAreThoseOfTheUrlsInTheirOrder) {
  const std::string first = temp_.path() + "/first";
  const std::string second = temp_.path() + "/second";
  const StoreOptions options = {.folder_bytes = 1 << 20, .max_pixels = 1000};
  {
    ASSERT_OK_AND_ASSIGN(const auto alone, StoresFromUrls("file://" + second, options, metrics_));
    alone->Insert("encoder/abc", Embedding(1));
  }
  {
    ASSERT_OK_AND_ASSIGN(const auto both, StoresFromUrls("file://" + first + ",file://" + second,
                                                         options, metrics_));
    EXPECT_NE(both->Find("encoder/abc", Spec()), nullptr);
    both->Insert("encoder/def", Embedding(1));
    EXPECT_THAT(both->Keep("encoder/fed", Embedding(1), absl::InfiniteFuture()), IsOk());
    EXPECT_EQ(both->retention().budget_bytes, 1 << 20);
  }
  EXPECT_TRUE(fs::exists(first + "/encoder/fe/fed.embedding"));
  EXPECT_TRUE(fs::exists(second + "/encoder/fe/fed.embedding"));
  EXPECT_TRUE(fs::exists(first + "/encoder/ab/abc.embedding")) << "found behind, kept in front";
  EXPECT_TRUE(fs::exists(first + "/encoder/de/def.embedding"));
  EXPECT_TRUE(fs::exists(second + "/encoder/de/def.embedding"));

  ASSERT_OK_AND_ASSIGN(const auto none, StoresFromUrls("", options, metrics_));
  EXPECT_EQ(none, nullptr);
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
  EXPECT_THAT(StoresFromUrls("http://x", options, metrics_), StatusIs(kInvalid));
  EXPECT_THAT(StoresFromUrls("file://relative", options, metrics_),
              StatusIs(kInvalid, HasSubstr("needed is file:///FOLDER")));
  EXPECT_THAT(StoresFromUrls("file://" + temp_.path() + "/no/such", options, metrics_),
              StatusIs(kInvalid, HasSubstr("/no/such: No such file or directory")));
  const std::string file = temp_.Write("file", "x");
  EXPECT_THAT(StoresFromUrls("file://" + file, options, metrics_), StatusIs(kInvalid));
}

}  // namespace
}  // namespace segmenter
