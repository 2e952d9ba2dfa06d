#include "label_studio/label_config.h"

#include <absl/container/flat_hash_set.h>
#include <absl/status/status.h>
#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_split.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/value.hpp>
#include <optional>
#include <pugixml.hpp>
#include <utility>

#include "text/str_cat.h"
#include "text/utf8.h"

namespace label_studio {
namespace {

// The value of an attribute. Tags and attributes may be in any case, as for the editor.
std::string_view Attribute(const pugi::xml_node& node, std::string_view name) {
  for (const pugi::xml_attribute& attribute : node.attributes()) {
    if (absl::EqualsIgnoreCase(attribute.name(), text::View(name))) return attribute.value();
  }
  return {};
}

bool IsTrue(const pugi::xml_node& node, std::string_view name) {
  return absl::EqualsIgnoreCase(text::View(Attribute(node, name)), "true");
}

std::vector<std::string> SplitList(std::string_view text) {
  std::vector<std::string> parts;
  for (const absl::string_view part :
       absl::StrSplit(text::View(text), ',', absl::SkipWhitespace())) {
    parts.emplace_back(absl::StripAsciiWhitespace(part));
  }
  return parts;
}

// A <Labels> tag: the labels of the plain controls of the same image.
struct LabelsTag {
  std::string name;
  std::vector<std::string> to_names;
  std::vector<Label> labels;
};

// Collects images, controls and labels, one node at a time: there is no recursion in deep trees.
class Collector : public pugi::xml_tree_walker {
 public:
  explicit Collector(const LabelConfigLimits& limits) : limits_(limits) {}

  bool for_each(pugi::xml_node& node) override {
    if (node.type() == pugi::node_doctype) {
      return Fail("has a document type declaration (<!DOCTYPE ...>); remove it");
    }
    if (node.type() != pugi::node_element) return true;
    if (depth() > limits_.max_depth) {
      return Fail(text::StrCat("is nested deeper than ", limits_.max_depth, " tags"));
    }
    const std::string tag = absl::AsciiStrToLower(node.name());
    if (tag == "label") return AddLabel(node);
    if (images_.size() + controls_.size() + labels_tags_.size() >= limits_.max_controls) {
      return Fail(text::StrCat("has more than ", limits_.max_controls, " images and controls"));
    }
    if (tag == "image") {
      AddImage(node);
    } else if (tag == "labels") {
      LabelsTag labels;
      labels.name = Attribute(node, "name");
      labels.to_names = ToNames(node);
      labels_tags_.push_back(std::move(labels));
      owners_.push_back({node, &labels_tags_, labels_tags_.size() - 1});
    } else {
      for (const RegionKindInfo& info : RegionKinds()) {
        if (!tag.starts_with(info.name)) continue;
        const std::string_view rest = std::string_view(tag).substr(info.name.size());
        if (rest.empty() || rest == "labels") AddControl(node, info.kind, tag, !rest.empty());
      }
    }
    return true;
  }

  absl::StatusOr<LabelConfig> Finish();
  const absl::Status& status() const { return status_; }

 private:
  struct ParsedControl {
    Control control;
    std::vector<Label> labels;
    std::vector<std::string> to_names;
    bool has_labels;
  };
  // An element that may contain labels.
  struct Owner {
    pugi::xml_node node;
    const void* where;  // &labels_tags_ or &controls_
    std::size_t index;
  };

  bool Fail(std::string_view what) {
    status_ = absl::InvalidArgumentError(text::StrCat("the label config ", what));
    return false;
  }

  void AddImage(const pugi::xml_node& node) {
    ImageTag image;
    image.name = Attribute(node, "name");
    image.value = Attribute(node, "valuelist");
    image.is_list = !image.value.empty();
    if (!image.is_list) image.value = Attribute(node, "value");
    if (!image.name.empty()) images_.push_back(std::move(image));
  }

  // At most max_controls names of images, each once.
  std::vector<std::string> ToNames(const pugi::xml_node& node) const {
    std::vector<std::string> names = SplitList(Attribute(node, "toname"));
    if (names.size() > limits_.max_controls) names.resize(limits_.max_controls);
    absl::flat_hash_set<std::string> seen;
    names.erase(std::remove_if(names.begin(), names.end(),
                               [&](const std::string& name) { return !seen.insert(name).second; }),
                names.end());
    return names;
  }

  // `has_labels`: the labels are inside of it, else in a <Labels> beside it.
  void AddControl(const pugi::xml_node& node, RegionKind kind, const std::string& tag,
                  bool has_labels) {
    ParsedControl parsed;
    parsed.control.kind = kind;
    parsed.control.type = tag;
    parsed.control.name = Attribute(node, "name");
    parsed.control.smart_only = IsTrue(node, "smartonly");
    parsed.control.smart = parsed.control.smart_only || IsTrue(node, "smart");
    parsed.to_names = ToNames(node);
    parsed.has_labels = has_labels;
    controls_.push_back(std::move(parsed));
    if (has_labels) owners_.push_back({node, &controls_, controls_.size() - 1});
  }

