#include "label_studio/generate.h"

#include <absl/container/flat_hash_set.h>

#include <array>
#include <cstdio>
#include <initializer_list>
#include <pugixml.hpp>
#include <sstream>
#include <string_view>
#include <utility>

#include "label_studio/label_color.h"

namespace label_studio {
namespace {

// More labels than this don't fit beside an image at one glance, so they get a search field.
constexpr std::size_t kLabelsAtOneGlance = 20;

// The editor's page leaves about this much beside the bars above and below.
constexpr const char* kLabelColumnStyle =
    "flex: 0 0 180px; max-height: calc(100vh - 170px); overflow-y: auto; position: sticky; top: 0; "
    "padding-right: 8px";

std::string Color(std::size_t index) {
  const Rgb color = LabelColor(index);
  std::array<char, 8> text;
  std::snprintf(text.data(), text.size(), "#%02X%02X%02X", color.red, color.green, color.blue);
  return text.data();
}

pugi::xml_node AddTag(pugi::xml_node& parent, const char* tag,
                      std::initializer_list<std::pair<const char*, const char*>> attributes) {
  pugi::xml_node node = parent.append_child(tag);
  for (const auto& [name, value] : attributes) node.append_attribute(name) = value;
  return node;
}

void AddLabels(pugi::xml_node& parent, const std::vector<std::string>& class_names) {
  if (class_names.size() > kLabelsAtOneGlance) {
    // Without a hotkey of its own it takes the first label's.
    AddTag(parent, "Filter",
           {{"name", "filter"},
            {"toName", "label"},
            {"minlength", "0"},
            {"hotkey", "shift+f"},
            {"placeholder", "Find a label"}});
  }
  pugi::xml_node labels = AddTag(parent, "Labels", {{"name", "label"}, {"toName", "image"}});
  absl::flat_hash_set<std::string_view> seen;
  for (std::size_t i = 0; i < class_names.size(); ++i) {
    if (!seen.insert(class_names[i]).second) continue;
    pugi::xml_node label = labels.append_child("Label");
    label.append_attribute("value") = class_names[i].c_str();
    label.append_attribute("background") = Color(i).c_str();
    // Label Studio's exporter takes it as the class's number; else it sorts by name.
    label.append_attribute("category") = i;
  }
}

}  // namespace

std::string GenerateLabelConfig(const std::vector<std::string>& class_names,
                                const GenerateOptions& options) {
  pugi::xml_document document;
  pugi::xml_node view = document.append_child("View");
  view.append_attribute("style") = "display: flex; align-items: flex-start";

  pugi::xml_node column = AddTag(view, "View", {{"style", kLabelColumnStyle}});
  AddLabels(column, class_names);

  pugi::xml_node rest = AddTag(view, "View", {{"style", "flex: 1; min-width: 0"}});
  AddTag(rest, "Image",
         {{"name", "image"}, {"value", "$image"}, {"zoom", "true"}, {"zoomControl", "true"}});
  pugi::xml_node rectangle =
      AddTag(rest, "Rectangle", {{"name", "rectangle"}, {"toName", "image"}});
  // A control that doesn't say smart="false" also gets a smart tool: this one draws boxes by hand,
  // takes those that are predicted, and is the smart box.
  if (!options.smart_tools) rectangle.append_attribute("smart") = "false";
  if (options.masks) {
    // The editor's smart brush sends nothing.
    AddTag(rest, "Brush", {{"name", "brush"}, {"toName", "image"}, {"smart", "false"}});
  }
  if (options.smart_tools) {
    AddTag(rest, "KeyPoint",
           {{"name", "point"}, {"toName", "image"}, {"smart", "true"}, {"smartOnly", "true"}});
  }

  std::ostringstream text;
  document.save(text, "  ", pugi::format_default | pugi::format_no_declaration,
                pugi::encoding_utf8);
  return text.str();
}

}  // namespace label_studio
