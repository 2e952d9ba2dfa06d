// Segment Anything's weights as people have them: saved by Hugging Face's transformers, which
// computed what is expected here (tools/make_hugging_face_fixtures.py), and saved out of the
// wrappers of training.
#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "checkpoint/safetensors_writer.h"
#include "segmenter_service/inference/served_model.h"
#include "tests/testing/log_capture.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace segmenter {
namespace {

using duet_testing::IsOk;
using duet_testing::StatusIs;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

const std::string kData = std::string(DUET_TEST_DATA) + "/segmenter/";
const std::string kHuggingFace = kData + "hugging_face/";

// Sums of float32 products in another order; values are up to 30. transformers adds 1e-6 in the
// decoder's layer norms where the original and we add 1e-5, whose part is 1e-5 of a value.
constexpr float kTolerance = 1e-3f;

std::vector<float> Input(int side) {
  std::vector<float> input;
  for (int c = 0; c < 3; ++c) {
    for (int y = 0; y < side; ++y) {
      for (int x = 0; x < side; ++x) {
        input.push_back(std::sin(0.7f * c + 0.11f * y + 0.053f * x + 0.00031f * x * y));
      }
    }
  }
  return input;
}

// `values`: planes of side x side. Those that remain if every step-th row and column is kept.
std::vector<float> Thinned(absl::Span<const float> values, int side, int step) {
  std::vector<float> kept;
  for (std::size_t plane = 0; plane < values.size(); plane += std::size_t(side) * side) {
    for (int y = 0; y < side; y += step) {
      for (int x = 0; x < side; x += step) kept.push_back(values[plane + y * side + x]);
    }
  }
  return kept;
}

void ExpectNear(absl::Span<const float> values, const checkpoint::StateDict& expected,
                const std::string& name) {
  SCOPED_TRACE(name);
  const checkpoint::TensorView* const view = checkpoint::Find(expected, name);
  ASSERT_NE(view, nullptr);
  ASSERT_EQ(static_cast<std::int64_t>(values.size()), view->NumElements());
  const auto* const reference = reinterpret_cast<const float*>(view->data);
  float largest = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    largest = std::max(largest, std::abs(values[i] - reference[i]));
  }
  EXPECT_LE(largest, kTolerance);
}

struct Case {
  const char* name;  // of the fixture
  const char* model;
  bool multimask;
  int thinned_embedding, thinned_masks;
};

class HuggingFaceTest : public testing::TestWithParam<Case> {};

TEST_P(HuggingFaceTest, ComputesWhatTransformersComputes) {
  const auto& [name, model_name, multimask, thinned_embedding, thinned_masks] = GetParam();
  const duet_testing::LogCapture log;
  ASSERT_OK_AND_ASSIGN(const auto model,
                       LoadModel({absl::StrCat(kHuggingFace, name, ".safetensors")}, {}));
  EXPECT_EQ(model->name, model_name);
  EXPECT_THAT(log.lines("model.extra_tensors"), ElementsAre());
  ASSERT_OK_AND_ASSIGN(
      const checkpoint::Checkpoint file,
      checkpoint::ReadCheckpoint(absl::StrCat(kHuggingFace, name, "_expected.safetensors")));
  const int side = model->network->spec().image_size;

  ASSERT_OK_AND_ASSIGN(const Embedding embedding,
                       model->network->EncodeImage(Input(side), [] { return absl::OkStatus(); }));
  ExpectNear(Thinned(embedding.maps[0].floats(), static_cast<int>(embedding.maps[0].shape.width),
                     thinned_embedding),
             file.state_dict, "embedding");

  const float scale = static_cast<float>(side) / 64;
  const Prompt point{.points = {{{40 * scale, 24 * scale}, 1}}, .box = {}, .mask_logits = {}};
  const Prompt box{
      .points = {}, .box = {{8 * scale, 12 * scale, 50 * scale, 44 * scale}}, .mask_logits = {}};
  for (const auto& [kind, prompt] : {std::pair("point", point), std::pair("box", box)}) {
    ASSERT_OK_AND_ASSIGN(const LowResMasks masks,
                         model->network->DecodeMasks(embedding, {prompt}, multimask));
    ExpectNear(masks.iou_scores, file.state_dict, absl::StrCat(kind, ".iou"));
    ExpectNear(Thinned(masks.logits, masks.size, thinned_masks), file.state_dict,
               absl::StrCat(kind, ".masks"));
  }
}

