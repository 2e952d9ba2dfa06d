#include "label_studio/generate.h"

#include <array>
#include <cmath>
#include <cstdio>
#include <pugixml.hpp>
#include <sstream>
#include <string_view>

namespace label_studio {
namespace {

struct Tag {
  const char* tag;
  const char* name;
  bool smart;
  const char* heading;  // above its labels, which are the same for all
};

// Batches write into the first two; the annotator prompts with the others. smart="false" keeps the
// editor from adding a smart brush, which sends nothing.
constexpr std::array<Tag, 4> kTags = {{
    {"RectangleLabels", "rectangle", false, "Boxes"},
    {"BrushLabels", "brush", false, "Masks"},
    {"RectangleLabels", "smart_rectangle", true, "Smart box: drag one around an object"},
    {"KeyPointLabels", "smart_point", true, "Smart point: click into an object"},
}};

// Hues a golden angle apart: neighbours in the list look different, and a class has one colour in
// every control.
std::string Color(std::size_t index) {
  const double hue = std::fmod(static_cast<double>(index) * 137.508, 360.0);
  const auto channel = [&](double offset) {
    const double k = std::fmod(offset + hue / 30, 12.0);
    const double lightness = 0.5, chroma = 0.35;
    return static_cast<int>(
        255 * (lightness - chroma * std::fmax(-1, std::fmin(std::fmin(k - 3, 9 - k), 1))));
  };
  std::array<char, 8> text;
  std::snprintf(text.data(), text.size(), "#%02X%02X%02X", channel(0), channel(8), channel(4));
  return text.data();
}

}  // namespace

std::string GenerateLabelConfig(const std::vector<std::string>& class_names) {
  pugi::xml_document document;
  pugi::xml_node view = document.append_child("View");
  pugi::xml_node image = view.append_child("Image");
  image.append_attribute("name") = "image";
  image.append_attribute("value") = "$image";
  image.append_attribute("zoom") = "true";
  image.append_attribute("zoomControl") = "true";
  for (const Tag& tag : kTags) {
    pugi::xml_node header = view.append_child("Header");
    header.append_attribute("value") = tag.heading;
    header.append_attribute("size") = "6";
    pugi::xml_node control = view.append_child(tag.tag);
    control.append_attribute("name") = tag.name;
    control.append_attribute("toName") = "image";
    control.append_attribute("smart") = tag.smart ? "true" : "false";
    if (tag.smart) control.append_attribute("smartOnly") = "true";
    for (std::size_t i = 0; i < class_names.size(); ++i) {
      pugi::xml_node label = control.append_child("Label");
      label.append_attribute("value") = class_names[i].c_str();
      label.append_attribute("background") = Color(i).c_str();
    }
  }
  std::ostringstream text;
  document.save(text, "  ", pugi::format_default | pugi::format_no_declaration,
                pugi::encoding_utf8);
  return text.str();
}

}  // namespace label_studio
