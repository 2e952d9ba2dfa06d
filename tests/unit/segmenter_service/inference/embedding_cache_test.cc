#include "segmenter_service/inference/embedding_cache.h"

#include <gtest/gtest.h>

namespace segmenter {
namespace {

constexpr std::size_t kFloats = 1000;

std::shared_ptr<const ImageEmbedding> EmbeddingOf(std::size_t floats = kFloats) {
  const FeatureShape shape{1, 1, static_cast<std::int64_t>(floats)};
  return std::make_shared<ImageEmbedding>(
      InputGeometry{}, Embedding{{{shape, std::vector<std::byte>(shape.bytes())}}});
}

TEST(EmbeddingCacheTest, OverBudgetDropsTheLeastRecentlyUsed) {
  EmbeddingCache cache(2 * EmbeddingOf()->bytes());
  cache.Insert("cat", EmbeddingOf());
  cache.Insert("dog", EmbeddingOf());
  ASSERT_NE(cache.Find("cat"), nullptr);  // a use, which leaves "dog" the oldest

  cache.Insert("bus", EmbeddingOf());

  EXPECT_NE(cache.Find("cat"), nullptr);
  EXPECT_EQ(cache.Find("dog"), nullptr);
  EXPECT_NE(cache.Find("bus"), nullptr);
}

TEST(EmbeddingCacheTest, WhatCannotFitIsNotKeptAndPushesNothingOut) {
  EmbeddingCache cache(EmbeddingOf()->bytes());
  cache.Insert("cat", EmbeddingOf());

  cache.Insert("panorama", EmbeddingOf(2 * kFloats));

  EXPECT_EQ(cache.Find("panorama"), nullptr);
  EXPECT_NE(cache.Find("cat"), nullptr);
}

TEST(EmbeddingCacheTest, ReplacingCountsBytesOnce) {
  EmbeddingCache cache(2 * EmbeddingOf()->bytes());

  cache.Insert("cat", EmbeddingOf());
  cache.Insert("cat", EmbeddingOf());

  EXPECT_EQ(cache.held_bytes(), EmbeddingOf()->bytes());
}

TEST(EmbeddingCacheTest, HeldByACallerSurvivesEviction) {
  EmbeddingCache cache(EmbeddingOf()->bytes());
  cache.Insert("cat", EmbeddingOf());
  const std::shared_ptr<const ImageEmbedding> held = cache.Find("cat");

  cache.Insert("dog", EmbeddingOf());

  EXPECT_EQ(cache.Find("cat"), nullptr);
  EXPECT_EQ(held->features.maps[0].floats().size(), kFloats);
}

}  // namespace
}  // namespace segmenter
