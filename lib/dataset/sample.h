// Annotated images, as training and evaluation work on them, wherever they came from.
//
// Frame: pixels of the upright image (vision/geometry.h).
#ifndef DUET_DATASET_SAMPLE_H_
#define DUET_DATASET_SAMPLE_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "vision/geometry.h"
#include "vision/mask.h"
#include "vision/rotated_box.h"

namespace dataset {

// One thing on an image.
struct Object {
  int class_index = 0;  // into Dataset::classes
  // Not empty, and inside of the image, unless it was read with CocoReadOptions::boxes_as_written.
  // Around `rotated_box` if there is one; not necessarily tight around `mask`, since both were
  // drawn by people.
  vision::Box box;
  std::optional<vision::RotatedBox> rotated_box;
  // Has the sample's size and at least one pixel.
  std::optional<vision::Mask> mask;
  // Square pixels by which evaluations call it small, medium or large: what COCO's file says, else
  // the mask's, else the box's.
  double area = 0;
  // A region of many things: trainings and evaluations neither want nor punish detections there
  // (COCO's `iscrowd`).
  bool crowd = false;
  // Shall not be learned from (COCO's `ignore`): MMDetection's trainings leave it out. Evaluations
  // want it found like any other, as pycocotools replaces the mark by that of crowds.
  bool ignore = false;
};

struct Sample {
  // What its source calls it: the id of a COCO image or a Label Studio task. "17/2" is the third
  // image of task 17, if the task has a list of images.
  std::string id;
  // Which of the task's annotations the objects are from; "" where there is only one.
  std::string annotation_id;
  // Where the image is: a path, or the address that the task's data holds.
  std::string image;
  // The encoded image if it is in memory; null if it has to be read from `image`.
  std::shared_ptr<const std::string> image_bytes;
  // Upright. 0x0 if the source doesn't say: a task that was annotated as empty, say.
  vision::Size size;
  // In the source's order. Empty: somebody looked and found nothing.
  std::vector<Object> objects;
};

struct Dataset {
  // Names, none empty, none twice.
  std::vector<std::string> classes;
  std::vector<Sample> samples;
};

}  // namespace dataset

#endif  // DUET_DATASET_SAMPLE_H_
