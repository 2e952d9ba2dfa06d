#include "hash/sha256.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>

namespace hash {
namespace {

// The examples of FIPS 180-2.
constexpr char kOfNothing[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
constexpr char kOfAbc[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
constexpr char kTwoBlocks[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
constexpr char kOfTwoBlocks[] = "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1";
constexpr char kOfAMillionA[] = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";

TEST(Sha256Test, EqualsThePublishedExamples) {
  EXPECT_EQ(Sha256Hex(""), kOfNothing);
  EXPECT_EQ(Sha256Hex("abc"), kOfAbc);
  EXPECT_EQ(Sha256Hex(kTwoBlocks), kOfTwoBlocks);
  EXPECT_EQ(Sha256Hex(std::string(1000000, 'a')), kOfAMillionA);
}

TEST(Sha256Test, BytesAndHexDigitsAreTheSameDigest) {
  const Sha256Digest digest = Sha256("abc");
  EXPECT_EQ(Hex(digest), kOfAbc);
  EXPECT_EQ(AsBytes(digest).substr(0, 4), "\xba\x78\x16\xbf");
  EXPECT_EQ(AsBytes(digest).size(), 32u);
}

TEST(Sha256Test, PartsGiveWhatTheWholeGives) {
  EXPECT_EQ(Hex(Sha256Hasher().Finish()), kOfNothing);
  const std::string whole(1000000, 'a');
  for (const std::size_t step : {std::size_t{1}, std::size_t{63}, std::size_t{65537}}) {
    Sha256Hasher hasher;
    for (std::size_t at = 0; at < whole.size(); at += step) {
      hasher.Update(std::string_view(whole).substr(at, step));
    }
    EXPECT_EQ(Hex(hasher.Finish()), kOfAMillionA) << step;
  }
}

TEST(Sha256Test, AHasherThatMovedGoesOn) {
  Sha256Hasher first;
  first.Update("a");
  Sha256Hasher second = std::move(first);
  second.Update("bc");
  EXPECT_EQ(Hex(second.Finish()), kOfAbc);
}

}  // namespace
}  // namespace hash
