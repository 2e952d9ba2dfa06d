#include "bulk/head.h"

#include <array>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <exception>
#include <string_view>
#include <utility>

#include "prelabel/settings_json.h"
#include "text/str_cat.h"

namespace bulk {
namespace {

namespace json = boost::json;
using text::StrCat;

constexpr int kFormat = 1;
constexpr std::array<std::string_view, 3> kMaskMakers = {"none", "detector", "segmenter"};

json::value TextList(const std::vector<std::string>& texts) {
  return json::array(texts.begin(), texts.end());
}

// A setting as a message shows it.
std::string TextOf(const json::value* value) {
  if (value == nullptr) return "not set";
  if (value->is_string()) return std::string(value->get_string());
  if (value->is_double()) return StrCat(value->get_double());
  return json::serialize(*value);
}

// A shell may have made ten thousand names of a pattern.
std::string Short(const std::string& value) {
  constexpr std::size_t kMaxShown = 200;
  return value.size() <= kMaxShown ? value : value.substr(0, kMaxShown) + "...";
}

std::string VersionOf(const auto& model) { return model == nullptr ? "none" : model->version; }

// Throws if the text isn't what ToJson writes.
Head Parse(const std::string& text) {
  json::parse_options options;
  options.allow_invalid_utf8 = true;  // paths are bytes
  const json::value value = json::parse(text, {}, options);
  const json::object& object = value.as_object();
  if (object.at("format").to_number<int>() != kFormat) {
    throw std::runtime_error("of another release of Duet");
  }
  const auto string = [](const json::value& from) { return std::string(from.as_string()); };
  Head head;
  head.source = string(object.at("source"));
  head.listing = ListingFromJson(object.at("listing").as_object());
  if (const json::object* const model = object.at("detector").if_object()) {
    auto detector = std::make_shared<backends::DetectorModel>();
    detector->name = string(model->at("name"));
    detector->version = string(model->at("version"));
    for (const json::value& name : model->at("classes").as_array()) {
      detector->classes.push_back(string(name));
    }
    detector->has_masks = model->at("has_masks").as_bool();
    head.detector = std::move(detector);
  }
  if (const json::object* const model = object.at("segmenter").if_object()) {
    auto segmenter = std::make_shared<backends::SegmenterModel>();
    segmenter->name = string(model->at("name"));
    segmenter->version = string(model->at("version"));
    head.segmenter = std::move(segmenter);
  }
  head.embeds = head.detector == nullptr;
  const std::string masks = string(object.at("masks"));
  for (std::size_t i = 0; i < kMaskMakers.size(); ++i) {
    if (masks == kMaskMakers[i]) head.masks = static_cast<MaskMaker>(i);
  }
  head.label_config = string(object.at("label_config"));
  for (const auto& [key, text] :
       {std::pair("encoder", &head.encoder), std::pair("mask_generator", &head.mask_generator)}) {
    if (const json::value* const value = object.if_contains(key)) *text = string(*value);
  }
  auto settings = prelabel::Refine({}, object.at("settings").as_object(), /*strict=*/true);
  if (!settings.ok()) throw std::runtime_error(std::string(settings.status().message()));
  head.settings = *std::move(settings);
  return head;
}

}  // namespace

json::object ToJson(const Listing& listing) {
  json::array categories;
  for (const auto& [id, name] : listing.categories) categories.push_back({id, name});
  return {{"images", listing.images},
          {"root", listing.root},
          {"has_ids", listing.has_ids},
          {"of_label_studio", listing.of_label_studio},
          {"categories", std::move(categories)}};
}

Listing ListingFromJson(const json::object& object) {
  Listing listing;
  listing.images = object.at("images").to_number<std::uint64_t>();
  listing.root = std::string(object.at("root").as_string());
  listing.has_ids = object.at("has_ids").as_bool();
  listing.of_label_studio = object.at("of_label_studio").as_bool();
  for (const json::value& category : object.at("categories").as_array()) {
    listing.categories.emplace_back(category.at(0).to_number<std::int64_t>(),
                                    std::string(category.at(1).as_string()));
  }
  return listing;
}

std::string ToJson(const Head& head) {
  json::value detector;
  if (head.detector) {
    detector = {{"name", head.detector->name},
                {"version", head.detector->version},
                {"classes", TextList(head.detector->classes)},
                {"has_masks", head.detector->has_masks}};
  }
  json::value segmenter;
  if (head.segmenter) {
    segmenter = {{"name", head.segmenter->name}, {"version", head.segmenter->version}};
  }
  const json::object object = {{"format", kFormat},
                               {"source", head.source},
                               {"listing", ToJson(head.listing)},
                               {"detector", std::move(detector)},
                               {"segmenter", std::move(segmenter)},
                               {"masks", kMaskMakers[static_cast<std::size_t>(head.masks)]},
                               {"settings", prelabel::ToJson(head.settings)},
                               {"label_config", head.label_config},
                               {"mask_generator", head.mask_generator},
                               {"encoder", head.encoder}};
  return json::serialize(object) + "\n";
}

absl::StatusOr<Head> HeadFromJson(const std::string& text) {
  try {
    return Parse(text);
  } catch (const std::exception& error) {
    return absl::DataLossError(StrCat("not the head of a run: ", error.what()));
  }
}

std::optional<Difference> FirstDifference(const Head& found, const Head& wanted) {
  const auto command = [](const Head& head) {
    return head.embeds ? "duet embed" : "duet prelabel";
  };
  std::vector<Difference> parts = {{"source", found.source, wanted.source},
                                   {"command", command(found), command(wanted)}};
  const json::object settings = prelabel::ToJson(found.settings);
  const json::object wanted_settings = prelabel::ToJson(wanted.settings);
  for (const json::object* const one : {&settings, &wanted_settings}) {
    for (const auto& [key, value] : *one) {
      parts.push_back({std::string(key), TextOf(settings.if_contains(key)),
                       TextOf(wanted_settings.if_contains(key))});
    }
  }
  parts.push_back({"label config", prelabel::ShortHash(found.label_config),
                   prelabel::ShortHash(wanted.label_config)});
  const auto name = [](const std::string& text) { return text.empty() ? "none" : text; };
  parts.push_back(
      {"automatic mask generator", name(found.mask_generator), name(wanted.mask_generator)});
  if (wanted.detector) {
    parts.push_back({"detector's model", VersionOf(found.detector), VersionOf(wanted.detector)});
    parts.push_back({"maker of masks",
                     std::string(kMaskMakers[static_cast<std::size_t>(found.masks)]),
                     std::string(kMaskMakers[static_cast<std::size_t>(wanted.masks)])});
  }
  if (!wanted.encoder.empty()) {
    parts.push_back({"segmenter's encoder", name(found.encoder), name(wanted.encoder)});
  }
  if (wanted.segmenter) {
    parts.push_back({"segmenter's model", VersionOf(found.segmenter), VersionOf(wanted.segmenter)});
  }
  for (Difference& part : parts) {
    if (part.found == part.wanted) continue;
    return Difference{std::move(part.what), Short(part.found), Short(part.wanted)};
  }
  return std::nullopt;
}

absl::Status CheckStillServes(std::string_view service, const std::string& version,
                              const std::string& now) {
  if (now == version) return absl::OkStatus();
  return absl::FailedPreconditionError(
      StrCat(service, " serves the model ", now, " now, and this run was begun with ", version,
             "; needed: the model that it was begun with, or another --out"));
}

absl::Status CheckSame(const Head& found, const Head& wanted, const std::string& folder) {
  const std::optional<Difference> difference = FirstDifference(found, wanted);
  if (!difference) return absl::OkStatus();
  return absl::FailedPreconditionError(
      StrCat(folder, " was begun with something else: the ", difference->what, " was ",
             difference->found, " and is now ", difference->wanted,
             "; needed: the same as before, or another --out, or that this folder is deleted"));
}

}  // namespace bulk
