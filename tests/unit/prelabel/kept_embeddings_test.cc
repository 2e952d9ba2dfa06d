#include "prelabel/kept_embeddings.h"

#include <gmock/gmock.h>

#include "tests/testing/status_matchers.h"

namespace prelabel {
namespace {

using duet_testing::IsOk;
using duet_testing::StatusIs;
using ::testing::HasSubstr;

TEST(KeptEmbeddingsTest, TheSentenceSaysHowMuchRoomTheyTake) {
  backends::SegmenterModel sam{.name = "sam-vit-b", .embedding_bytes = 4'194'400};
  EXPECT_EQ(EmbeddingSentence(sam, 10'000, 9'000), "9000 images to embed: 37.7 GB, 4.2 MB each");
  sam.store = backends::EmbeddingStore{.budget_bytes = 50'000'000'000};
  EXPECT_EQ(EmbeddingSentence(sam, 10'000, 10'000),
            "10000 images to embed: 41.9 GB, 4.2 MB each, in a store of 50.0 GB");
  sam.store = backends::EmbeddingStore{.kept_for_s = 86'400};
  EXPECT_EQ(EmbeddingSentence(sam, 100, 100),
            "100 images to embed: 419.4 MB, 4.2 MB each, kept for 24h (--embedding_store_ttl_s)");
}

TEST(KeptEmbeddingsTest, TheSentenceSaysWhenThereIsTooLittleRoomForAll) {
  const backends::SegmenterModel sam{
      .name = "sam-vit-b",
      .embedding_bytes = 4'000'000,
      .store = backends::EmbeddingStore{.budget_bytes = 20'000'000'000}};
  EXPECT_EQ(EmbeddingSentence(sam, 5'000, 5'000),
            "5000 images to embed: 20.0 GB, 4.0 MB each, in a store of 20.0 GB");
  EXPECT_THAT(EmbeddingSentence(sam, 5'001, 100),
              HasSubstr("; all 5001 take 20.0 GB, so that the first are gone"));
}

TEST(KeptEmbeddingsTest, ASegmenterWithoutAStoreKeepsNone) {
  backends::SegmenterModel sam{.name = "sam-vit-b"};
  EXPECT_THAT(CheckKeepsEmbeddings(sam),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("sam-vit-b")));
  sam.store.emplace();
  EXPECT_THAT(CheckKeepsEmbeddings(sam), IsOk());
}

}  // namespace
}  // namespace prelabel
