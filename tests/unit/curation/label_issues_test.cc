#include "curation/label_issues.h"

#include <gmock/gmock.h>

#include <string>
#include <vector>

namespace curation {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

constexpr vision::Box kHere = {0, 0, 100, 100};
constexpr vision::Box kThere = {200, 200, 300, 300};

// A box at kHere's corner whose IoU with it is `iou`.
vision::Box Narrower(float iou) { return {0, 0, 100 * iou, 100}; }

AnnotatedObject Drawn(const std::string& label, const vision::Box& box = kHere) {
  return {.labels = {label}, .box = box};
}

std::string Told(const Issue& issue) {
  return std::string(NameOf(issue.kind)) + " " + std::to_string(issue.object) + " " +
         issue.found.label;
}

TEST(LabelIssuesTest, NothingIsSuspectedWhereBothAgree) {
  EXPECT_THAT(FindIssues({Drawn("cat")}, {{"cat", 1.0, kHere}}), IsEmpty());
  EXPECT_THAT(FindIssues({Drawn("cat")}, {{"cat", 1.0, Narrower(0.8f)}}), IsEmpty())
      << "people and models place boxes a little differently";
  EXPECT_THAT(FindIssues({}, {}), IsEmpty());
}

TEST(LabelIssuesTest, AnotherClassAtTheSamePlaceIsAWrongLabel) {
  const auto issues = FindIssues({Drawn("cat")}, {{"dog", 0.9, kHere}, {"cat", 0.1, kHere}});

  ASSERT_THAT(issues, SizeIs(1));
  EXPECT_EQ(Told(issues[0]), "wrong_label 0 dog");
  EXPECT_NEAR(issues[0].suspicion, 0.9 * (1 - 0.1), 1e-9);
  EXPECT_EQ(Sentence(issues[0], std::vector<std::string>{"cat"}),
            "annotated as cat, but the model finds dog there (score 0.90)");
}

TEST(LabelIssuesTest, AnotherClassThatIsAnnotatedThereAsWellIsNone) {
  EXPECT_THAT(FindIssues({Drawn("face"), Drawn("helmet", Narrower(0.9f))},
                         {{"face", 1.0, kHere}, {"helmet", 1.0, Narrower(0.9f)}}),
              IsEmpty());
}

TEST(LabelIssuesTest, ABoxThatIsPlacedDifferentlyIsBad) {
  const auto issues = FindIssues({Drawn("cat")}, {{"cat", 0.9, Narrower(0.4f)}});

  ASSERT_THAT(issues, SizeIs(1)) << "what explains the annotation isn't missing, too";
  EXPECT_EQ(Told(issues[0]), "bad_box 0 cat");
  EXPECT_NEAR(issues[0].suspicion, 0.9, 1e-6);
  EXPECT_NEAR(issues[0].iou, 0.4, 1e-6);
  const auto half = FindIssues({Drawn("cat")}, {{"cat", 1.0, Narrower(0.6f)}});
  EXPECT_NEAR(half[0].suspicion, 0.5, 1e-6) << "half way between a good and a bad box";
}

TEST(LabelIssuesTest, WhereTheModelFindsNothingAnObjectIsSpurious) {
  const auto issues = FindIssues({Drawn("cat"), Drawn("dog", kThere)}, {{"cat", 0.25, kHere}});

  ASSERT_THAT(issues, SizeIs(2));
  EXPECT_EQ(Told(issues[0]), "spurious 1 ");
  EXPECT_EQ(Told(issues[1]), "spurious 0 cat");
  EXPECT_NEAR(issues[1].suspicion / issues[0].suspicion, 0.75, 1e-9);
  EXPECT_EQ(Sentence(issues[0], std::vector<std::string>{"dog"}), "the model finds no dog there");
  EXPECT_EQ(Sentence(issues[1], std::vector<std::string>{"cat"}),
            "the model hardly finds the cat: at best cat with score 0.25");
}

TEST(LabelIssuesTest, WhatNobodyAnnotatedIsMissingOnceHoweverManyClassesItIsTakenFor) {
  const auto issues =
      FindIssues({Drawn("cat")}, {{"cat", 1.0, kHere}, {"dog", 0.7, kThere}, {"fox", 0.3, kThere}});

  ASSERT_THAT(issues, SizeIs(1));
  EXPECT_EQ(Told(issues[0]), "missing -1 dog");
  EXPECT_NEAR(issues[0].suspicion, 0.7, 1e-9);
  EXPECT_EQ(Sentence(issues[0], {}), "nobody annotated the dog that the model finds (score 0.70)");
}

TEST(LabelIssuesTest, OneDetectionExplainsOneObject) {
  const auto issues =
      FindIssues({Drawn("cat", Narrower(0.9f)), Drawn("cat")}, {{"cat", 1.0, kHere}});

  ASSERT_THAT(issues, SizeIs(1)) << "the cat was annotated twice";
  EXPECT_EQ(Told(issues[0]), "spurious 0 ");
}

TEST(LabelIssuesTest, AnyLabelOfSeveralAndAnyClassForNoneIsRight) {
  EXPECT_THAT(FindIssues({{.labels = {"red", "car"}, .box = kHere}}, {{"car", 1.0, kHere}}),
              IsEmpty());
  EXPECT_THAT(FindIssues({{.labels = {}, .box = kHere}}, {{"car", 1.0, kHere}}), IsEmpty());
}

TEST(LabelIssuesTest, OfAClassThatTheModelCantFindNothingIsSuspected) {
  AnnotatedObject drop = Drawn("drop");
  drop.can_be_found = false;

  EXPECT_THAT(FindIssues({drop}, {{"circle", 0.9, kHere}}), IsEmpty())
      << "and what it is taken for isn't missing";
}

TEST(LabelIssuesTest, WhatIsProbablyBackgroundIsIgnored) {
  EXPECT_THAT(FindIssues({}, {{"cat", kLeastScore, kHere}}), IsEmpty());
  EXPECT_THAT(FindIssues({}, {{"cat", kLeastScore + 0.01, kHere}}), SizeIs(1));
}

}  // namespace
}  // namespace curation
