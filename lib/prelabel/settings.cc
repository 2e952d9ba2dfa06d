#include "prelabel/settings.h"

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <cstdint>
#include <iterator>

#include "hash/fnv.h"
#include "label_studio/emission_plan.h"
#include "prelabel/settings_json.h"
#include "text/nearest_name.h"
#include "text/str_cat.h"
#include "text/utf8.h"

namespace prelabel {
namespace {

namespace json = boost::json;

constexpr std::string_view kKeys[] = {
    "score_threshold", "max_detections", "class_agnostic", "outputs", "label_map",
    "mask_source",     "degrade",        "background",     "score",   "slice"};

// Somebody else's keys may be many.
constexpr std::size_t kMaxMisspelt = 5;

// For absl::StrJoin, which takes no std::string_view on Debian.
void AppendName(std::string* text, std::string_view name) { text->append(name); }

absl::Status Wrong(std::string_view key, const json::value& found, std::string_view needed) {
  return absl::InvalidArgumentError(text::StrCat(
      key, " is ", text::Utf8Prefix(json::serialize(found), 100), " but must be ", needed));
}

template <typename Choice>
struct Named {
  Choice choice;
  std::string_view name;
};
// All values of each enum with the texts that stand for them; no other place lists them.
constexpr Named<MaskSource> kMaskSources[] = {{MaskSource::kAuto, "auto"},
                                              {MaskSource::kSam, "sam"}};
constexpr Named<Degrade> kDegrades[] = {{Degrade::kNone, "none"}, {Degrade::kBoxes, "boxes"}};
constexpr Named<Background> kBackgrounds[] = {{Background::kNone, "none"},
                                              {Background::kPush, "push"}};
constexpr Named<Score> kScores[] = {{Score::kMean, "mean"}, {Score::kUncertainty, "uncertainty"}};

constexpr Named<SliceJoin> kJoins[] = {{SliceJoin::kAuto, "auto"},
                                       {SliceJoin::kNms, "nms"},
                                       {SliceJoin::kNmm, "nmm"},
                                       {SliceJoin::kGreedyNmm, "greedy_nmm"}};
constexpr Named<SliceMetric> kMetrics[] = {{SliceMetric::kIou, "iou"}, {SliceMetric::kIos, "ios"}};

template <typename Choices, typename Choice>
std::string_view NameIn(const Choices& choices, Choice choice) {
  for (const auto& one : choices) {
    if (one.choice == choice) return one.name;
  }
  return "";
}

// False if `text` stands for none of `choices`.
template <typename Choices, typename Choice>
bool ParseChoice(const Choices& choices, std::string_view text, Choice* choice) {
  for (const auto& one : choices) {
    if (one.name != text) continue;
    *choice = one.choice;
    return true;
  }
  return false;
}

// The names, each in `quote`s.
template <typename Choices>
std::string Names(const Choices& choices, std::string_view quote, std::string_view separator) {
  std::string names;
  for (const auto& one : choices) {
    text::StrAppend(&names, names.empty() ? "" : separator, quote, one.name, quote);
  }
  return names;
}

template <typename Choices, typename Choice>
absl::Status ReadChoice(const Choices& choices, std::string_view key, const json::value& value,
                        Choice* field) {
  if (value.is_string() && ParseChoice(choices, value.get_string(), field)) return absl::OkStatus();
  return Wrong(key, value, Names(choices, "\"", " or "));
}

absl::Status ReadOutputs(const json::value& value, std::string* field) {
  std::string text;
  if (value.is_string()) {
    text = std::string(value.get_string());
  } else if (value.is_array()) {
    for (const json::value& kind : value.get_array()) {
      if (!kind.is_string()) return Wrong("outputs", value, "a list of texts");
      text::StrAppend(&text, text.empty() ? "" : ",", std::string_view(kind.get_string()));
    }
  } else {
    return Wrong("outputs", value, "text or a list of texts");
  }
  if (const auto parsed = label_studio::ParseOutputs(text); !parsed.ok()) return parsed.status();
  *field = text.empty() ? "auto" : text;
  return absl::OkStatus();
}

absl::Status ReadTile(std::string_view key, const json::value& value, int* field) {
  if (!value.is_int64() || value.get_int64() < 64 || value.get_int64() > 1'000'000) {
    return Wrong(key, value, "a whole number of pixels from 64 to 1000000");
  }
  *field = static_cast<int>(value.get_int64());
  return absl::OkStatus();
}

// Unknown keys are an error here also where others' keys aren't: nobody else's are inside of ours.
absl::Status ReadSliceField(std::string_view key, const json::value& value, Slicing* slicing) {
  const std::string name = text::StrCat("slice.", key);
  if (key == "tile") return ReadTile(name, value, &slicing->tile);
  if (key == "join") return ReadChoice(kJoins, name, value, &slicing->join);
  if (key == "metric") return ReadChoice(kMetrics, name, value, &slicing->metric);
  if (key == "whole_image") {
    if (!value.is_bool()) return Wrong(name, value, "true or false");
    slicing->whole_image = value.get_bool();
  } else if (key == "overlap") {
    const double number = value.is_number() ? value.to_number<double>() : -1;
    if (!(number >= 0 && number <= 0.9)) return Wrong(name, value, "a number from 0 to 0.9");
    slicing->overlap = number;
  } else if (key == "threshold") {
    const double number = value.is_number() ? value.to_number<double>() : -1;
    if (!(number > 0 && number <= 1)) {
      return Wrong(name, value, "a number greater than 0, at most 1");
    }
    slicing->threshold = number;
  } else {
    static constexpr std::string_view kFields[] = {"tile",   "overlap",   "join",
                                                   "metric", "threshold", "whole_image"};
    return absl::InvalidArgumentError(text::StrCat(
        "slice has the unknown key \"", text::Utf8Prefix(key, 100), "\"; known: ",
        absl::StrJoin(kFields, ", ", AppendName), text::DidYouMean(key, kFields, "\"", "\"")));
  }
  return absl::OkStatus();
}

absl::Status ReadSlice(const json::value& value, std::optional<Slicing>* field) {
  if (value.is_bool() && !value.get_bool()) {
    field->reset();
    return absl::OkStatus();
  }
  Slicing slicing;
  if (value.is_number()) {
    if (absl::Status status = ReadTile("slice", value, &slicing.tile); !status.ok()) return status;
  } else if (value.is_object()) {
    for (const auto& [key, inner] : value.get_object()) {
      if (absl::Status status = ReadSliceField(key, inner, &slicing); !status.ok()) return status;
    }
    if (slicing.tile == 0) return Wrong("slice", value, "an object with a \"tile\"");
  } else {
    return Wrong("slice", value, "false, a whole number of pixels, or an object");
  }
  *field = slicing;
  return absl::OkStatus();
}

absl::Status Read(std::string_view key, const json::value& value, bool strict, Settings* settings) {
  if (key == "score_threshold") {
    if (!value.is_number()) return Wrong(key, value, "a number from 0 to 1");
    const double number = value.to_number<double>();
    if (!(number >= 0 && number <= 1)) return Wrong(key, value, "a number from 0 to 1");
    settings->score_threshold = number;
  } else if (key == "max_detections") {
    if (!value.is_int64() || value.get_int64() < 1 || value.get_int64() > 100'000) {
      return Wrong(key, value, "a whole number from 1 to 100000");
    }
    settings->max_detections = static_cast<int>(value.get_int64());
  } else if (key == "class_agnostic") {
    if (!value.is_bool()) return Wrong(key, value, "true or false");
    settings->class_agnostic = value.get_bool();
  } else if (key == "outputs") {
    return ReadOutputs(value, &settings->outputs);
  } else if (key == "label_map") {
    if (!value.is_object()) return Wrong(key, value, "an object of texts");
    std::map<std::string, std::string> label_map;
    for (const auto& [from, to] : value.get_object()) {
      if (!to.is_string()) return Wrong(key, value, "an object of texts");
      label_map[std::string(from)] = std::string(to.get_string());
    }
    settings->label_map = std::move(label_map);
  } else if (key == "mask_source") {
    return ReadChoice(kMaskSources, key, value, &settings->mask_source);
  } else if (key == "degrade") {
    return ReadChoice(kDegrades, key, value, &settings->degrade);
  } else if (key == "background") {
    return ReadChoice(kBackgrounds, key, value, &settings->background);
  } else if (key == "score") {
    return ReadChoice(kScores, key, value, &settings->score);
  } else if (key == "slice") {
    return ReadSlice(value, &settings->slice);
  } else if (strict) {
    return absl::InvalidArgumentError(text::StrCat(
        "unknown key \"", text::Utf8Prefix(key, 100), "\"; known: ",
        absl::StrJoin(kKeys, ", ", AppendName), text::DidYouMean(key, kKeys, "\"", "\"")));
  }
  return absl::OkStatus();
}

}  // namespace

std::string_view NameOf(MaskSource source) { return NameIn(kMaskSources, source); }
std::string_view NameOf(Degrade degrade) { return NameIn(kDegrades, degrade); }
std::string_view NameOf(Background background) { return NameIn(kBackgrounds, background); }
std::string_view NameOf(Score score) { return NameIn(kScores, score); }

std::string Describe(const Slicing& slicing) {
  return absl::StrFormat("slice %d %g %s %s %g %s", slicing.tile, slicing.overlap,
                         NameIn(kJoins, slicing.join), NameIn(kMetrics, slicing.metric),
                         slicing.threshold, slicing.whole_image ? "and whole" : "alone");
}

bool AbslParseFlag(absl::string_view text, Background* background, std::string* error) {
  if (ParseChoice(kBackgrounds, text::StdView(text), background)) return true;
  *error = text::StrCat("must be one of ", Names(kBackgrounds, "", ", "));
  return false;
}

std::string AbslUnparseFlag(Background background) { return std::string(NameOf(background)); }

absl::StatusOr<Settings> Refine(const Settings& base, const json::object& object, bool strict) {
  Settings settings = base;
  for (const auto& [key, value] : object) {
    if (absl::Status status = Read(key, value, strict, &settings); !status.ok()) return status;
  }
  return settings;
}

json::object KnownKeys(const json::object& object) {
  json::object known;
  for (const std::string_view key : kKeys) {
    if (const json::value* value = object.if_contains(key)) known[key] = *value;
  }
  return known;
}

std::vector<std::string> Misspelt(const json::object& object) {
  std::vector<std::string> sentences;
  for (const auto& [key, value] : object) {
    if (std::find(std::begin(kKeys), std::end(kKeys), std::string_view(key)) != std::end(kKeys))
      continue;
    const std::string question = text::DidYouMean(key, kKeys, "\"", "\"");
    if (question.empty()) continue;
    sentences.push_back(text::StrCat("\"", std::string_view(key), "\" is ignored", question));
    if (sentences.size() == kMaxMisspelt) break;
  }
  return sentences;
}

std::size_t BytesOf(const Settings& settings) {
  std::size_t bytes = sizeof(Settings) + settings.outputs.size();
  for (const auto& [from, to] : settings.label_map) bytes += from.size() + to.size() + 128;
  return bytes;
}

std::string Fingerprint(const Settings& settings) {
  // A text that differs for different settings.
  json::object label_map;
  for (const auto& [from, to] : settings.label_map) label_map[from] = to;
  json::array all = {
      settings.score_threshold, settings.max_detections.value_or(0), settings.outputs,
      std::move(label_map),     NameOf(settings.mask_source),        NameOf(settings.degrade)};
  if (settings.class_agnostic) all.emplace_back(*settings.class_agnostic);
  if (settings.score != Score::kMean) all.emplace_back(NameOf(settings.score));
  if (settings.slice) all.emplace_back(Describe(*settings.slice));
  return ShortHash(json::serialize(all));
}

json::object ToJson(const Settings& settings) {
  json::object label_map;
  for (const auto& [from, to] : settings.label_map) label_map[from] = to;
  json::object object = {{"score_threshold", settings.score_threshold},
                         {"outputs", settings.outputs},
                         {"label_map", std::move(label_map)},
                         {"mask_source", NameOf(settings.mask_source)},
                         {"degrade", NameOf(settings.degrade)},
                         {"background", NameOf(settings.background)},
                         {"score", NameOf(settings.score)}};
  if (settings.max_detections) object["max_detections"] = *settings.max_detections;
  if (settings.class_agnostic) object["class_agnostic"] = *settings.class_agnostic;
  if (const auto& slice = settings.slice) {
    object["slice"] = {{"tile", slice->tile},
                       {"overlap", slice->overlap},
                       {"join", NameIn(kJoins, slice->join)},
                       {"metric", NameIn(kMetrics, slice->metric)},
                       {"threshold", slice->threshold},
                       {"whole_image", slice->whole_image}};
  }
  return object;
}

std::string ShortHash(std::string_view text) {
  const std::uint64_t full = hash::Fnv1a(text);
  return absl::StrFormat("%08x", static_cast<std::uint32_t>(full ^ (full >> 32)));
}

}  // namespace prelabel
