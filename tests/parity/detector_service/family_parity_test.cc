// MMYOLO's families against mmyolo, step by step: the input to the bit, what every block of the
// network gives, the detections.

#include <absl/strings/strip.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "detector_service/families/family.h"
#include "detector_service/inference/detection_model.h"
#include "detector_service/inference/preprocess.h"
#include "detector_service/packed/blueprint_graph.h"
#include "nn/onednn/cpu.h"
#include "nn/threads.h"
#include "tests/parity/detector_service/golden.h"

namespace detector {
namespace {

BlueprintModule ModuleOf(const LoadedDetector& detector) {
  return std::get<BlueprintModule>(detector.modules);
}

class FamilyParityTest : public testing::TestWithParam<std::string> {
 protected:
  FamilyParityTest() { nn::UseThreads(2); }

  std::unique_ptr<DetectionModel> Load(bool plain) const {
    auto model = DetectionModel::Load({.checkpoint = golden_.checkpoint, .plain = plain});
    EXPECT_TRUE(model.ok()) << model.status();
    return model.ok() ? *std::move(model) : nullptr;
  }

  void ExpectDetectionsOfTheReference(bool plain) const {
    const auto model = Load(plain);
    ASSERT_NE(model, nullptr);
    EXPECT_EQ(model->classes(), golden_.classes);
    detector::ExpectDetectionsOfTheReference(*model, golden_);
  }

