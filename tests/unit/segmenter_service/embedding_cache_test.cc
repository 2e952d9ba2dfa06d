#include "segmenter_service/inference/embedding_cache.h"

#include <gtest/gtest.h>

namespace segmenter {
namespace {

constexpr std::size_t kFloats = 1000;

std::shared_ptr<const ImageEmbedding> Embedding(std::size_t floats = kFloats) {
  return std::make_shared<ImageEmbedding>(InputGeometry{}, std::vector<float>(floats));
}

TEST(EmbeddingCacheTest, OverBudgetDropsTheLeastRecentlyUsed) {
  EmbeddingCache cache(2 * Embedding()->bytes());
  cache.Insert("cat", Embedding());
  cache.Insert("dog", Embedding());
  ASSERT_NE(cache.Find("cat"), nullptr);  // a use, which leaves "dog" the oldest

  cache.Insert("bus", Embedding());

  EXPECT_NE(cache.Find("cat"), nullptr);
  EXPECT_EQ(cache.Find("dog"), nullptr);
  EXPECT_NE(cache.Find("bus"), nullptr);
}

TEST(EmbeddingCacheTest, WhatCannotFitIsNotKeptAndPushesNothingOut) {
  EmbeddingCache cache(Embedding()->bytes());
  cache.Insert("cat", Embedding());

  cache.Insert("panorama", Embedding(2 * kFloats));

  EXPECT_EQ(cache.Find("panorama"), nullptr);
  EXPECT_NE(cache.Find("cat"), nullptr);
}

TEST(EmbeddingCacheTest, ReplacingCountsBytesOnce) {
  EmbeddingCache cache(2 * Embedding()->bytes());

  cache.Insert("cat", Embedding());
  cache.Insert("cat", Embedding());

  EXPECT_EQ(cache.held_bytes(), Embedding()->bytes());
}

TEST(EmbeddingCacheTest, HeldByACallerSurvivesEviction) {
  EmbeddingCache cache(Embedding()->bytes());
  cache.Insert("cat", Embedding());
  const std::shared_ptr<const ImageEmbedding> held = cache.Find("cat");

  cache.Insert("dog", Embedding());

  EXPECT_EQ(cache.Find("cat"), nullptr);
  EXPECT_EQ(held->features.size(), kFloats);
}

}  // namespace
}  // namespace segmenter
