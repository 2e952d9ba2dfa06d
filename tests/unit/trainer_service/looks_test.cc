#include "trainer_service/work/looks.h"

#include <gmock/gmock.h>

#include <string>
#include <string_view>
#include <vector>

#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace trainer_service {
namespace {

using duet_testing::StatusIs;
using testing::HasSubstr;

// "ab": the images a and b.
std::vector<std::string> Images(std::string_view names) {
  std::vector<std::string> images;
  for (const char name : names) images.emplace_back(1, name);
  return images;
}

TEST(CountLookTest, EachComparisonCountsForItsImages) {
  const duet_testing::TempDir folder;
  const auto count = [&](std::string_view images) {
    const auto looks = CountLook(folder.path() + "/looks.json", Images(images));
    EXPECT_TRUE(looks.ok()) << looks.status();
    return looks.value_or(0);
  };
  EXPECT_EQ(count("ab"), 1);
  EXPECT_EQ(count("ab"), 2);
  EXPECT_EQ(count("abcd"), 2) << "two for the third time, two for the first";
  EXPECT_EQ(count("ef"), 1);
  EXPECT_EQ(count(""), 1) << "nothing to compare on";
}

TEST(CountLookTest, ADamagedFileIsNamed) {
  const duet_testing::TempDir folder;
  folder.Write("looks.json", "[");
  EXPECT_THAT(CountLook(folder.path() + "/looks.json", Images("ab")).status(),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("looks.json")));
}

}  // namespace
}  // namespace trainer_service
