// What fakes of the two services answer with: found objects, and masks that are rectangles. Pixels;
// boxes are half-open.
#ifndef DUET_TESTS_TESTING_SERVICE_ANSWERS_H_
#define DUET_TESTS_TESTING_SERVICE_ANSWERS_H_

#include "duet/detector/v1/detector.pb.h"
#include "duet/vision/v1/mask.pb.h"

namespace duet_testing {

struct PixelBox {
  int x_min, y_min, x_max, y_max;
};

// A "cat" with score 0.9.
void AddCat(const PixelBox& box, duet::detector::v1::DetectResponse* response);

// The box, filled, in an image of width × height. REQUIRES: it lies inside.
void FillBox(int width, int height, const PixelBox& box, duet::vision::v1::RowRuns* runs);

}  // namespace duet_testing

#endif  // DUET_TESTS_TESTING_SERVICE_ANSWERS_H_
