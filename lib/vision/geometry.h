// Geometry shared by both models and the gateway. Frame: pixels of the upright image, origin at its
// top-left corner, y down. A box is half-open: it covers x in [x_min, x_max) and y in [y_min,
// y_max).
#ifndef DUET_VISION_GEOMETRY_H_
#define DUET_VISION_GEOMETRY_H_

namespace vision {

struct Size {
  int width = 0;
  int height = 0;
  friend bool operator==(const Size&, const Size&) = default;
};

struct Point {
  float x = 0;
  float y = 0;
  friend bool operator==(const Point&, const Point&) = default;
};

struct Box {
  float x_min = 0;
  float y_min = 0;
  float x_max = 0;
  float y_max = 0;

  float width() const { return x_max - x_min; }
  float height() const { return y_max - y_min; }
  friend bool operator==(const Box&, const Box&) = default;
};

}  // namespace vision

#endif  // DUET_VISION_GEOMETRY_H_
