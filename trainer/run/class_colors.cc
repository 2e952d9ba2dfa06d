#include "trainer/run/class_colors.h"

#include <algorithm>
#include <cmath>
#include <set>

namespace trainer {
namespace {

// Of hue (0 to 1) at full saturation and this value (0 to 1), towards white by `paleness`.
std::array<int, 3> ColorOf(double hue, double value, double paleness) {
  std::array<int, 3> color{};
  for (int channel = 0; channel < 3; ++channel) {
    const double turned = std::fmod(hue * 6 + 4.0 * channel + 5, 6);
    const double part = 1 - std::clamp(std::min(turned, 4 - turned), 0.0, 1.0);
    color[channel] =
        static_cast<int>(std::lround(255 * value * (paleness + (1 - paleness) * part)));
  }
  return color;
}

}  // namespace

std::vector<std::array<int, 3>> ClassColors(int count) {
  // Steps of the golden ratio never come close to a hue that was there shortly before.
  constexpr double kGoldenRatio = 0.618033988749895;
  std::vector<std::array<int, 3>> colors;
  std::set<std::array<int, 3>> taken;
  for (int i = 0; static_cast<int>(colors.size()) < count; ++i) {
    const std::array<int, 3> color =
        ColorOf(std::fmod(i * kGoldenRatio, 1), 1 - 0.17 * (i / 7 % 4), 0.15 * (i / 28 % 4));
    if (taken.insert(color).second) colors.push_back(color);
  }
  return colors;
}

}  // namespace trainer
