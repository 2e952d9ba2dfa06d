#include "trainer/samples/class_match.h"

#include <gmock/gmock.h>

#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace trainer {
namespace {

using duet_testing::StatusIs;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr char kConfig[] = R"(<View><Image name="image" value="$image"/>
  <RectangleLabels name="box" toName="image">
    <Label value="Vehicle" predicted_values="car,truck"/>
    <Label value="Baseball Bat"/>
    <Label value="Woman" alias="person"/>
    <Label value="bolt"/>
  </RectangleLabels></View>)";
const std::vector<std::string> kClasses{"Vehicle", "Baseball Bat", "person", "bolt"};
const std::vector<std::string> kModel{"person", "car", "truck", "baseball_bat", "dog"};

ClassMatch ByLabels() { return ClassMatch(*label_studio::ParseLabelConfig(kConfig)); }

TEST(ClassMatchTest, LabelsAreMatchedAsInWhatIsServed) {
  EXPECT_THAT(
      ByLabels().ClassesOf(kModel, kClasses),
      ElementsAre(ElementsAre(2), ElementsAre(0), ElementsAre(0), ElementsAre(1), IsEmpty()));
}

TEST(ClassMatchTest, AClassBeginsFromWhatKnowsIt) {
  EXPECT_THAT(ByLabels().SourcesOf(kClasses, kModel), ElementsAre(1, 3, 0, -1));
  EXPECT_THAT(ByLabels().SourcesOf(kClasses, kClasses), ElementsAre(0, 1, 2, 3))
      << "a model that was trained on these labels";
}

TEST(ClassMatchTest, WithoutALabelConfigTheNameDecides) {
  EXPECT_THAT(ClassMatch().ClassesOf(kModel, kClasses),
              ElementsAre(ElementsAre(2), IsEmpty(), IsEmpty(), IsEmpty(), IsEmpty()));
  EXPECT_THAT(ClassMatch().SourcesOf(kClasses, kModel), ElementsAre(-1, -1, 0, -1));
  EXPECT_FALSE(ClassMatch().by_labels());
}

TEST(ClassMatchTest, LabelsThatOnlyAnnotationsHaveAreFoundByName) {
  EXPECT_THAT(ByLabels().ClassesOf({"dog"}, {"bolt", "dog"}), ElementsAre(ElementsAre(1)));
}

// A class may be called otherwise beside a brush than in a list of rectangles.
TEST(ClassMatchTest, EachListOfLabelsIsMatchedByItself) {
  constexpr char kTwo[] = R"(<View><Image name="image" value="$image"/>
    <RectangleLabels name="box" toName="image"><Label value="Car"/></RectangleLabels>
    <BrushLabels name="brush" toName="image"><Label value="vehicle" alias="auto" predicted_values="car"/>
    </BrushLabels></View>)";
  EXPECT_THAT(ClassMatch(*label_studio::ParseLabelConfig(kTwo)).ClassesOf({"car"}, {"Car", "auto"}),
              ElementsAre(ElementsAre(0, 1)));
}

TEST(ClassMatchTest, AFileThatIsNoLabelConfigIsNamed) {
  const duet_testing::TempDir dir;
  dir.Write("config.xml", "<View");
  EXPECT_THAT(ClassMatch::Read(dir.path() + "/config.xml").status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("config.xml")));
  EXPECT_THAT(ClassMatch::Read(dir.path() + "/none.xml").status(),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("none.xml")));
  dir.Write("config.xml", kConfig);
  ASSERT_OK_AND_ASSIGN(const ClassMatch match, ClassMatch::Read(dir.path() + "/config.xml"));
  EXPECT_TRUE(match.by_labels());
}

}  // namespace
}  // namespace trainer
