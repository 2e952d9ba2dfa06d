// Mean and standard deviation of ImageNet's pixels, by which most networks' inputs are normalized.
#ifndef DUET_VISION_IMAGENET_H_
#define DUET_VISION_IMAGENET_H_

#include <array>

namespace vision {

// In the order R, G, B, of values from 0 to 255.
inline constexpr std::array<float, 3> kImageNetMean = {123.675F, 116.28F, 103.53F};
inline constexpr std::array<float, 3> kImageNetStd = {58.395F, 57.12F, 57.375F};

// Three values per channel in the order B, G, R.
constexpr std::array<float, 3> ToBgr(const std::array<float, 3>& rgb) {
  return {rgb[2], rgb[1], rgb[0]};
}

}  // namespace vision

#endif  // DUET_VISION_IMAGENET_H_
