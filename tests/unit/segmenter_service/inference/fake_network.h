// A SamNetwork whose every step is in the test's hand: its encoder's "blocks" are calls of
// `on_block`, its masks are constant.
#ifndef DUET_TESTS_UNIT_SEGMENTER_SERVICE_INFERENCE_FAKE_NETWORK_H_
#define DUET_TESTS_UNIT_SEGMENTER_SERVICE_INFERENCE_FAKE_NETWORK_H_

#include <atomic>
#include <cstring>
#include <functional>
#include <utility>
#include <vector>

#include "segmenter_service/inference/sam_network.h"

namespace segmenter {

class FakeNetwork : public SamNetwork {
 public:
  FakeNetwork() {
    spec_.name = "fake";
    spec_.image_size = 64;
    spec_.low_res_size = 16;
    spec_.embedding = {{8, 4, 4}};
  }

  const NetworkSpec& spec() const override { return spec_; }

  absl::StatusOr<Embedding> EncodeImage(absl::Span<const float> input, const Yield& yield,
                                        const Pause& pause) override {
    ++encodes;
    for (int block = 0; block < 3; ++block) {
      if (on_block) on_block(block);
      if (pause) pause();
      if (after_pause) after_pause();
      if (absl::Status status = yield(); !status.ok()) return status;
    }
    const FeatureShape& shape = spec_.embedding[0];
    std::vector<std::byte> data(shape.bytes());
    for (std::size_t at = 0; at < data.size(); at += sizeof(float)) {
      std::memcpy(&data[at], input.data(), sizeof(float));
    }
    return Embedding{{{shape, std::move(data)}}};
  }

  absl::StatusOr<LowResMasks> DecodeMasks(const Embedding&, absl::Span<const Prompt> prompts,
                                          bool multimask_output) override {
    ++decodes;
    last_prompts.assign(prompts.begin(), prompts.end());
    LowResMasks masks;
    masks.masks_per_prompt = multimask_output ? 3 : 1;
    masks.size = 16;
    const std::size_t count = prompts.size() * masks.masks_per_prompt;
    for (std::size_t i = 0; i < count; ++i) {
      // The i-th mask's logits are all i + 1, so that they can be told apart.
      masks.logits.insert(masks.logits.end(), 16 * 16, static_cast<float>(i + 1));
      masks.iou_scores.push_back(0.5f + 0.125f * static_cast<float>(i % 3));
    }
    return masks;
  }

  absl::Status WarmUp() override {
    ++warm_ups;
    return warm_up_status;
  }

  std::function<void(int block)> on_block;
  std::function<void()> after_pause;  // still within the block
  std::atomic<int> encodes{0}, decodes{0}, warm_ups{0};
  std::vector<Prompt> last_prompts;
  absl::Status warm_up_status;

 private:
  NetworkSpec spec_;
};

}  // namespace segmenter

#endif  // DUET_TESTS_UNIT_SEGMENTER_SERVICE_INFERENCE_FAKE_NETWORK_H_