INSTANTIATE_TEST_SUITE_P(Models, HuggingFaceTest,
                         testing::Values(Case{"sam", "sam-vit-32x2-64", true, 1, 1},
                                         Case{"sam_hq", "sam-hq-vit-32x2-64", false, 1, 1},
                                         Case{"sam2", "sam2-hiera-8x5", true, 4, 16}),
                         [](const auto& info) { return std::string(info.param.name); });

// A copy of a fixture with other names.
class SavedByTrainingTest : public testing::Test {
 protected:
  using Rename = std::function<std::string(const std::string&)>;

  std::string Save(const Rename& rename, const std::vector<std::string>& extra = {},
                   const std::string& fixture = "hugging_face/sam.safetensors") {
    checkpoint::StateDict weights = checkpoint::ReadCheckpoint(kData + fixture).value().state_dict;
    for (auto& [name, view] : weights) name = rename(name);
    for (const std::string& name : extra) weights.emplace_back(name, weights.front().second);
    const std::string path = folder_.path() + "/saved.safetensors";
    EXPECT_THAT(checkpoint::WriteSafetensors(path, weights, {}), IsOk());
    return path;
  }
  static Rename Prefixed(const std::string& prefix) {
    return [prefix](const std::string& name) { return prefix + name; };
  }

  duet_testing::TempDir folder_;
};

TEST_F(SavedByTrainingTest, WhateverWrapsItItIsTheSameNetwork) {
  for (const char* fixture : {"hugging_face/sam.safetensors", "sam_a.pth"}) {
    ASSERT_OK_AND_ASSIGN(const auto plain, LoadModel({kData + fixture}, {}));
    for (const char* prefix : {"model.", "sam.", "_orig_mod.", "module.", "module._orig_mod.",
                               "_orig_mod.module.model.sam.", "sam_model.", "net.model."}) {
      SCOPED_TRACE(prefix);
      ASSERT_OK_AND_ASSIGN(const auto wrapped,
                           LoadModel({Save(Prefixed(prefix), {}, fixture)}, {}));
      EXPECT_EQ(wrapped->encoder, plain->encoder);
      EXPECT_EQ(wrapped->parameter_count, plain->parameter_count);
    }
  }
  // Only a part was compiled or distributed.
  ASSERT_OK_AND_ASSIGN(const auto plain, LoadModel({kData + "sam_a.pth"}, {}));
  const std::string path = Save(
      [](const std::string& name) {
        return absl::StartsWith(name, "image_encoder.")
                   ? "sam.image_encoder.module._orig_mod" + name.substr(13)
                   : "sam." + name;
      },
      {}, "sam_a.pth");
  ASSERT_OK_AND_ASSIGN(const auto compiled, LoadModel({path}, {}));
  EXPECT_EQ(compiled->encoder, plain->encoder);
}

TEST_F(SavedByTrainingTest, ExtraTensorsAreNamedInAWarning) {
  const duet_testing::LogCapture log;
  EXPECT_THAT(LoadModel({Save(Prefixed("model."), {"criterion.weight", "model.head.bias"})}, {}),
              IsOk());
  EXPECT_THAT(log.lines("model.extra_tensors"),
              ElementsAre(AllOf(HasSubstr("\"count\":2"),
                                HasSubstr("\"names\":\"criterion.weight, head.bias\""))));
}

TEST_F(SavedByTrainingTest, WhatComputesSomethingElseIsRefused) {
  const auto refused = [&](const std::string& path, const char* message) {
    EXPECT_THAT(LoadModel({path}, {}),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(message)));
  };
  refused(Save(Prefixed(""), {"vision_encoder.layers.0.attn.qkv.lora_A.default.weight"}),
          "merge it into the weights");
  refused(Save(Prefixed("student."), {"teacher.vision_encoder.pos_embed"}),
          "2 networks, under 'student.', 'teacher.'");
}

}  // namespace
}  // namespace segmenter
