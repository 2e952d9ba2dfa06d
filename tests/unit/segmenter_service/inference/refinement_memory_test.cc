#include "segmenter_service/inference/refinement_memory.h"

#include <gmock/gmock.h>

namespace segmenter {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

Prompt Clicks(std::vector<PromptPoint> points) {
  Prompt prompt;
  prompt.points = std::move(points);
  return prompt;
}

const PromptPoint kFirst{{10, 10}, 1}, kSecond{{20, 10}, 0}, kOther{{11, 10}, 1};

TEST(RefinementMemoryTest, AFurtherPointFindsTheAnswerBeforeIt) {
  RefinementMemory memory(8);
  memory.Keep("cat", Clicks({kFirst}), {1.0f, 2.0f});

  EXPECT_THAT(memory.FindEarlier("cat", Clicks({kFirst, kSecond})), ElementsAre(1.0f, 2.0f));
}

TEST(RefinementMemoryTest, AnotherPictureOrOtherPointsOrABoxFindNothing) {
  RefinementMemory memory(8);
  memory.Keep("cat", Clicks({kFirst}), {1.0f});
  Prompt boxed = Clicks({kFirst, kSecond});
  boxed.box = vision::Box{0, 0, 30, 30};

  EXPECT_THAT(memory.FindEarlier("dog", Clicks({kFirst, kSecond})), IsEmpty());
  EXPECT_THAT(memory.FindEarlier("cat", Clicks({kOther, kSecond})), IsEmpty());
  EXPECT_THAT(memory.FindEarlier("cat", Clicks({kFirst})), IsEmpty());
  EXPECT_THAT(memory.FindEarlier("cat", boxed), IsEmpty());
}

TEST(RefinementMemoryTest, AFirstPointExtendsABox) {
  RefinementMemory memory(8);
  Prompt box, box_and_point = Clicks({kFirst});
  box.box = box_and_point.box = vision::Box{0, 0, 30, 30};
  memory.Keep("cat", box, {3.0f});

  EXPECT_THAT(memory.FindEarlier("cat", box_and_point), ElementsAre(3.0f));
}

TEST(RefinementMemoryTest, ABoxExtendsPointsUnlessItTakesThePlaceOfAnother) {
  RefinementMemory memory(8);
  Prompt before = Clicks({kFirst, kSecond}), boxed = before, moved = before;
  boxed.box = vision::Box{0, 0, 30, 30};
  moved.box = vision::Box{5, 0, 30, 30};

  memory.Keep("cat", boxed, {1.0f});
  EXPECT_THAT(memory.FindEarlier("cat", moved), IsEmpty());
  memory.Keep("dog", before, {2.0f});
  EXPECT_THAT(memory.FindEarlier("dog", boxed), ElementsAre(2.0f));
}

TEST(RefinementMemoryTest, ForgetsTheOldestAndReplacesTheSame) {
  RefinementMemory memory(2);
  memory.Keep("cat", Clicks({kFirst}), {1.0f});
  memory.Keep("cat", Clicks({kFirst}), {2.0f});
  memory.Keep("cat", Clicks({kOther}), {3.0f});
  EXPECT_THAT(memory.FindEarlier("cat", Clicks({kFirst, kSecond})), ElementsAre(2.0f));

  memory.Keep("dog", Clicks({kFirst}), {4.0f});

  EXPECT_THAT(memory.FindEarlier("cat", Clicks({kFirst, kSecond})), IsEmpty());
}

}  // namespace
}  // namespace segmenter
