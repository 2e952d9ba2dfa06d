#include "label_studio/repeater.h"

#include <absl/status/status.h>
#include <absl/strings/match.h>

#include <boost/json/array.hpp>
#include <optional>
#include <pugixml.hpp>
#include <string>
#include <string_view>

#include "label_studio/json_fields.h"
#include "label_studio/task_data.h"
#include "text/str_cat.h"

namespace label_studio {
namespace {

constexpr char kDefaultFlag[] = "{{idx}}";

// The node after `node` in document order: the first of its children if `inside`, else what follows
// it. Null at the end of the document. Trees are walked without recursion, since they may be deep.
pugi::xml_node Next(pugi::xml_node node, bool inside) {
  if (inside && node.first_child()) return node.first_child();
  while (node && !node.next_sibling()) node = node.parent();
  return node ? node.next_sibling() : node;
}

// What a copy of a tree costs.
struct Cost {
  std::size_t elements = 0;
  std::size_t bytes = 0;  // about
};

Cost CostOf(const pugi::xml_node& root) {
  // What pugixml allocates for a node, and at most for an attribute. Texts are shared with the
  // original.
  constexpr std::size_t kNodeBytes = 64;
  Cost cost;
  const pugi::xml_node end = Next(root, /*inside=*/false);
  for (pugi::xml_node node = root; node != end; node = Next(node, /*inside=*/true)) {
    cost.elements += node.type() == pugi::node_element;
    cost.bytes += kNodeBytes;
    for (const pugi::xml_attribute& attribute : node.attributes()) {
      cost.bytes += kNodeBytes + std::string_view(attribute.value()).size();
    }
  }
  return cost;
}

std::optional<std::string> Attribute(const pugi::xml_node& node, std::string_view name) {
  for (const pugi::xml_attribute& attribute : node.attributes()) {
    if (absl::EqualsIgnoreCase(attribute.name(), text::View(name))) return attribute.value();
  }
  return std::nullopt;
}

// Replaces the first occurrence of the flag in every attribute of `node`, as the editor does it.
void ReplaceFlag(pugi::xml_node node, std::string_view flag, const std::string& index) {
  for (pugi::xml_attribute attribute : node.attributes()) {
    std::string value = attribute.value();
    const std::size_t at = value.find(flag);
    if (at == std::string::npos) continue;
    attribute.set_value(value.replace(at, flag.size(), index).c_str());
  }
}

// Writes a copy of `child` before the repeater, for the element with this index.
pugi::xml_node WriteCopy(const pugi::xml_node& child, pugi::xml_node repeater,
                         std::string_view flag, const std::string& index) {
  const pugi::xml_node copy = repeater.parent().insert_copy_before(child, repeater);
  // In the tags just below a repeater, the editor replaces a second occurrence, too.
  ReplaceFlag(copy, flag, index);
  const pugi::xml_node end = Next(copy, /*inside=*/false);
  for (pugi::xml_node node = copy; node != end; node = Next(node, /*inside=*/true)) {
    ReplaceFlag(node, flag, index);
  }
  return copy;
}

// The length of the list that the repeater goes through.
absl::StatusOr<std::size_t> Length(const pugi::xml_node& repeater,
                                   const boost::json::object* data) {
  const std::string on = Attribute(repeater, "on").value_or("");
  const auto path = PathOf(on);
  if (!path) {
    return absl::InvalidArgumentError(text::StrCat("the label config's Repeater has on=\"", on,
                                                   "\"; needed: a list of the task's data, as "
                                                   "on=\"$images\""));
  }
  if (data == nullptr) return 1;
  const boost::json::value* const found = FindInTask(*data, *path);
  if (found == nullptr) {
    return absl::InvalidArgumentError(
        text::StrCat("Repeater on=\"", on, "\": the task's data has no field '", *path, "'"));
  }
  const auto* const list = found->if_array();
  if (list == nullptr) {
    return absl::InvalidArgumentError(text::StrCat("Repeater on=\"", on, "\": the field '", *path,
                                                   "' of the task's data is ", KindName(*found),
                                                   "; needed: a list"));
  }
  return list->size();
}

// OK if the images in the repeater, and the controls of these, have another name for each element:
// regions are told apart by names alone.
absl::Status CheckNames(const pugi::xml_node& repeater, const std::string& flag) {
  const pugi::xml_node end = Next(repeater, /*inside=*/false);
  for (pugi::xml_node node = repeater; node != end; node = Next(node, /*inside=*/true)) {
    const std::string name = Attribute(node, "name").value_or("");
    if (name.empty() || name.find(flag) != name.npos) continue;
    if (absl::EqualsIgnoreCase(node.name(), "image") ||
        Attribute(node, "toname").value_or("").find(flag) != std::string::npos) {
      return absl::InvalidArgumentError(
          text::StrCat("the label config's Repeater on=\"", Attribute(repeater, "on").value_or(""),
                       "\" gives <", node.name(), " name=\"", name,
                       "\"> the same name for each element; add ", flag, " to it"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<bool> ExpandRepeaters(const boost::json::object* data, const RepeaterLimits& limits,
                                     pugi::xml_document* document) {
  bool any = false;
  Cost left = {limits.max_elements, limits.max_bytes};
  for (pugi::xml_node node = document->first_child(); node;) {
    if (!absl::EqualsIgnoreCase(node.name(), "repeater")) {
      node = Next(node, /*inside=*/true);
      continue;
    }
    any = true;
    const absl::StatusOr<std::size_t> length = Length(node, data);
    if (!length.ok()) return length.status();
    const Cost cost = CostOf(node);
    if (*length > left.elements / cost.elements || *length > left.bytes / cost.bytes) {
      return absl::InvalidArgumentError(
          text::StrCat("the label config's Repeater on=\"", Attribute(node, "on").value_or(""),
                       "\" writes ", *length, " times ", cost.elements, " tags of ", cost.bytes,
                       " bytes in memory; all repeaters together may write ", limits.max_elements,
                       " tags and ", limits.max_bytes, " bytes"));
    }
    left.elements -= *length * cost.elements;
    left.bytes -= *length * cost.bytes;
    const std::string flag = Attribute(node, "indexflag").value_or(kDefaultFlag);
    if (absl::Status status = CheckNames(node, flag); !status.ok()) return status;
    // The copies are walked next, so that repeaters inside of this one are found.
    pugi::xml_node first_copy;
    for (std::size_t i = 0; i < *length; ++i) {
      for (const pugi::xml_node& child : node.children()) {
        if (child.type() != pugi::node_element) continue;
        const pugi::xml_node copy = WriteCopy(child, node, flag, std::to_string(i));
        if (!first_copy) first_copy = copy;
      }
    }
    const pugi::xml_node next = first_copy ? first_copy : Next(node, /*inside=*/false);
    node.parent().remove_child(node);
    node = next;
  }
  return any;
}

}  // namespace label_studio
