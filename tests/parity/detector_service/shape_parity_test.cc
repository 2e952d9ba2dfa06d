// Inputs that are no square of one size, against mmdet and mmyolo: the input to the bit, the
// detections. Each golden has the weights of another and a test pipeline of its own.

#include <gtest/gtest.h>

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "detector_service/inference/detection_model.h"
#include "detector_service/inference/preprocess.h"
#include "nn/threads.h"
#include "tests/parity/detector_service/golden.h"

namespace detector {
namespace {

class ShapeParityTest : public testing::TestWithParam<std::string> {
 protected:
  ShapeParityTest() { nn::UseThreads(2); }

  std::unique_ptr<DetectionModel> Load(bool plain) const {
    auto model = DetectionModel::Load(
        {.checkpoint = golden_.checkpoint, .config_file = golden_.config_file, .plain = plain});
    EXPECT_TRUE(model.ok()) << model.status();
    return model.ok() ? *std::move(model) : nullptr;
  }

  void ExpectDetectionsOfTheReference(bool plain) const {
    const auto model = Load(plain);
    ASSERT_NE(model, nullptr);
    for (int round = 0; round < 2; ++round) {  // the second time all sizes are known
      detector::ExpectDetectionsOfTheReference(*model, golden_);
    }
  }

  const Golden golden_ = ReadGolden(GetParam());
};

TEST_P(ShapeParityTest, InputEqualsTheReferenceToTheBit) {
  const auto model = Load(/*plain=*/true);
  ASSERT_NE(model, nullptr);
  for (const GoldenImage& image : golden_.images) {
    Placement placement;
    const auto fitted = FitImage(ReadImage(image), model->settings(), &placement);
    ASSERT_TRUE(fitted.ok()) << fitted.status();
    EXPECT_EQ(placement.input, image.input_size) << image.path;
    std::vector<float> input(static_cast<std::size_t>(3) * placement.input.width *
                             placement.input.height);
    Normalize(*fitted, model->settings(), placement.input, input.data());

    EXPECT_EQ(Sha256Hex(input.data(), input.size() * sizeof(float)), image.input_sha256)
        << image.path;
    EXPECT_DOUBLE_EQ(placement.scale_x, image.scale_x);
    EXPECT_DOUBLE_EQ(placement.scale_y, image.scale_y);
  }
}

TEST_P(ShapeParityTest, DetectionsOfThePlainModulesAreTheReferences) {
  ExpectDetectionsOfTheReference(/*plain=*/true);
}

TEST_P(ShapeParityTest, DetectionsOfThePackedFormAreTheReferences) {
  ExpectDetectionsOfTheReference(/*plain=*/false);
}

INSTANTIATE_TEST_SUITE_P(Models, ShapeParityTest,
                         testing::Values("shape_batch_divisor", "shape_pad_divisor",
                                         "shape_portrait", "shape_landscape", "shape_stretch",
                                         "shape_letterbox", "shape_letterbox_grows"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace detector
