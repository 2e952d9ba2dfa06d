#include "containers/lru.h"

#include <gtest/gtest.h>

namespace gateway {
namespace {

TEST(LruTest, OfTooManyEntriesTheLeastRecentlyUsedGoes) {
  containers::Lru<int> lru(/*max_entries=*/2, /*max_bytes=*/1 << 20);
  lru.Insert("a", 1, 10);
  lru.Insert("b", 2, 10);
  ASSERT_NE(lru.Find("a"), nullptr);  // a use: "b" is now the oldest

  lru.Insert("c", 3, 10);

  EXPECT_EQ(*lru.Find("a"), 1);
  EXPECT_EQ(lru.Find("b"), nullptr);
  EXPECT_EQ(*lru.Find("c"), 3);
}

TEST(LruTest, TheBytesAreBoundedKeysIncluded) {
  containers::Lru<int> lru(/*max_entries=*/1000, /*max_bytes=*/10'000);
  for (int i = 0; i < 100; ++i) lru.Insert(std::string(1000, 'k') + std::to_string(i), i, 0);

  EXPECT_LE(lru.bytes(), 10'000u);
  EXPECT_GE(lru.size(), 2u);
  EXPECT_LE(lru.size(), 5u);
}

TEST(LruTest, ReplacingAndErasingGiveTheirBytesBack) {
  containers::Lru<int> lru(/*max_entries=*/10, /*max_bytes=*/1 << 20);
  lru.Insert("a", 1, 1000);
  lru.Insert("a", 2, 10);
  EXPECT_EQ(*lru.Find("a"), 2);
  EXPECT_LT(lru.bytes(), 1000u);

  lru.Erase("a");
  lru.Erase("a");

  EXPECT_EQ(lru.bytes(), 0u);
  EXPECT_EQ(lru.size(), 0u);
}

TEST(LruTest, WhatIsLargerThanTheWholeIsNotKeptAndTheRestIs) {
  containers::Lru<int> lru(/*max_entries=*/10, /*max_bytes=*/1000);
  lru.Insert("a", 1, 10);

  lru.Insert("huge", 2, 2000);

  EXPECT_EQ(lru.Find("huge"), nullptr);
  EXPECT_EQ(*lru.Find("a"), 1);
}

}  // namespace
}  // namespace gateway
