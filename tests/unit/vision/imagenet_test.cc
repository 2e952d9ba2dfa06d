#include "vision/imagenet.h"

#include <gmock/gmock.h>

namespace vision {
namespace {

using testing::ElementsAre;

TEST(ImageNetTest, IsWhatConfigsSay) {
  // data_preprocessor of mmdet's rtmdet_l_8xb32-300e_coco.py, with bgr_to_rgb=False.
  EXPECT_THAT(ToBgr(kImageNetMean), ElementsAre(103.53F, 116.28F, 123.675F));
  EXPECT_THAT(ToBgr(kImageNetStd), ElementsAre(57.375F, 57.12F, 58.395F));
  // pixel_mean and pixel_std of segment_anything/modeling/sam.py.
  EXPECT_THAT(kImageNetMean, ElementsAre(123.675F, 116.28F, 103.53F));
  EXPECT_THAT(kImageNetStd, ElementsAre(58.395F, 57.12F, 57.375F));
}

}  // namespace
}  // namespace vision
