#include "detector_service/model/box_coding.h"

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
  switch (coding.code) {
    case BoxCode::kDistances:
      return {px - raw[0], py - raw[1], px + raw[2], py + raw[3]};
    case BoxCode::kStrideDistances:
      return {px - raw[0] * stride, py - raw[1] * stride, px + raw[2] * stride,
              py + raw[3] * stride};
    case BoxCode::kDistributions: {
      const auto side = [&](int i) {
        return ExpectedBin(raw + i * coding.bins, coding.bins) * stride;
      };
      return {px - side(0), py - side(1), px + side(2), py + side(3)};
    }
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
