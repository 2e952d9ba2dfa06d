#include "detector_service/blueprint/box_coding.h"

#include <algorithm>
#include <cmath>

namespace detector {
namespace {

float Sigmoid(float x) { return 1.0F / (1.0F + std::exp(-x)); }

// The mean of 0, 1, 2 … weighted by the softmax of `logits`.
float ExpectedBin(const float* logits, int bins) {
  const float largest = *std::max_element(logits, logits + bins);
  float sum = 0;
  float weighted = 0;
  for (int i = 0; i < bins; ++i) {
    const float weight = std::exp(logits[i] - largest);
    sum += weight;
    weighted += weight * static_cast<float>(i);
  }
  return weighted / sum;
}

vision::Box AroundCentre(float x, float y, float width, float height) {
  return {x - width / 2, y - height / 2, x + width / 2, y + height / 2};
}

}  // namespace

int BoxCoding::per_cell() const {
  return code == BoxCode::kAnchors ? static_cast<int>(anchors[0].size()) : 1;
}

int BoxCoding::numbers() const { return code == BoxCode::kDistributions ? 4 * bins : 4; }

vision::Box DecodeBox(const BoxCoding& coding, const float* raw, int level, int x, int y,
                      int anchor) {
  const auto stride = static_cast<float>(kStrides[level]);
  const float px = (static_cast<float>(x) + coding.point) * stride;
  const float py = (static_cast<float>(y) + coding.point) * stride;
  // From the distances to the left, upper, right and lower side, in input pixels.
  const auto around = [&](const auto& distance) -> vision::Box {
    return {px - distance(0), py - distance(1), px + distance(2), py + distance(3)};
  };
  switch (coding.code) {
    case BoxCode::kDistances:
      return around([&](int i) { return raw[i]; });
    case BoxCode::kStrideDistances:
      return around([&](int i) { return raw[i] * stride; });
    case BoxCode::kPositiveStrideDistances:
      return around([&](int i) { return std::max(raw[i], 0.0F) * stride; });
    case BoxCode::kLogStrideDistances:
      return around([&](int i) { return std::exp(raw[i]) * stride; });
    case BoxCode::kDistributions:
      return around(
          [&](int i) { return ExpectedBin(raw + i * coding.bins, coding.bins) * stride; });
    case BoxCode::kAnchors: {
      const Anchor& size = coding.anchors[level][anchor];
      const auto scale = [](float v) { return 4 * Sigmoid(v) * Sigmoid(v); };
      return AroundCentre((Sigmoid(raw[0]) - 0.5F) * 2 * stride + px,
                          (Sigmoid(raw[1]) - 0.5F) * 2 * stride + py, scale(raw[2]) * size.width,
                          scale(raw[3]) * size.height);
    }
    case BoxCode::kCentreSize:
      return AroundCentre(raw[0] * stride + px, raw[1] * stride + py, std::exp(raw[2]) * stride,
                          std::exp(raw[3]) * stride);
  }
  return {};
}

}  // namespace detector
