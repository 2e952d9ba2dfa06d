#include "backends/detours.h"

#include <gtest/gtest.h>

namespace backends {
namespace {

using std::chrono::minutes;

TEST(DetoursTest, RemembersTheLatest) {
  Detours detours;
  EXPECT_EQ(detours.Find("cat"), "");
  detours.Put("cat", "a:1");
  detours.Put("cat", "b:1");
  EXPECT_EQ(detours.Find("cat"), "b:1");
  EXPECT_EQ(detours.size(), 1U);
  detours.Erase("cat");
  EXPECT_EQ(detours.Find("cat"), "");
}

TEST(DetoursTest, ForgetsTheOldestBeyondItsCapacity) {
  Detours detours(/*capacity=*/2);
  detours.Put("cat", "a:1");
  detours.Put("dog", "a:1");
  detours.Put("cat", "a:1");  // now "dog" is the oldest
  detours.Put("bus", "a:1");

  EXPECT_EQ(detours.Find("dog"), "");
  EXPECT_EQ(detours.Find("cat"), "a:1");
  EXPECT_EQ(detours.size(), 2U);
}

TEST(DetoursTest, ForgetsWhatIsOld) {
  Detours detours(/*capacity=*/10, /*age=*/minutes(10));
  const Detours::Clock::time_point start;
  detours.Put("cat", "a:1", start);

  EXPECT_EQ(detours.Find("cat", start + minutes(10)), "a:1");
  EXPECT_EQ(detours.Find("cat", start + minutes(11)), "");
  detours.Put("dog", "a:1", start + minutes(11));
  EXPECT_EQ(detours.size(), 1U);
}

}  // namespace
}  // namespace backends