  bool AddLabel(const pugi::xml_node& node) {
    std::vector<Label>* labels = OwnerOf(node);
    if (labels == nullptr) return true;
    Label label;
    label.value = Attribute(node, "value");
    label.alias = Attribute(node, "alias");
    label.predicted_values = SplitList(Attribute(node, "predicted_values"));
    if (label.value.empty()) return true;
    if (++label_count_ > limits_.max_labels) {
      return Fail(text::StrCat("has more than ", limits_.max_labels, " labels"));
    }
    labels->push_back(std::move(label));
    return true;
  }

  // The labels of the innermost control around `node`; null if there is none. The walk comes to
  // owners before their children, so it is the latest owner that is an ancestor.
  std::vector<Label>* OwnerOf(const pugi::xml_node& node) {
    for (; !owners_.empty(); owners_.pop_back()) {
      const Owner& owner = owners_.back();
      for (pugi::xml_node at = node.parent(); at; at = at.parent()) {
        if (at != owner.node) continue;
        return owner.where == &labels_tags_ ? &labels_tags_[owner.index].labels
                                            : &controls_[owner.index].labels;
      }
    }
    return nullptr;
  }

  const LabelConfigLimits limits_;
  absl::Status status_;
  std::vector<ImageTag> images_;
  std::vector<ParsedControl> controls_;
  std::vector<LabelsTag> labels_tags_;
  std::vector<Owner> owners_;
  std::size_t label_count_ = 0;
};

absl::StatusOr<LabelConfig> Collector::Finish() {
  if (images_.empty()) {
    return absl::InvalidArgumentError(
        "the label config has no Image tag with a name; add <Image name=\"image\" "
        "value=\"$image\"/>");
  }
  LabelConfig config;
  config.images = std::move(images_);
  absl::flat_hash_set<std::string> image_names;
  for (const ImageTag& image : config.images) image_names.insert(image.name);
  std::vector<LabelList> shared;  // of labels_tags_
  for (LabelsTag& tag : labels_tags_) {
    tag.labels.shrink_to_fit();
    shared.emplace_back(std::move(tag.labels));
  }
  std::size_t labels = 0;  // those that are shared count as often as they are
  for (ParsedControl& parsed : controls_) {
    if (parsed.control.name.empty()) continue;
    parsed.labels.shrink_to_fit();
    parsed.control.labels = std::move(parsed.labels);
    for (const std::string& to_name : parsed.to_names) {
      if (!image_names.contains(to_name)) continue;
      Control control = parsed.control;
      control.to_name = to_name;
      if (!parsed.has_labels) {
        for (std::size_t i = 0; i < labels_tags_.size(); ++i) {
          const LabelsTag& tag = labels_tags_[i];
          if (tag.name.empty() ||
              std::find(tag.to_names.begin(), tag.to_names.end(), to_name) == tag.to_names.end()) {
            continue;
          }
          control.labels = shared[i];
          control.labels_name = tag.name;
          break;
        }
      }
      labels += control.labels.size();
      if (config.controls.size() == limits_.max_controls || labels > limits_.max_labels) {
        return absl::InvalidArgumentError(text::StrCat("the label config joins more than ",
                                                       limits_.max_controls, " controls or ",
                                                       limits_.max_labels, " labels to images"));
      }
      config.controls.push_back(std::move(control));
    }
  }
  if (config.controls.empty()) {
    return absl::InvalidArgumentError(text::StrCat(
        "the label config has no control that marks regions on an image; add ",
        TagsOf(RegionKinds()), " with a name and toName=\"", config.images.front().name, "\""));
  }
  return config;
}

// One step of a path like $front.images[0]: an object's field or a list's element.
const boost::json::value* Step(const boost::json::value* value, std::string_view key) {
  if (const auto* object = value->if_object()) return object->if_contains(key);
  if (const auto* array = value->if_array()) {
    std::uint32_t index = 0;
    if (absl::SimpleAtoi(text::View(key), &index) && index < array->size()) return &(*array)[index];
  }
  return nullptr;
}

// As the editor does: the whole text is tried as a field's name before it is read as a path.
const boost::json::value* Look(const boost::json::object& data, std::string_view path) {
  if (const auto* value = data.if_contains(path)) return value;
  const boost::json::value* value = nullptr;
  for (const absl::string_view part :
       absl::StrSplit(text::View(path), absl::ByAnyChar(".[]"), absl::SkipEmpty())) {
    const std::string_view key = text::StdView(part);
    value = value == nullptr ? data.if_contains(key) : Step(value, key);
    if (value == nullptr) return nullptr;
  }
  return value;
}

bool IsPathCharacter(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
         std::string_view("_.[]{}").find(c) != std::string_view::npos;
}

}  // namespace

const ImageTag* LabelConfig::FindImage(std::string_view name) const {
  for (const ImageTag& image : images) {
    if (image.name == name) return &image;
  }
  return nullptr;
}

bool LabelConfig::has_smart_control() const {
  return std::any_of(controls.begin(), controls.end(),
                     [](const Control& control) { return control.smart; });
}

bool LabelConfig::has_smart_control(std::string_view image) const {
  return std::any_of(controls.begin(), controls.end(), [image](const Control& control) {
    return control.smart && control.to_name == image;
  });
}

std::size_t LabelConfig::memory_bytes() const {
  std::size_t bytes = images.capacity() * sizeof(ImageTag) + controls.capacity() * sizeof(Control);
  for (const ImageTag& image : images) bytes += image.name.capacity() + image.value.capacity();
  absl::flat_hash_set<const Label*> counted;
  for (const Control& control : controls) {
    bytes += control.name.capacity() + control.to_name.capacity() + control.type.capacity() +
             control.labels_name.capacity();
    if (!counted.insert(control.labels.begin()).second) continue;
    for (const Label& label : control.labels) {
      bytes += sizeof(Label) + label.value.capacity() + label.alias.capacity();
      for (const std::string& text : label.predicted_values) {
        bytes += sizeof(std::string) + text.capacity();
      }
    }
  }
  return bytes;
}

absl::StatusOr<LabelConfig> ParseLabelConfig(std::string_view xml,
                                             const LabelConfigLimits& limits) {
  if (absl::StripAsciiWhitespace(text::View(xml)).empty()) {
    return absl::InvalidArgumentError(
        "the label config is empty; set one up under Settings, Labeling Interface");
  }
  if (xml.size() > limits.max_bytes) {
    return absl::InvalidArgumentError(text::StrCat(
        "the label config has ", xml.size(), " bytes; at most ", limits.max_bytes, " are read"));
  }
  if (!text::IsUtf8(xml)) return absl::InvalidArgumentError("the label config is not UTF-8 text");
  pugi::xml_document document;
  // parse_doctype only to refuse it: pugixml never expands entities of a document type.
  const pugi::xml_parse_result parsed = document.load_buffer(
      xml.data(), xml.size(), pugi::parse_default | pugi::parse_doctype, pugi::encoding_utf8);
  if (!parsed) {
    const std::string_view before = xml.substr(0, static_cast<std::size_t>(parsed.offset));
    return absl::InvalidArgumentError(
        text::StrCat("the label config is not XML: ", parsed.description(), " in line ",
                     1 + std::count(before.begin(), before.end(), '\n')));
  }
  Collector collector(limits);
  if (!document.traverse(collector)) return collector.status();
  absl::StatusOr<LabelConfig> config = collector.Finish();
  if (!config.ok()) return config;
  // Character references may make texts that aren't UTF-8.
  const auto text_ok = [](const Control& control) {
    return text::IsUtf8(control.name) && text::IsUtf8(control.labels_name) &&
           std::all_of(control.labels.begin(), control.labels.end(),
                       [](const Label& label) { return text::IsUtf8(label.value); });
  };
  if (!std::all_of(config->controls.begin(), config->controls.end(), text_ok) ||
      !std::all_of(config->images.begin(), config->images.end(),
                   [](const ImageTag& image) { return text::IsUtf8(image.name); })) {
    return absl::InvalidArgumentError(
        "the label config has a name or label with a character reference that is no character");
  }
  return config;
}

absl::StatusOr<std::vector<std::string>> ImageUris(const ImageTag& image,
                                                   const boost::json::object& data) {
  const auto error = [&](std::string_view what) {
    return absl::InvalidArgumentError(text::StrCat("Image tag '", image.name, "': ", what));
  };
  const std::string_view value = image.value;
  std::vector<std::string> uris;
  std::string text;
  for (std::size_t at = 0; at < value.size();) {
    if (value[at] != '$') {
      text.push_back(value[at++]);
      continue;
    }
    std::size_t end = at + 1;
    while (end < value.size() && IsPathCharacter(value[end])) ++end;
    const std::string_view path = value.substr(at + 1, end - at - 1);
    const boost::json::value* found = Look(data, path);
    // Tasks that were imported before the project had a config have this field.
    if (found == nullptr) found = data.if_contains("$undefined$");
    if (found == nullptr) {
      return error(text::StrCat("the task's data has no field '", path, "'"));
    }
    if (const auto* list = found->if_array(); list != nullptr && path.size() + 1 == value.size()) {
      for (const boost::json::value& element : *list) {
        const auto* uri = element.if_string();
        if (uri == nullptr || uri->empty()) {
          return error(text::StrCat("element ", uris.size(), " of the field '", path,
                                    "' is not the address of an image"));
        }
        uris.emplace_back(*uri);
      }
      if (uris.empty()) return error(text::StrCat("the field '", path, "' is an empty list"));
      return uris;
    }
    const auto* part = found->if_string();
    if (part == nullptr || part->empty()) {
      return error(text::StrCat("the field '", path, "' of the task's data is not text"));
    }
    text.append(part->data(), part->size());
    at = end;
  }
  if (text.empty()) return error("has no value; write value=\"$image\" or the like");
  uris.push_back(std::move(text));
  return uris;
}

}  // namespace label_studio
