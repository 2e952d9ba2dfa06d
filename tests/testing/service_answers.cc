#include "tests/testing/service_answers.h"

namespace duet_testing {

void AddCat(const PixelBox& box, duet::detector::v1::DetectResponse* response) {
  auto* const found = response->add_detections();
  found->set_label("cat");
  found->set_score(0.9f);
  found->mutable_box()->set_x_min(static_cast<float>(box.x_min));
  found->mutable_box()->set_y_min(static_cast<float>(box.y_min));
  found->mutable_box()->set_x_max(static_cast<float>(box.x_max));
  found->mutable_box()->set_y_max(static_cast<float>(box.y_max));
}

void FillBox(int width, int height, const PixelBox& box, duet::vision::v1::RowRuns* runs) {
  const int inside = box.x_max - box.x_min;
  runs->set_width(width);
  runs->set_height(height);
  runs->add_counts(box.y_min * width + box.x_min);
  for (int y = box.y_min; y < box.y_max; ++y) {
    runs->add_counts(inside);
    runs->add_counts(y + 1 < box.y_max ? width - inside : (height - y) * width - box.x_max);
  }
}

}  // namespace duet_testing
