// Objects drawn into their picture: masks, boxes and captions, in the colours of their labels.
#ifndef DUET_CLI_PICTURE_DRAWING_H_
#define DUET_CLI_PICTURE_DRAWING_H_

#include <opencv2/core/mat.hpp>
#include <opencv2/core/types.hpp>
#include <string>
#include <vector>

#include "label_studio/label_color.h"
#include "label_studio/result.h"

namespace cli {

// The longest side of what is drawn: a smaller picture is enlarged by a whole number, since no
// caption would fit.
inline constexpr int kLeastDrawnSide = 480;

// The colour of a class: that of its label in the label config that Duet generates. `classes`: of
// the model, in its order.
label_studio::Rgb ColorOfClass(const std::vector<std::string>& classes, const std::string& name);

// The picture with the objects: masks that one can see through, an outline around each, boxes (the
// turned ones of objects that have one), and above them the captions "name 0.93". A name that the
// font has no characters for is "#3", the object's place in the list, counted from 1. `picture`:
// CV_8UC3, B, G, R, upright, of the size that the masks have; it isn't changed.
cv::Mat DrawObjects(const cv::Mat& picture, const std::vector<label_studio::Object>& objects,
                    const std::vector<std::string>& classes);

// Where captions of these sizes stand: in the order of their boxes each takes the first free place
// at its own box, over it first; inside of `canvas`, and on no other one as long as there is room.
std::vector<cv::Rect> PlaceCaptions(const std::vector<cv::Rect>& boxes,
                                    const std::vector<cv::Size>& captions, cv::Size canvas);

}  // namespace cli

#endif  // DUET_CLI_PICTURE_DRAWING_H_
