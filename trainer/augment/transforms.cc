#include "trainer/augment/transforms.h"

#include <algorithm>
#include <cmath>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>
#include <utility>

#include "vision/box.h"

namespace trainer {
namespace {

vision::Size SizeOf(const cv::Mat& image) { return {image.cols, image.rows}; }

// As tensors of float32 are multiplied.
vision::Box ScaledBox(const vision::Box& box, double x, double y) {
  const auto scale_x = static_cast<float>(x);
  const auto scale_y = static_cast<float>(y);
  return {box.x_min * scale_x, box.y_min * scale_y, box.x_max * scale_x, box.y_max * scale_y};
}

vision::Box MovedBox(const vision::Box& box, int x, int y) {
  const auto dx = static_cast<float>(x);
  const auto dy = static_cast<float>(y);
  return {box.x_min + dx, box.y_min + dy, box.x_max + dx, box.y_max + dy};
}

vision::Box FlippedBox(const vision::Box& box, int width) {
  const auto right = static_cast<float>(width);
  return {right - box.x_max, box.y_min, right - box.x_min, box.y_max};
}

// HorizontalBoxes.is_inside: at least a part of it.
bool IsInside(const vision::Box& box, vision::Size size) {
  return box.x_min < static_cast<float>(size.width) &&
         box.y_min < static_cast<float>(size.height) && box.x_max > 0 && box.y_max > 0;
}

void RemoveOutside(vision::Size size, std::vector<FramedObject>* objects) {
  std::erase_if(*objects,
                [size](const FramedObject& object) { return !IsInside(object.box, size); });
}

cv::Mat ResizedImage(const cv::Mat& image, cv::Size size) {
  size.width = std::max(size.width, 1);
  size.height = std::max(size.height, 1);
  if (size == image.size()) return image;
  cv::Mat resized;
  cv::resize(image, resized, size, 0, 0, cv::INTER_LINEAR);
  return resized;
}

// Scales masks from the old image's size to the new one's, and boxes as told.
void ScaleObjects(cv::Size from, cv::Size to, double box_x, double box_y, Frame* frame) {
  const double x = static_cast<double>(to.width) / from.width;
  const double y = static_cast<double>(to.height) / from.height;
  for (FramedObject& object : frame->objects) {
    object.box = ScaledBox(object.box, box_x, box_y);
    object.map = Scaled(object.map, x, y);
  }
}

// Resamples a mask into a frame of `size`.
void SettleMask(vision::Size size, FramedObject* object) {
  if (object->mask == nullptr) return;
  object->mask = std::make_shared<const vision::Mask>(Resample(*object->mask, object->map, size));
  object->map = {};
}

// RandomCrop with recompute_bbox, whose boxes are the bounds of the cropped polygons. A mask's
// edges are those of the source's pixels: where they are within a pixel of the annotated box, that
// is what is exact; elsewhere the crop has cut off what reached there.
vision::Box RecomputedBox(const FramedObject& object, vision::Size size) {
  const vision::Box bounds = BoundsInFrame(*object.mask, object.map, size);
  if (bounds.width() <= 0) return bounds;
  const auto edge = [](float annotated, float recomputed, double pixel) {
    return std::abs(annotated - recomputed) <= pixel ? annotated : recomputed;
  };
  return {edge(object.box.x_min, bounds.x_min, object.map.scale_x),
          edge(object.box.y_min, bounds.y_min, object.map.scale_y),
          edge(object.box.x_max, bounds.x_max, object.map.scale_x),
          edge(object.box.y_max, bounds.y_max, object.map.scale_y)};
}

cv::Scalar Grey(int value) { return cv::Scalar::all(value); }

// Where a tile lands on the canvas, and which part of it (Mosaic._mosaic_combine).
struct Placement {
  cv::Rect canvas;
  cv::Point tile;  // the upper left corner of the part
};

Placement Place(std::size_t position, cv::Point centre, cv::Size tile, int canvas_side) {
  const bool right = position % 2 == 1;
  const bool below = position / 2 == 1;
  const int x_min = right ? centre.x : std::max(centre.x - tile.width, 0);
  const int y_min = below ? centre.y : std::max(centre.y - tile.height, 0);
  const int x_max = right ? std::min(centre.x + tile.width, canvas_side) : centre.x;
  const int y_max = below ? std::min(centre.y + tile.height, canvas_side) : centre.y;
  const cv::Rect canvas(x_min, y_min, x_max - x_min, y_max - y_min);
  return {canvas, {right ? 0 : tile.width - canvas.width, below ? 0 : tile.height - canvas.height}};
}

}  // namespace

Frame ToFrame(const TrainingImage& image, bool masks) {
  Frame frame{.image = image.image, .objects = {}};
  frame.objects.reserve(image.objects.size());
  for (const TrainingObject& object : image.objects) {
    FramedObject& framed = frame.objects.emplace_back();
    framed.box = object.box;
    framed.class_index = object.class_index;
    framed.ignored = object.ignored || (masks && object.mask == nullptr);
    if (masks) framed.mask = object.mask;
  }
  return frame;
}

TrainingImage ToTrainingImage(const Frame& frame) {
  TrainingImage image{.image = frame.image, .objects = {}};
  image.objects.reserve(frame.objects.size());
  for (const FramedObject& framed : frame.objects) {
    TrainingObject& object = image.objects.emplace_back();
    object.box = framed.box;
    object.class_index = framed.class_index;
    object.ignored = framed.ignored;
    if (framed.mask != nullptr) {
      object.mask = std::make_shared<const vision::Mask>(
          Resample(*framed.mask, framed.map, SizeOf(frame.image)));
    }
  }
  return image;
}

std::size_t BytesOf(const Frame& frame) {
  std::size_t bytes = frame.image.total() * frame.image.elemSize();
  for (const FramedObject& object : frame.objects) {
    bytes += sizeof(FramedObject);
    if (object.mask != nullptr) bytes += object.mask->spans.capacity() * sizeof(vision::Span);
  }
  return bytes;
}

Frame MosaicTile(const Frame& image, int side) {
  const cv::Size size = image.image.size();
  const double ratio =
      std::min(static_cast<double>(side) / size.height, static_cast<double>(side) / size.width);
  Frame tile = image;
  tile.image = ResizedImage(
      image.image, {static_cast<int>(size.width * ratio), static_cast<int>(size.height * ratio)});
  ScaleObjects(size, tile.image.size(), ratio, ratio, &tile);
  return tile;
}

Frame Mosaic(const std::array<const Frame*, 4>& tiles, cv::Point centre, int side, int pad_value) {
  const int canvas_side = 2 * side;
  Frame mosaic{.image = cv::Mat(canvas_side, canvas_side, CV_8UC3, Grey(pad_value)), .objects = {}};
  const vision::Size size = SizeOf(mosaic.image);
  for (std::size_t i = 0; i < tiles.size(); ++i) {
    const Frame& tile = *tiles[i];
    const Placement placement = Place(i, centre, tile.image.size(), canvas_side);
    tile.image(cv::Rect(placement.tile, placement.canvas.size()))
        .copyTo(mosaic.image(placement.canvas));
    const cv::Point move = placement.canvas.tl() - placement.tile;
    for (FramedObject object : tile.objects) {
      object.box = vision::Clip(MovedBox(object.box, move.x, move.y), size);
      object.map = Moved(object.map, move.x, move.y);
      mosaic.objects.push_back(std::move(object));
    }
  }
  RemoveOutside(size, &mosaic.objects);
  return mosaic;
}

Frame Resized(const Frame& frame, int longer_side) {
  const cv::Size size = frame.image.size();
  const double factor = static_cast<double>(longer_side) / std::max(size.width, size.height);
  Frame resized = frame;
  resized.image = ResizedImage(frame.image, {static_cast<int>(size.width * factor + 0.5),
                                             static_cast<int>(size.height * factor + 0.5)});
  const cv::Size to = resized.image.size();
  ScaleObjects(size, to, static_cast<double>(to.width) / size.width,
               static_cast<double>(to.height) / size.height, &resized);
  for (FramedObject& object : resized.objects) {
    object.box = vision::Clip(object.box, SizeOf(resized.image));
  }
  return resized;
}

Frame Cropped(const Frame& frame, const cv::Rect& window, bool recompute_boxes) {
  Frame cropped{.image = frame.image(window), .objects = {}};
  const vision::Size size{window.width, window.height};
  for (FramedObject object : frame.objects) {
    object.box = vision::Clip(MovedBox(object.box, -window.x, -window.y), size);
    if (!IsInside(object.box, size)) continue;
    object.map = Moved(object.map, -window.x, -window.y);
    if (recompute_boxes && object.mask != nullptr) {
      object.box = RecomputedBox(object, size);
    }
    SettleMask(size, &object);
    cropped.objects.push_back(std::move(object));
  }
  return cropped;
}

void ShiftColours(const std::array<int, 3>& gains, cv::Mat* image) {
  cv::Mat table(1, 256, CV_8UC3);
  for (int i = 0; i < 256; ++i) {
    table.at<cv::Vec3b>(i) = {static_cast<unsigned char>(((i + gains[0]) % 180 + 180) % 180),
                              static_cast<unsigned char>(std::clamp(i + gains[1], 0, 255)),
                              static_cast<unsigned char>(std::clamp(i + gains[2], 0, 255))};
  }
  cv::Mat hsv;
  cv::cvtColor(*image, hsv, cv::COLOR_BGR2HSV);
  cv::LUT(hsv, table, hsv);
  cv::cvtColor(hsv, *image, cv::COLOR_HSV2BGR);
}

Frame FlippedFrame(const Frame& frame) {
  Frame flipped = frame;
  cv::Mat image;
  cv::flip(frame.image, image, /*flipCode=*/1);
  flipped.image = image;
  for (FramedObject& object : flipped.objects) {
    object.box = FlippedBox(object.box, image.cols);
    if (object.mask == nullptr) continue;
    object.mask = std::make_shared<const vision::Mask>(Flipped(*object.mask));
  }
  return flipped;
}

Frame Padded(const Frame& frame, int side, int pad_value) {
  Frame padded = frame;
  cv::Mat image;
  cv::copyMakeBorder(frame.image, image, 0, std::max(side - frame.image.rows, 0), 0,
                     std::max(side - frame.image.cols, 0), cv::BORDER_CONSTANT, Grey(pad_value));
  padded.image = image;
  for (FramedObject& object : padded.objects) {
    if (object.mask == nullptr) continue;
    vision::Mask mask = *object.mask;
    mask.size = SizeOf(image);
    object.mask = std::make_shared<const vision::Mask>(std::move(mask));
  }
  return padded;
}

int MixUpSide(int side, double ratio) { return static_cast<int>(side * ratio); }

Frame MixedUp(const Frame& frame, const Frame& partner, const MixUpChoice& choice, int side,
              int pad_value) {
  // The partner as it lies over the frame.
  const int scaled_side = MixUpSide(side, choice.ratio);
  const vision::Size scaled_size{scaled_side, scaled_side};
  const vision::Size size{side, side};
  Frame over = partner;
  over.image = ResizedImage(partner.image, {scaled_side, scaled_side});
  ScaleObjects(partner.image.size(), over.image.size(), choice.ratio, choice.ratio, &over);
  for (FramedObject& object : over.objects) {
    object.box = vision::Clip(object.box, scaled_size);
    SettleMask(scaled_size, &object);
  }
  if (choice.flip) over = FlippedFrame(over);
  over = Padded(over, side, pad_value);
  over.image = over.image(cv::Rect(choice.offset.x, choice.offset.y, side, side));
  for (FramedObject& object : over.objects) {
    object.box = vision::Clip(MovedBox(object.box, -choice.offset.x, -choice.offset.y), size);
    object.map = Moved(object.map, -choice.offset.x, -choice.offset.y);
    SettleMask(size, &object);
  }

  Frame mixed{.image = cv::Mat(side, side, CV_8UC3), .objects = frame.objects};
  for (int y = 0; y < side; ++y) {
    const unsigned char* a = frame.image.ptr(y);
    const unsigned char* b = over.image.ptr(y);
    unsigned char* mean = mixed.image.ptr(y);
    for (int i = 0; i < 3 * side; ++i) mean[i] = static_cast<unsigned char>((a[i] + b[i]) / 2);
  }
  mixed.objects.insert(mixed.objects.end(), over.objects.begin(), over.objects.end());
  RemoveOutside(size, &mixed.objects);
  return mixed;
}

bool FilterSmallBoxes(Frame* frame) {
  if (frame->objects.empty()) return true;
  std::erase_if(frame->objects, [](const FramedObject& object) {
    return !(object.box.width() > 1 && object.box.height() > 1);
  });
  return !frame->objects.empty();
}

}  // namespace trainer
