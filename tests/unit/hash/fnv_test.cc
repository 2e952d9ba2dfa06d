#include "hash/fnv.h"

#include <gtest/gtest.h>

namespace hash {
namespace {

// From the authors' test suite (Fowler, Noll, Vo: fnv64a).
static_assert(Fnv1a("") == 0xcbf29ce484222325);
static_assert(Fnv1a("a") == 0xaf63dc4c8601ec8c);
static_assert(Fnv1a("foobar") == 0x85944171f73967e8);

TEST(FnvTest, BytesAboveAsciiAndZeroCount) {
  EXPECT_EQ(Fnv1a(std::string_view("\0", 1)), 0xaf63bd4c8601b7dfu);
  EXPECT_EQ(Fnv1a("\xff"), (0xcbf29ce484222325u ^ 0xff) * 0x100000001b3u);
}

TEST(FnvTest, GoesOnFromTheHashOfWhatStandsBefore) {
  EXPECT_EQ(Fnv1a("bar", Fnv1a("foo")), Fnv1a("foobar"));
}

}  // namespace
}  // namespace hash