  const Golden golden_ = ReadGolden(GetParam());
};

TEST_P(FamilyParityTest, InputEqualsTheReferenceToTheBit) {
  const auto model = Load(/*plain=*/true);
  ASSERT_NE(model, nullptr);
  for (const GoldenImage& image : golden_.images) {
    Placement placement;
    const auto fitted = FitImage(ReadImage(image), model->settings(), &placement);
    ASSERT_TRUE(fitted.ok()) << fitted.status();
    std::vector<float> input(fitted->total() * 3);
    Normalize(*fitted, model->settings(), input.data());

    EXPECT_EQ(Sha256Hex(input.data(), input.size() * sizeof(float)), image.input_sha256)
        << image.path;
    EXPECT_EQ(placement.scale_x, image.scale_x);
    EXPECT_EQ(placement.scale_y, image.scale_y);
  }
}

// The module whose result a layer's is, in the reference: with its residual a convolution is the
// block around it (a ConvWrapper's `block` lies one deeper), and YOLOv7's predictions end in an
// ImplicitM.
std::string NameInTheReference(const Layer& layer) {
  if (layer.type != Layer::Type::kConv) return layer.name;
  if (layer.inputs.size() > 1) {
    const std::string name(absl::StripSuffix(layer.name, ".block"));
    return name.substr(0, name.rfind('.'));
  }
  return layer.branches[0].scale.path.find("implicit") != std::string::npos ? layer.name + ".2"
                                                                            : layer.name;
}

TEST_P(FamilyParityTest, EveryBlockGivesWhatTheReferencesGives) {
  const c10::InferenceMode no_autograd;
  const auto file = checkpoint::ReadCheckpoint(golden_.checkpoint);
  ASSERT_TRUE(file.ok()) << file.status();
  auto model = LoadDetector(file->state_dict, ParsePythonConfig(file->meta.config_text));
  ASSERT_TRUE(model.ok()) << model.status();
  const auto settings = ReadSettings(ParsePythonConfig(file->meta.config_text), model->defaults);
  ASSERT_TRUE(settings.ok()) << settings.status();
  Placement placement;
  const auto fitted = FitImage(ReadImage(golden_.images[0]), *settings, &placement);
  ASSERT_TRUE(fitted.ok()) << fitted.status();
  at::Tensor input = at::empty({1, 3, fitted->rows, fitted->cols});
  Normalize(*fitted, *settings, input.data_ptr<float>());
  const std::map<std::string, GoldenLayer> reference = ReadGoldenLayers(GetParam());

  int compared = 0;
  ModuleOf(*model)->forward(input, [&](const Layer& layer, const at::Tensor& value) {
    const auto golden = reference.find(NameInTheReference(layer));
    // PPYOLOE's head adds a residual outside of the module that it is of.
    const bool beside = layer.name.find("_stems.") != std::string::npos && layer.inputs.size() > 1;
    if (layer.name.empty() || beside) return;
    ASSERT_NE(golden, reference.end()) << layer.name;
    // Ten times what float32 and float64 of these networks differ by.
    const double tolerance = 3e-4 * value.abs().max().item<double>();
    const at::Tensor flat = value.flatten();
    for (const auto& [index, expected] : golden->second.sample) {
      EXPECT_NEAR(flat[index].item<float>(), expected, tolerance) << layer.name << " " << index;
    }
    const double abs_sum = value.to(at::kDouble).abs().sum().item<double>();
    EXPECT_NEAR(abs_sum, golden->second.abs_sum, 3e-4 * golden->second.abs_sum) << layer.name;
    ++compared;
  });
  EXPECT_GT(compared, 40);
}

TEST_P(FamilyParityTest, StateIsSavedInTheReferencesOrder) {
  const auto file = checkpoint::ReadCheckpoint(golden_.checkpoint);
  ASSERT_TRUE(file.ok()) << file.status();
  const auto model = LoadDetector(file->state_dict, ParsePythonConfig(file->meta.config_text));
  ASSERT_TRUE(model.ok()) << model.status();
  const auto names = [](const checkpoint::StateDict& state) {
    std::vector<std::string> names;
    for (const auto& item : state) names.push_back(item.first);
    return names;
  };

  EXPECT_EQ(names(nn::ToStateDict(*ModuleOf(*model))), names(file->state_dict));
}

TEST_P(FamilyParityTest, DetectionsOfThePlainModulesAreTheReferences) {
  ExpectDetectionsOfTheReference(/*plain=*/true);
}

TEST_P(FamilyParityTest, DetectionsOfThePackedFormAreTheReferences) {
  ExpectDetectionsOfTheReference(/*plain=*/false);
}

// Of `got`, relative to `want`; root mean square.
double Error(const at::Tensor& got, const at::Tensor& want) {
  return ((got.to(at::kFloat) - want).norm() / want.norm()).item<double>();
}

void RoundToBFloat16(at::Tensor x) { x.copy_(x.to(at::kBFloat16)); }

// How far bf16 takes a network's numbers depends on the network: random weights as here amplify
// each rounding, some up to a third of the numbers' size. So the yardstick is the plain modules
// with just the roundings that bf16 must have, of weights and of what is stored between layers. The
// packed form folds batch norms into the weights before it rounds them, and keeps some in float32.
TEST_P(FamilyParityTest, BFloat16RoundsNoMoreThanItMust) {
  if (!nn::onednn::CpuHasBFloat16()) GTEST_SKIP() << "no bf16 on this CPU";
  const c10::InferenceMode no_autograd;
  const auto file = checkpoint::ReadCheckpoint(golden_.checkpoint);
  ASSERT_TRUE(file.ok()) << file.status();
  const PythonConfig config = ParsePythonConfig(file->meta.config_text);
  auto model = LoadDetector(file->state_dict, config);
  ASSERT_TRUE(model.ok()) << model.status();
  const auto settings = ReadSettings(config, model->defaults);
  ASSERT_TRUE(settings.ok()) << settings.status();
  Placement placement;
  const auto fitted = FitImage(ReadImage(golden_.images[0]), *settings, &placement);
  ASSERT_TRUE(fitted.ok()) << fitted.status();
  at::Tensor input = at::empty({1, 3, fitted->rows, fitted->cols});
  Normalize(*fitted, *settings, input.data_ptr<float>());
  nn::onednn::Graph graph;
  BuildGraph(*ModuleOf(*model), settings->input_size, graph);
  const auto program = graph.Compile({.precision = nn::onednn::Precision::kBFloat16});
  ASSERT_TRUE(program.ok()) << program.status();

  (*program)->Run(input.data_ptr<float>());

  const auto want = ModuleOf(*model)->forward(input);
  for (at::Tensor& parameter : ModuleOf(*model)->parameters()) {
    if (parameter.dim() == 4) RoundToBFloat16(parameter);
  }
  const auto rounded = ModuleOf(*model)->forward(
      input, [](const Layer& /*layer*/, const at::Tensor& value) { RoundToBFloat16(value); });
  ASSERT_EQ((*program)->output_count(), want.size());
  for (std::size_t i = 0; i < want.size(); ++i) {
    const auto out = (*program)->output(i);
    const at::Tensor got =
        at::from_blob(const_cast<float*>(out.data), {1, out.height, out.width, out.channels});
    const double error = Error(got.permute({0, 3, 1, 2}), want[i]);
    // Which way each rounding goes is chance: two draws differ by a factor of up to two.
    EXPECT_LT(error, 2.5 * Error(rounded[i], want[i])) << i;
    EXPECT_GT(error, 1e-3) << i;  // it is in bf16 indeed
  }
}

INSTANTIATE_TEST_SUITE_P(Models, FamilyParityTest,
                         testing::Values("yolov5", "yolov6", "yolov6_v3_m", "yolov7", "yolov7_tiny",
                                         "yolov8", "yolox", "ppyoloe_plus", "yolov6_l",
                                         "yolov6_v3_l", "yolox_nano", "ppyoloe"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace detector
