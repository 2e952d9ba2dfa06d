#include "label_studio/label_color.h"

#include <cmath>

namespace label_studio {

Rgb LabelColor(std::size_t index) {
  const double hue = std::fmod(static_cast<double>(index) * 137.508, 360.0);
  const auto channel = [&](double offset) {
    const double k = std::fmod(offset + hue / 30, 12.0);
    const double lightness = 0.5, chroma = 0.35;
    return static_cast<int>(
        255 * (lightness - chroma * std::fmax(-1, std::fmin(std::fmin(k - 3, 9 - k), 1))));
  };
  return {.red = channel(0), .green = channel(8), .blue = channel(4)};
}

}  // namespace label_studio
