// An image in overlapping tiles.
#ifndef DUET_VISION_TILES_H_
#define DUET_VISION_TILES_H_

#include <cstdint>
#include <vector>

#include "vision/geometry.h"

namespace vision {

// Pixels x ≤ column < x + size.width of the image, and rows alike.
struct Tile {
  int x = 0;
  int y = 0;
  Size size;
  friend bool operator==(const Tile&, const Tile&) = default;
};

// Squares with a side of `side`, row by row, each `overlap` pixels into the one before; the last of
// a row or column is moved back to end with the image. A tile is smaller only where the image is.
// The same as SAHI's get_slice_bboxes (sahi/slicing.py). REQUIRES: 0 <= overlap < side; the image
// isn't empty.
std::vector<Tile> TilesOf(Size image, int side, int overlap);

// How many that are.
std::int64_t CountTiles(Size image, int side, int overlap);

}  // namespace vision

#endif  // DUET_VISION_TILES_H_
