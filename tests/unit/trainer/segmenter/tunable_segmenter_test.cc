#include "trainer/segmenter/tunable_segmenter.h"

#include <ATen/core/grad_mode.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <map>
#include <string>

#include "checkpoint/checkpoint.h"
#include "segmenter_service/inference/served_model.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"
#include "trainer/optimization/module_state.h"

namespace trainer {
namespace {

using duet_testing::IsOk;
using duet_testing::StatusIs;
using testing::AllOf;
using testing::HasSubstr;

const std::string kData = std::string(DUET_TEST_DATA) + "/segmenter/";

bool SameBytes(const checkpoint::TensorView& a, const checkpoint::TensorView& b) {
  return a.dtype == b.dtype && a.shape == b.shape && a.IsContiguous() && b.IsContiguous() &&
         std::equal(a.data, a.data + a.NumElements() * checkpoint::SizeOf(a.dtype), b.data);
}

struct Family {
  const char* file;
  const char* wrapper;  // the key that the package reads the weights from
  const char* prefix;
};

class WriteTunedTest : public testing::TestWithParam<Family> {};

TEST_P(WriteTunedTest, ChangesTheDecoderAloneInTheFilesOwnLayout) {
  const std::string source = kData + GetParam().file;
  const duet_testing::TempDir dir;
  const std::string out = dir.path() + "/best.pth";
  ASSERT_OK_AND_ASSIGN(const TunableSegmenter segmenter, LoadTunable(source));
  {
    const at::NoGradGuard no_grad;
    for (StateTensor& entry : StateOf(*segmenter.decoder)) {
      if (entry.tensor.requires_grad()) entry.tensor.add_(1);
    }
  }

  ASSERT_THAT(WriteTuned(segmenter, out), IsOk());

  ASSERT_OK_AND_ASSIGN(const checkpoint::Checkpoint before, checkpoint::ReadCheckpoint(source));
  ASSERT_OK_AND_ASSIGN(const checkpoint::Checkpoint after, checkpoint::ReadCheckpoint(out));
  EXPECT_EQ(after.wrapper_key, GetParam().wrapper);
  ASSERT_EQ(after.state_dict.size(), before.state_dict.size());
  std::size_t changed = 0;
  for (std::size_t i = 0; i < before.state_dict.size(); ++i) {
    const auto& [name, view] = before.state_dict[i];
    ASSERT_EQ(after.state_dict[i].first, name);
    const bool same = SameBytes(view, after.state_dict[i].second);
    const auto begins = [&](const char* part) {
      return name.starts_with(std::string(GetParam().prefix) + part);
    };
    if (begins("mask_decoder.transformer.") || begins("prompt_encoder.point_embeddings.")) {
      EXPECT_FALSE(same) << name;
    }
    if (!same) {
      EXPECT_TRUE(begins("mask_decoder.") || begins("prompt_encoder.")) << name;
      EXPECT_THAT(name, testing::Not(HasSubstr("gaussian_matrix")));
    }
    changed += !same;
  }
  EXPECT_GT(changed, 50u);

  // It serves, and shares its embeddings with the source.
  ASSERT_OK_AND_ASSIGN(const auto old, segmenter::LoadModel({.path = source, .root = {}}, {}));
  ASSERT_OK_AND_ASSIGN(const auto tuned, segmenter::LoadModel({.path = out, .root = {}}, {}));
  EXPECT_EQ(tuned->encoder, old->encoder);
  EXPECT_NE(tuned->version, old->version);
}

INSTANTIATE_TEST_SUITE_P(Families, WriteTunedTest,
                         testing::Values(Family{"sam_a.pth", "", ""},
                                         Family{"mobile_sam_a.pth", "", ""},
                                         Family{"sam2.1_a.pth", "model", "sam_"},
                                         Family{"sam2.0_a.pth", "model", "sam_"}));

TEST(LoadTunableTest, RefusesWhatItCannotTune) {
  EXPECT_THAT(LoadTunable(kData + "hq_a.pth"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("hq_a.pth"), HasSubstr("SAM, MobileSAM or SAM 2"))));
  EXPECT_THAT(LoadTunable(std::string(DUET_TEST_DATA) + "/detector/tiny.pth"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("detector's checkpoint")));
  EXPECT_THAT(LoadTunable(kData + "nothing.pth"), StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace trainer
