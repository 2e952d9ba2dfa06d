#include "text/nearest_name.h"

#include <gtest/gtest.h>

#include <vector>

namespace text {
namespace {

using Names = std::vector<std::string_view>;

constexpr std::string_view kNames[] = {"score_threshold", "max_detections", "score", "slice",
                                       "class_agnostic"};

TEST(NearestNameTest, OneLetterInFourMayBeWrong) {
  EXPECT_EQ(NearestName("score_treshold", kNames), "score_threshold");  // dropped
  EXPECT_EQ(NearestName("max_detectionss", kNames), "max_detections");  // added
  EXPECT_EQ(NearestName("class_agnistic", kNames), "class_agnostic");   // replaced
  EXPECT_EQ(NearestName("sroce", kNames), "");                          // two swapped
  EXPECT_EQ(NearestName("socre", kNames), "score");                     // one swapped
  EXPECT_EQ(NearestName("slcie", kNames), "slice");
}

TEST(NearestNameTest, HowWordsAreJoinedMakesNoDifference) {
  EXPECT_EQ(NearestName("scoreThreshold", kNames), "score_threshold");
  EXPECT_EQ(NearestName("MAX-DETECTIONS", kNames), "max_detections");
  EXPECT_EQ(NearestName("class agnostic", kNames), "class_agnostic");
}

TEST(NearestNameTest, TheNearestOfSeveralIsMeant) {
  EXPECT_EQ(NearestName("port", Names{"ports", "port", "sort"}), "port");
  EXPECT_EQ(NearestName("grpc_prt", Names{"grpc_part", "grpc_port"}),
            "grpc_part");  // the first of equals
}

TEST(NearestNameTest, WhatIsFarFromAllNamesIsNobodys) {
  EXPECT_EQ(NearestName("", kNames), "");
  EXPECT_EQ(NearestName("title", kNames), "");
  EXPECT_EQ(NearestName("threshold", kNames), "");  // a word is missing
  EXPECT_EQ(NearestName("x", Names{"y"}), "");
  EXPECT_EQ(NearestName(std::string(1'000'000, 's'), Names{"score"}), "");
  EXPECT_EQ(NearestName("score", Names{}), "");
}

TEST(NearestNameTest, AQuestionNamesIt) {
  EXPECT_EQ(DidYouMean("socre", kNames, "--", ""), "; did you mean --score?");
  EXPECT_EQ(DidYouMean("title", kNames, "--", ""), "");
}

}  // namespace
}  // namespace text
