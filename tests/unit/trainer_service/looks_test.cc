#include "trainer_service/work/looks.h"

#include <gmock/gmock.h>

#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace trainer_service {
namespace {

using duet_testing::StatusIs;
using testing::HasSubstr;

// Images a, b, … of which those in capitals are learned from.
dataset::Revision RevisionOf(std::string_view images) {
  dataset::Revision revision;
  for (const char name : images) {
    dataset::Sample& sample = revision.dataset.samples.emplace_back();
    sample.image = std::string("images/") + name + ".png";
    revision.sides.push_back(name < 'a' ? dataset::Side::kTrain : dataset::Side::kValidation);
  }
  return revision;
}

TEST(CountLookTest, EachComparisonCountsForItsImages) {
  const duet_testing::TempDir folder;
  const auto count = [&](std::string_view images) {
    const auto looks = CountLook(folder.path(), RevisionOf(images));
    EXPECT_TRUE(looks.ok()) << looks.status();
    return looks.value_or(0);
  };
  EXPECT_EQ(count("abXY"), 1);
  EXPECT_EQ(count("abXY"), 2);
  EXPECT_EQ(count("abcdXYZ"), 2) << "two for the third time, two for the first";
  EXPECT_EQ(count("efXY"), 1) << "what is learned from doesn't count";
  EXPECT_EQ(count("XY"), 1) << "nothing to compare on";
}

TEST(CountLookTest, ADamagedFileIsNamed) {
  const duet_testing::TempDir folder;
  folder.Write("looks.json", "[");
  EXPECT_THAT(CountLook(folder.path(), RevisionOf("ab")).status(),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("looks.json")));
}

}  // namespace
}  // namespace trainer_service
