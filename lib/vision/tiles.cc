#include "vision/tiles.h"

#include <algorithm>

namespace vision {
namespace {

std::int64_t CountAlong(int length, int side, int overlap) {
  if (length <= side) return 1;
  const std::int64_t step = side - overlap;
  return (length - side + step - 1) / step + 1;
}

int StartOf(std::int64_t index, int length, int side, int overlap) {
  const std::int64_t last = std::max(0, length - side);
  return static_cast<int>(std::min(index * (side - overlap), last));
}

}  // namespace

std::int64_t CountTiles(Size image, int side, int overlap) {
  return CountAlong(image.width, side, overlap) * CountAlong(image.height, side, overlap);
}

std::vector<Tile> TilesOf(Size image, int side, int overlap) {
  const Size size = {std::min(side, image.width), std::min(side, image.height)};
  std::vector<Tile> tiles;
  for (std::int64_t row = 0; row < CountAlong(image.height, side, overlap); ++row) {
    for (std::int64_t column = 0; column < CountAlong(image.width, side, overlap); ++column) {
      tiles.push_back({StartOf(column, image.width, side, overlap),
                       StartOf(row, image.height, side, overlap), size});
    }
  }
  return tiles;
}

}  // namespace vision
