// A step of Segment Anything's training against segment_anything itself: tuning_step.json, made by
// tools/make_tuning_fixtures.py.
#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <gmock/gmock.h>

#include <boost/json.hpp>
#include <cmath>
#include <string>
#include <vector>

#include "segmenter_service/inference/served_model.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"
#include "trainer/optimization/module_state.h"
#include "trainer/segmenter/sam_losses.h"
#include "trainer/segmenter/tunable_segmenter.h"

namespace trainer {
namespace {

using segmenter::Prompt;

const std::string kData = DUET_TEST_DATA;

// Formulas of the fixture.
at::Tensor Embedding() {
  return at::sin(0.37 * at::arange(64 * 64 * 64, at::kDouble)).to(at::kFloat).view({1, 64, 64, 64});
}

at::Tensor Coverage(const boost::json::array& disc) {
  const at::Tensor line = at::arange(256, at::kDouble) + 0.5;
  const auto number = [&](std::size_t i) { return disc[i].to_number<double>(); };
  const at::Tensor distance =
      at::sqrt((line.unsqueeze(0) - number(0)).square() + (line.unsqueeze(1) - number(1)).square());
  return (number(2) - distance + 0.5).clamp(0, 1).to(at::kFloat).unsqueeze(0);
}

class TuningStepTest : public testing::Test {
 protected:
  void SetUp() override {
    fixture_ = boost::json::parse(duet_testing::ReadFile(kData + "/trainer/tuning_step.json"));
    ASSERT_OK_AND_ASSIGN(segmenter_, LoadTunable(kData + "/segmenter/sam_a.pth"));
  }

  // Plays one group of the fixture: `added`, the clicks before each round.
  void Play(const char* added, std::vector<Prompt> prompts, const at::Tensor& target) {
    at::Tensor earlier;
    const boost::json::array& rounds = fixture_.at(added).as_array();
    for (std::size_t round = 0; round < rounds.size(); ++round) {
      for (std::size_t i = 0; rounds[round].is_array() && i < prompts.size(); ++i) {
        const boost::json::array& click = rounds[round].get_array()[i].as_array();
        prompts[i].points.push_back(
            {.at = {click[0].to_number<float>(), click[1].to_number<float>()},
             .label = click[2].to_number<int>()});
      }
      const segmenter::DecodedMasks all =
          segmenter_.decoder->Decode({Embedding()}, prompts, earlier);
      const bool ambiguous = round == 0 && !prompts[0].box.has_value();
      const at::Tensor logits = ambiguous ? all.logits.slice(1, 1) : all.logits.slice(1, 0, 1);
      const at::Tensor ious =
          ambiguous ? all.iou_predictions.slice(1, 1) : all.iou_predictions.slice(1, 0, 1);
      const SamLosses losses = ComputeSamLosses(logits, ious, target);
      losses.Total().backward();
      Expect(losses);
      const at::Tensor preferred =
          ious.detach().argmax(1).view({-1, 1, 1, 1}).expand({-1, 1, 256, 256});
      earlier = logits.detach().gather(1, preferred);
    }
  }

  // A mean over 65536 pixels, and a decoder of some 30 layers in float32, whose roundings differ
  // between the two: 1e-4 of the value.
  void Expect(const SamLosses& losses) {
    const boost::json::value& upstream = fixture_.at("rounds").at(round_++);
    const auto near = [&](const char* name, const at::Tensor& loss) {
      const double expected = upstream.at(name).to_number<double>();
      EXPECT_NEAR(loss.item<double>(), expected, 1e-4 * expected) << name << " of round " << round_;
    };
    near("focal", losses.focal);
    near("dice", losses.dice);
    near("iou", losses.iou);
  }

