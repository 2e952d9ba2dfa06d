#include "segmenter_service/inference/family.h"

#include <gmock/gmock.h>

#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "nn/layers.h"
#include "nn/state_dict.h"
#include "tests/testing/status_matchers.h"
#include "tests/unit/segmenter_service/official_file.h"

namespace segmenter {
namespace {

using duet_testing::IsOk;
using duet_testing::StatusIs;
using testing::HasSubstr;

const std::string kData = std::string(DUET_TEST_DATA) + "/segmenter/";

class OfficialFilesTest : public testing::TestWithParam<const char*> {};

TEST_P(OfficialFilesTest, AreRecognisedAndHaveAllNamesAndShapes) {
  const checkpoint::StateDict file = ReadManifest(GetParam());
  const nn::SkipInitialization loaded_below;

  ASSERT_OK_AND_ASSIGN(const ModelParts model, MakeModel(file, {}));

  EXPECT_EQ(model.spec.name, GetParam());
  EXPECT_EQ(model.spec.image_size, 1024);
  EXPECT_EQ(model.spec.low_res_size, 256);
  EXPECT_THAT(
      nn::LoadStateDict(file, *model.weights,
                        {.memory = nn::Memory::kBorrow, .ignored_prefixes = model.unused_prefixes}),
      IsOk());
}

INSTANTIATE_TEST_SUITE_P(Manifests, OfficialFilesTest,
                         testing::Values("sam-vit-b", "sam-vit-l", "sam-vit-h", "mobile-sam",
                                         "sam-hq-vit-b", "sam-hq-vit-tiny", "sam2.1-hiera-tiny",
                                         "sam2.1-hiera-small", "sam2.1-hiera-base-plus",
                                         "sam2.1-hiera-large"));

// Weights that are packed need no second copy of theirs, and what is left needs no file.
TEST(LoadNetworkTest, LetsGoOfTheFile) {
  for (const char* name : {"sam_a.pth", "mobile_sam_a.pth", "hq_a.pth", "sam2.1_a.pth"}) {
    SCOPED_TRACE(name);
    ASSERT_OK_AND_ASSIGN(checkpoint::Checkpoint file, checkpoint::ReadCheckpoint(kData + name));
    const std::weak_ptr<const void> memory = file.state_dict.front().second.owner;
    std::ifstream sidecar(kData + name + ".json");
    const std::string text{std::istreambuf_iterator<char>(sidecar), {}};

    const auto network = LoadNetwork(file.state_dict, {.threads = 2}, text);

    ASSERT_THAT(network, IsOk());
    file.state_dict.clear();
    EXPECT_TRUE(memory.expired());
  }
}

TEST(LoadNetworkTest, AnEncodeStopsAtTheBlockAfterItIsToldTo) {
  ASSERT_OK_AND_ASSIGN(const auto file, checkpoint::ReadCheckpoint(kData + "sam_a.pth"));
  ASSERT_OK_AND_ASSIGN(const auto network, LoadNetwork(file.state_dict, {.threads = 2}));
  const std::size_t side = network->spec().image_size;
  int yields = 0, pauses = 0;

  const auto embedding = network->EncodeImage(
      std::vector<float>(3 * side * side),
      [&] { return ++yields == 2 ? absl::CancelledError("enough") : absl::OkStatus(); },
      [&] { ++pauses; });

  EXPECT_THAT(embedding, StatusIs(absl::StatusCode::kCancelled, "enough"));
  EXPECT_EQ(yields, 2);
  EXPECT_GT(pauses, 4) << "within the one block that ran";
}

void ExpectRefused(const checkpoint::StateDict& state_dict, const FamilyOptions& options,
                   const std::string& text) {
  EXPECT_THAT(MakeModel(state_dict, options),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(text)));
}

TEST(MakeModelTest, SaysWhatAForeignFileIs) {
  const checkpoint::TensorView any = ReadManifest("mobile-sam").front().second;
  ExpectRefused({{"backbone.stem.0.conv.weight", any}, {"bbox_head.rtm_cls.0.weight", any}}, {},
                "duet-detector");
  ExpectRefused({{"conv1.weight", any}}, {}, "the first of its 1 is 'conv1.weight'");
  ExpectRefused({}, {}, "the file holds no tensors");
}

TEST(MakeModelTest, HqTokenOnlyNeedsAnHqDecoder) {
  ExpectRefused(ReadManifest("mobile-sam"), {.hq_token_only = true},
                "--hq_token_only needs an HQ-SAM checkpoint; this is mobile-sam");
}

TEST(MakeModelTest, AnHqDecoderMustFitItsEncoder) {
  checkpoint::StateDict file = ReadManifest("sam-hq-vit-tiny");
  for (auto& [name, view] : file) {
    if (name == "mask_decoder.compress_vit_feat.0.weight") view.shape[0] = 128;
  }
  ExpectRefused(file, {}, "the encoder's second stage gives 160 channels");
}

}  // namespace
}  // namespace segmenter
