#include "detector_service/config/class_names.h"

#include <gmock/gmock.h>

#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace detector {
namespace {

using duet_testing::StatusIs;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

using Names = std::vector<std::string>;

absl::StatusOr<ClassNames> Choose(std::string_view config, int count,
                                  const Names& in_checkpoint = {}, const Names& given = {},
                                  bool rotated = false) {
  return ChooseClassNames(given, in_checkpoint, ParsePythonConfig(config), count, rotated);
}

Names NamesOf(std::string_view config, int count) {
  const absl::StatusOr<ClassNames> chosen = Choose(config, count);
  EXPECT_TRUE(chosen.ok()) << chosen.status();
  return chosen.ok() ? chosen->names : Names();
}

TEST(ClassNamesTest, TheFlagIsBeforeTheCheckpointAndThatBeforeTheConfig) {
  constexpr char kConfig[] = "metainfo = dict(classes=('a', 'b'))";

  EXPECT_THAT(Choose(kConfig, 2)->names, ElementsAre("a", "b"));
  EXPECT_THAT(Choose(kConfig, 2, {"c", "d"})->names, ElementsAre("c", "d"));
  EXPECT_THAT(Choose(kConfig, 2, {"c", "d"}, {"e", "f"})->names, ElementsAre("e", "f"));
  EXPECT_THAT(Choose(kConfig, 2, {"c", "d"}, {"e", "f"})->notes, IsEmpty());
}

// mmdet takes a tuple without its comma for the one name, too.
TEST(ClassNamesTest, APlainTextIsOneName) {
  for (const char* config :
       {"metainfo = dict(classes=('ship'))", "metainfo = dict(classes='ship')",
        "metainfo = dict(CLASSES=['ship'])", "classes = ('ship',)", "class_name = 'ship'",
        "test_dataloader = dict(dataset=dict(metainfo=dict(classes='ship')))",
        "train_dataloader = dict(dataset=dict(type='RepeatDataset',"
        "dataset=dict(metainfo=dict(classes='ship'))))",
        "train_dataloader = dict(dataset=dict(type='ConcatDataset',"
        "datasets=[dict(metainfo=dict(classes='ship'))]))"}) {
    EXPECT_THAT(NamesOf(config, 1), ElementsAre("ship")) << config;
  }
}

TEST(ClassNamesTest, OfSourcesThatConflictTheOneThatFitsIsTaken) {
  ASSERT_OK_AND_ASSIGN(const ClassNames chosen,
                       Choose("metainfo = dict(classes=('a', 'b'))", 2, {"x", "y", "z"}));

  EXPECT_THAT(chosen.names, ElementsAre("a", "b"));
  EXPECT_THAT(chosen.notes, ElementsAre(AllOf(HasSubstr("3 class names"), HasSubstr("2 classes")),
                                        HasSubstr("metainfo")));
}

TEST(ClassNamesTest, IfNoneFitTheErrorSaysBothNumbers) {
  EXPECT_THAT(
      Choose("", 2, {"x", "y", "z"}),
      StatusIs(absl::StatusCode::kFailedPrecondition,
               AllOf(HasSubstr("3 class names"), HasSubstr("2 classes"), HasSubstr("--classes"))));
  // What was said by hand is not passed over.
  EXPECT_THAT(Choose("", 3, {"x", "y", "z"}, {"a"}),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("--classes has 1 class names"), HasSubstr("3 classes"))));
}

TEST(ClassNamesTest, WithoutNamesTheyAreTheDataSetsOfThatManyClasses) {
  ASSERT_OK_AND_ASSIGN(const ClassNames coco, Choose("", 80));
  ASSERT_OK_AND_ASSIGN(const ClassNames dota, Choose("", 15, {}, {}, /*rotated=*/true));
  ASSERT_OK_AND_ASSIGN(const ClassNames upright, Choose("", 15));

  EXPECT_EQ(coco.names[9], "traffic light");
  EXPECT_EQ(coco.names[79], "toothbrush");
  EXPECT_THAT(coco.notes, ElementsAre(HasSubstr("COCO")));
  EXPECT_EQ(dota.names[14], "helicopter");
  EXPECT_THAT(dota.notes, ElementsAre(HasSubstr("DOTA")));
  EXPECT_EQ(upright.names[14], "class 14");
  EXPECT_THAT(upright.notes, SizeIs(1));
}

TEST(ClassNamesTest, NamesThatAreNotUnderstoodAreNotReplacedInSilence) {
  EXPECT_THAT(Choose("metainfo = dict(classes=load('x'))", 80),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("metainfo"), HasSubstr("load('x')"))));
  EXPECT_THAT(Choose("metainfo = dict(classes=load('x'))", 1, {"a"})->names, ElementsAre("a"));
}

TEST(ClassNamesTest, TheFlagIsAListOrAFile) {
  const duet_testing::TempDir dir;
  const std::string file = dir.Write("names.txt",
                                     "\xEF\xBB\xBF"
                                     "cat\r\n traffic light \na,b\n\n");

  EXPECT_THAT(*ReadClassesFlag(file), ElementsAre("cat", "traffic light", "a,b"));
  EXPECT_THAT(*ReadClassesFlag("cat, traffic light"), ElementsAre("cat", "traffic light"));
  EXPECT_THAT(*ReadClassesFlag("ship"), ElementsAre("ship"));
  EXPECT_THAT(*ReadClassesFlag(""), IsEmpty());
  for (const char* wrong : {"/no/such/file", "./names", "names.txt", ",", " "}) {
    EXPECT_THAT(ReadClassesFlag(wrong),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("--classes=")))
        << wrong;
  }
}

// A name that is there twice would be two classes that nobody can tell apart, and one that is
// missing moves all that follow.
TEST(ClassNamesTest, TheFlagNamesEachClassOnce) {
  const duet_testing::TempDir dir;
  const auto says = [](const char* what) {
    return StatusIs(absl::StatusCode::kInvalidArgument,
                    AllOf(HasSubstr("--classes="), HasSubstr(what)));
  };
  EXPECT_THAT(ReadClassesFlag("cat,dog, cat"), says("'cat' is there twice, as name 1 and 3"));
  EXPECT_THAT(ReadClassesFlag("cat,,dog"), says("name 2 is empty"));
  EXPECT_THAT(ReadClassesFlag("cat,dog,"), says("name 3 is empty"));
  EXPECT_THAT(ReadClassesFlag(dir.Write("twice.txt", "cat\ndog\ncat\n")),
              says("'cat' is there twice, as line 1 and 3"));
  EXPECT_THAT(ReadClassesFlag(dir.Write("gap.txt", "cat\n\ndog\n")), says("line 2 is empty"));
  EXPECT_THAT(ReadClassesFlag(dir.Write("empty.txt", "\n")), says("line 1 is empty"));
}

}  // namespace
}  // namespace detector
