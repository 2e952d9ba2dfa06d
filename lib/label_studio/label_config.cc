#include "label_studio/label_config.h"

#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>
#include <absl/status/status.h>
#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/str_split.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/value.hpp>
#include <optional>
#include <pugixml.hpp>
#include <utility>

#include "label_studio/json_fields.h"
#include "label_studio/repeater.h"
#include "label_studio/task_data.h"
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

// A label of a task's data: a text, or an object with the attributes of a <Label>.
std::optional<Label> ReadLabel(const boost::json::value& value) {
  Label label;
  if (const auto* text = value.if_string()) {
    label.value = std::string(*text);
  } else if (const auto* object = value.if_object()) {
    label.value = TextField(*object, "value");
    label.alias = TextField(*object, "alias");
    label.predicted_values = SplitList(TextField(*object, "predicted_values"));
  }
  if (label.written().empty()) return std::nullopt;
  return label;
}

// Collects images, controls and labels, one node at a time: there is no recursion in deep trees.
class Collector : public pugi::xml_tree_walker {
 public:
  // `task_data` may be null: then labels that are in the task stay unknown.
  Collector(const LabelConfigLimits& limits, const boost::json::object* task_data)
      : limits_(limits), task_data_(task_data) {}

  bool for_each(pugi::xml_node& node) override {
    if (node.type() != pugi::node_element) return true;
    const std::string tag = absl::AsciiStrToLower(node.name());
    if (tag == "label") return AddLabel(node);
    if (images_.size() + controls_.size() + labels_tags_.size() >= limits_.max_controls) {
      return Fail(text::StrCat("has more than ", limits_.max_controls, " images and controls"));
    }
    if (tag == "image") {
      AddImage(node);
    } else if (tag == "labels") {
      labels_tags_.push_back({AddGroup(node, Attribute(node, "name")), ToNames(node)});
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
    Control control;  // without its groups
    std::vector<std::string> to_names;
    std::size_t own_group = 0;  // of groups_, if it has_own_labels
  };
  // A <Labels> tag: the labels of the plain controls of the same images.
  struct LabelsTag {
    std::size_t group;  // of groups_
    std::vector<std::string> to_names;
  };
  // An element that may contain labels.
  struct Owner {
    pugi::xml_node node;
    std::size_t group;  // of groups_
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

  // The group of the labels inside of `node`.
  std::size_t AddGroup(const pugi::xml_node& node, std::string_view name) {
    LabelGroup group;
    group.name = name;
    group.multiple = absl::EqualsIgnoreCase(text::View(Attribute(node, "choice")), "multiple");
    group.from_task = PathOf(Attribute(node, "value")).value_or("");
    groups_.push_back(std::move(group));
    owners_.push_back({node, groups_.size() - 1});
    return groups_.size() - 1;
  }

  void AddControl(const pugi::xml_node& node, RegionKind kind, const std::string& tag,
                  bool has_own_labels) {
    ParsedControl parsed;
    parsed.control.kind = kind;
    parsed.control.type = tag;
    parsed.control.name = Attribute(node, "name");
    parsed.control.smart_only = IsTrue(node, "smartonly");
    parsed.control.smart = parsed.control.smart_only || IsTrue(node, "smart");
    parsed.control.takes_prompts =
        parsed.control.smart ||
        ((kind == RegionKind::kKeyPoint || kind == RegionKind::kRectangle) &&
         !absl::EqualsIgnoreCase(text::View(Attribute(node, "smart")), "false"));
    parsed.control.has_own_labels = has_own_labels;
    parsed.to_names = ToNames(node);
    if (has_own_labels) parsed.own_group = AddGroup(node, "");
    controls_.push_back(std::move(parsed));
  }

  bool AddLabel(const pugi::xml_node& node) {
    LabelGroup* const group = OwnerOf(node);
    if (group == nullptr) return true;
    Label label;
    label.value = Attribute(node, "value");
    label.alias = Attribute(node, "alias");
    label.predicted_values = SplitList(Attribute(node, "predicted_values"));
    return label.written().empty() || Append(std::move(label), group);
  }

  bool Append(Label label, LabelGroup* group) {
    if (++label_count_ > limits_.max_labels) {
      return Fail(text::StrCat("has more than ", limits_.max_labels, " labels"));
    }
    group->labels.push_back(std::move(label));
    return true;
  }

  // The group of the innermost control around `node`; null if there is none. The walk comes to
  // owners before their children, so it is the latest owner that is an ancestor.
  LabelGroup* OwnerOf(const pugi::xml_node& node) {
    for (; !owners_.empty(); owners_.pop_back()) {
      const Owner& owner = owners_.back();
      for (pugi::xml_node at = node.parent(); at; at = at.parent()) {
        if (at == owner.node) return &groups_[owner.group];
      }
    }
    return nullptr;
  }

  absl::Status AddLabelsOfTask(LabelGroup* group);
  // By the name of an image: the groups of its <Labels>, in document order.
  using GroupsOfImages = absl::flat_hash_map<std::string, std::vector<LabelGroupPtr>>;
  absl::Status Join(const ParsedControl& parsed, const LabelGroupPtr& own,
                    const GroupsOfImages& groups, LabelConfig* config);
  absl::Status CheckNotEmpty(const LabelConfig& config) const;

  const LabelConfigLimits limits_;
  const boost::json::object* const task_data_;
  absl::Status status_;
  std::vector<ImageTag> images_;
  std::vector<ParsedControl> controls_;
  std::vector<LabelsTag> labels_tags_;
  std::vector<LabelGroup> groups_;
  std::vector<Owner> owners_;
  std::size_t label_count_ = 0;
  std::size_t joined_ = 0;  // labels of all controls, shared ones as often as they are shared
};

absl::Status Collector::AddLabelsOfTask(LabelGroup* group) {
  const boost::json::value* const found = FindInTask(*task_data_, group->from_task);
  // Without the field, the editor shows the labels of the config alone.
  if (found == nullptr || found->is_null()) return absl::OkStatus();
  const auto error = [&](std::string_view what) {
    return absl::InvalidArgumentError(
        text::StrCat("the labels of '$", group->from_task, "': ", what));
  };
  const auto* const list = found->if_array();
  if (list == nullptr) {
    return error(text::StrCat("the field of the task's data is ", KindName(*found),
                              "; needed: a list of texts or of objects with 'value'"));
  }
  for (std::size_t i = 0; i < list->size(); ++i) {
    std::optional<Label> label = ReadLabel((*list)[i]);
    if (!label) {
      return error(text::StrCat("element ", i, " is ", KindName((*list)[i]),
                                "; needed: a text or an object with 'value'"));
    }
    if (!Append(*std::move(label), group)) return status_;
  }
  return absl::OkStatus();
}

// Adds the control once for each of its images, with the groups of labels that it has there.
absl::Status Collector::Join(const ParsedControl& parsed, const LabelGroupPtr& own,
                             const GroupsOfImages& groups, LabelConfig* config) {
  for (const std::string& to_name : parsed.to_names) {
    const auto of_image = groups.find(to_name);
    if (of_image == groups.end()) continue;
    Control control = parsed.control;
    control.to_name = to_name;
    control.groups = own != nullptr ? std::vector{own} : of_image->second;
    for (const LabelGroupPtr& group : control.groups) joined_ += 1 + group->labels.size();
    if (config->controls.size() == limits_.max_controls ||
        joined_ > limits_.max_labels + limits_.max_controls) {
      return absl::InvalidArgumentError(text::StrCat("the label config joins more than ",
                                                     limits_.max_controls, " controls or ",
                                                     limits_.max_labels, " labels to images"));
    }
    config->controls.push_back(std::move(control));
  }
  return absl::OkStatus();
}

absl::Status Collector::CheckNotEmpty(const LabelConfig& config) const {
  if (config.images.empty()) {
    return absl::InvalidArgumentError(
        "the label config has no Image tag with a name; add <Image name=\"image\" "
        "value=\"$image\"/>");
  }
  if (config.controls.empty()) {
    return absl::InvalidArgumentError(text::StrCat(
        "the label config has no control that marks regions on an image; add ",
        TagsOf(RegionKinds()), " with a name and toName=\"", config.images.front().name, "\""));
  }
  return absl::OkStatus();
}

absl::StatusOr<LabelConfig> Collector::Finish() {
  LabelConfig config;
  for (LabelGroup& group : groups_) {
    if (group.from_task.empty()) continue;
    config.depends_on_task = true;
    if (task_data_ == nullptr) continue;
    if (absl::Status status = AddLabelsOfTask(&group); !status.ok()) return status;
    group.from_task.clear();
  }
  config.images = std::move(images_);
  std::vector<LabelGroupPtr> groups;
  for (LabelGroup& group : groups_) {
    group.labels.shrink_to_fit();
    groups.push_back(std::make_shared<const LabelGroup>(std::move(group)));
  }
  GroupsOfImages of_images;
  for (const ImageTag& image : config.images) of_images[image.name];
  for (const LabelsTag& tag : labels_tags_) {
    const LabelGroupPtr& group = groups[tag.group];
    if (group->name.empty() || (group->labels.empty() && group->from_task.empty())) continue;
    for (const std::string& to_name : tag.to_names) {
      const auto of_image = of_images.find(to_name);
      if (of_image != of_images.end()) of_image->second.push_back(group);
    }
  }
  for (const ParsedControl& parsed : controls_) {
    if (parsed.control.name.empty()) continue;
    const LabelGroupPtr own = parsed.control.has_own_labels ? groups[parsed.own_group] : nullptr;
    if (absl::Status status = Join(parsed, own, of_images, &config); !status.ok()) return status;
  }
  // A task may have empty lists.
  if (task_data_ == nullptr) {
    if (absl::Status status = CheckNotEmpty(config); !status.ok()) return status;
  }
  return config;
}

// Refuses document types and deep trees, before anything else looks at the tree.
class Guard : public pugi::xml_tree_walker {
 public:
  explicit Guard(int max_depth) : max_depth_(max_depth) {}
  bool for_each(pugi::xml_node& node) override {
    if (node.type() == pugi::node_doctype) {
      status_ = absl::InvalidArgumentError(
          "the label config has a document type declaration (<!DOCTYPE ...>); remove it");
    } else if (node.type() == pugi::node_element && depth() > max_depth_) {
      status_ = absl::InvalidArgumentError(
          text::StrCat("the label config is nested deeper than ", max_depth_, " tags"));
    }
    return status_.ok();
  }
  const absl::Status& status() const { return status_; }

 private:
  const int max_depth_;
  absl::Status status_;
};

// Character references may make texts that aren't UTF-8.
bool TextsAreUtf8(const LabelConfig& config) {
  const auto label_ok = [](const Label& label) {
    return text::IsUtf8(label.value) && text::IsUtf8(label.alias);
  };
  const auto group_ok = [&](const LabelGroupPtr& group) {
    return text::IsUtf8(group->name) &&
           std::all_of(group->labels.begin(), group->labels.end(), label_ok);
  };
  return std::all_of(config.controls.begin(), config.controls.end(),
                     [&](const Control& control) {
                       return text::IsUtf8(control.name) &&
                              std::all_of(control.groups.begin(), control.groups.end(), group_ok);
                     }) &&
         std::all_of(config.images.begin(), config.images.end(),
                     [](const ImageTag& image) { return text::IsUtf8(image.name); });
}

absl::StatusOr<LabelConfig> Parse(std::string_view xml, const boost::json::object* task_data,
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
  Guard guard(limits.max_depth);
  document.traverse(guard);
  if (!guard.status().ok()) return guard.status();
  const absl::StatusOr<bool> repeated = ExpandRepeaters(task_data, {}, &document);
  if (!repeated.ok()) return repeated.status();
  Collector collector(limits, task_data);
  if (!document.traverse(collector)) return collector.status();
  absl::StatusOr<LabelConfig> config = collector.Finish();
  if (!config.ok()) return config;
  if (*repeated) config->depends_on_task = true;
  if (!TextsAreUtf8(*config)) {
    return absl::InvalidArgumentError(
        "the label config has a name or label with a character reference that is no character");
  }
  return config;
}

}  // namespace

const ImageTag* LabelConfig::FindImage(std::string_view name) const {
  for (const ImageTag& image : images) {
    if (image.name == name) return &image;
  }
  return nullptr;
}

std::string Control::tag() const {
  return text::StrCat(InfoOf(kind).tag, has_own_labels ? "Labels" : "");
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
  absl::flat_hash_set<const LabelGroup*> counted;
  for (const Control& control : controls) {
    bytes += control.name.capacity() + control.to_name.capacity() + control.type.capacity() +
             control.groups.capacity() * sizeof(LabelGroupPtr);
    for (const LabelGroupPtr& group : control.groups) {
      if (!counted.insert(group.get()).second) continue;
      bytes += sizeof(LabelGroup) + group->name.capacity();
      for (const Label& label : group->labels) {
        bytes += sizeof(Label) + label.value.capacity() + label.alias.capacity();
        for (const std::string& text : label.predicted_values) {
          bytes += sizeof(std::string) + text.capacity();
        }
      }
    }
  }
  return bytes;
}

absl::StatusOr<LabelConfig> ParseLabelConfig(std::string_view xml,
                                             const LabelConfigLimits& limits) {
  return Parse(xml, nullptr, limits);
}

absl::StatusOr<LabelConfig> ParseLabelConfig(std::string_view xml,
                                             const boost::json::object& task_data,
                                             const LabelConfigLimits& limits) {
  return Parse(xml, &task_data, limits);
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
    const std::string_view path = value.substr(at + 1, PathLength(value.substr(at + 1)));
    const std::size_t end = at + 1 + path.size();
    const boost::json::value* found = FindInTask(data, path);
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
