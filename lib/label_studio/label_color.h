// The colours of labels: those that a generated label config gives them, for whatever else shows
// them.
#ifndef DUET_LABEL_STUDIO_LABEL_COLOR_H_
#define DUET_LABEL_STUDIO_LABEL_COLOR_H_

#include <cstddef>

namespace label_studio {

struct Rgb {
  int red = 0;  // 0 to 255, as the others
  int green = 0;
  int blue = 0;
  friend bool operator==(const Rgb&, const Rgb&) = default;
};

// Of the model's class with this number. Hues are a golden angle apart, so that neighbours in the
// list look different.
Rgb LabelColor(std::size_t index);

}  // namespace label_studio

#endif  // DUET_LABEL_STUDIO_LABEL_COLOR_H_