  boost::json::value fixture_;
  TunableSegmenter segmenter_;
  std::size_t round_ = 0;
};

TEST_F(TuningStepTest, LossesAndGradientsEqualSegmentAnythings) {
  const boost::json::array& discs = fixture_.at("discs").as_array();
  const auto target = [&](std::size_t i) { return Coverage(discs[i].as_array()); };
  Play("clicks", std::vector<Prompt>(2), at::stack({target(0), target(1)}));
  const boost::json::array& box = fixture_.at("box").as_array();
  const auto corner = [&](std::size_t i) { return box[i].to_number<float>(); };
  Play("box_clicks",
       {Prompt{.points = {}, .box = vision::Box{corner(0), corner(1), corner(2), corner(3)}}},
       at::stack({target(2)}));

  const boost::json::object& gradients = fixture_.at("gradients").as_object();
  double largest = 0;
  for (const auto& [name, values] : gradients) {
    largest = std::max(largest, values.as_array()[0].to_number<double>());
  }
  std::size_t compared = 0;
  for (const StateTensor& entry : StateOf(*segmenter_.decoder)) {
    const boost::json::value* const upstream = gradients.if_contains(entry.name);
    ASSERT_EQ(upstream != nullptr, entry.tensor.grad().defined()) << entry.name;
    if (upstream == nullptr) continue;
    ++compared;
    const at::Tensor gradient = entry.tensor.grad().to(at::kDouble).flatten();
    const at::Tensor weights = at::sin(at::arange(1, gradient.numel() + 1, at::kDouble));
    // Sums over 4096 cells, of numbers that nearly cancel: what is a rounding to the largest
    // gradient isn't to the small ones. Keys' biases have none but for rounding.
    const double norm = upstream->as_array()[0].to_number<double>();
    const double tolerance = 1e-3 * norm + 1e-6 * largest;
    EXPECT_NEAR(gradient.norm().item<double>(), norm, tolerance) << entry.name;
    EXPECT_NEAR((gradient * weights).sum().item<double>(),
                upstream->as_array()[1].to_number<double>(), tolerance)
        << entry.name;
  }
  EXPECT_EQ(compared, gradients.size());
}

// What learns computes what serves, for every family.
class DecodesAsServedTest : public testing::TestWithParam<const char*> {};

TEST_P(DecodesAsServedTest, WithPointsBoxesAndMasks) {
  const std::string path = kData + "/segmenter/" + GetParam();
  ASSERT_OK_AND_ASSIGN(const TunableSegmenter segmenter, LoadTunable(path));
  ASSERT_OK_AND_ASSIGN(const auto served, segmenter::LoadModel({.path = path, .root = {}}, {}));
  segmenter::Embedding embedding;
  for (const segmenter::FeatureShape& shape : served->network->spec().embedding) {
    const std::int64_t count = shape.channels * shape.height * shape.width;
    const at::Tensor values = at::sin(0.37 * at::arange(count)).contiguous();
    const auto* const bytes = static_cast<const std::byte*>(values.data_ptr());
    embedding.maps.push_back({shape, {bytes, bytes + shape.bytes()}});
  }
  const at::NoGradGuard no_grad;
  const std::vector<at::Tensor> maps = MapsOf(embedding);
  const std::int64_t low = served->network->spec().low_res_size;
  const at::Tensor earlier = 40 * at::sin(at::arange(low * low) * 0.01).view({1, 1, low, low});

  const Prompt point{.points = {{.at = {100, 200}, .label = 1}}, .box = {}, .mask_logits = {}};
  Prompt box{.points = {{.at = {90, 50}, .label = 0}}, .box = vision::Box{10, 20, 300, 200}};
  for (const bool with_mask : {false, true}) {
    for (Prompt prompt : {point, box}) {
      for (const bool multimask : {false, true}) {
        const segmenter::DecodedMasks learned = segmenter.decoder->Select(
            segmenter.decoder->Decode(maps, {&prompt, 1}, with_mask ? earlier : at::Tensor()),
            multimask);
        if (with_mask) {
          // A client's logits come back clamped.
          const at::Tensor given =
              std::string(GetParam()).starts_with("sam2") ? earlier.clamp(-32, 32) : earlier;
          prompt.mask_logits.assign(given.data_ptr<float>(), given.data_ptr<float>() + low * low);
        }
        ASSERT_OK_AND_ASSIGN(const segmenter::LowResMasks masks,
                             served->network->DecodeMasks(embedding, {&prompt, 1}, multimask));
        const at::Tensor logits = learned.logits.contiguous();
        ASSERT_EQ(static_cast<std::size_t>(logits.numel()), masks.logits.size());
        // The packed decoder sums in another order: roundings of the largest logit.
        const double largest = logits.abs().max().item<double>();
        for (std::size_t i = 0; i < masks.logits.size(); i += 97) {
          ASSERT_NEAR(logits.data_ptr<float>()[i], masks.logits[i], 2e-4 * largest);
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Families, DecodesAsServedTest,
                         testing::Values("sam_a.pth", "mobile_sam_a.pth", "sam2.1_a.pth",
                                         "sam2.0_a.pth"));

}  // namespace
}  // namespace trainer
