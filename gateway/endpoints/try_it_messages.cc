#include "gateway/endpoints/try_it_messages.h"

#include <boost/json/array.hpp>
#include <boost/json/value.hpp>
#include <cmath>
#include <optional>
#include <utility>

#include "label_studio/json_fields.h"
#include "label_studio/json_parts.h"
#include "text/str_cat.h"
#include "vision/mask_rle.h"

namespace gateway::endpoints {
namespace {

namespace json = boost::json;
namespace segmenter = duet::segmenter::v1;
using label_studio::JsonPart;

constexpr JsonPart kUpload[] = {{.name = "image"}};
constexpr JsonPart kImageId[] = {{.name = "image_id"}};
constexpr JsonPart kPrompts[] = {{.name = "image_id"}, {.name = "prompts", .whole = true}};
constexpr std::size_t kIdSize = 64;  // SHA-256 in hex

absl::StatusOr<json::object> ParseObject(std::string_view body, std::span<const JsonPart> fields,
                                         const label_studio::RequestLimits& limits) {
  return label_studio::ParseJsonObject(body, fields, limits.max_depth, limits.memory);
}

absl::StatusOr<std::string> ImageIdOf(const json::object& body) {
  const std::string_view id = label_studio::TextField(body, "image_id");
  if (id.size() != kIdSize) {
    return absl::InvalidArgumentError(text::StrCat("'image_id' has ", id.size(),
                                                   " characters; needed: the ", kIdSize,
                                                   " that POST /ui/images has answered with"));
  }
  return std::string(id);
}

// The numbers of a list of `count` of them.
std::optional<std::vector<float>> Numbers(const json::value* value, std::size_t count) {
  const json::array* const list = value == nullptr ? nullptr : value->if_array();
  if (list == nullptr || list->size() != count) return std::nullopt;
  std::vector<float> numbers;
  for (const json::value& element : *list) {
    const std::optional<double> number = label_studio::FiniteNumber(&element);
    // The largest images have less than 2^30 pixels.
    if (!number || std::abs(*number) > 1e9) return std::nullopt;
    numbers.push_back(static_cast<float>(*number));
  }
  return numbers;
}

absl::Status BadPrompt(std::size_t i, std::string_view what) {
  return absl::InvalidArgumentError(text::StrCat("prompts[", i, "] ", what));
}

absl::Status ReadPrompt(const json::value& value, std::size_t i, segmenter::Prompt* prompt) {
  const json::object* const object = value.if_object();
  if (object == nullptr) return BadPrompt(i, "is no object; needed: points, a box, or both");
  bool selects = false;
  if (const json::value* const points = object->if_contains("points")) {
    const json::array* const list = points->if_array();
    if (list == nullptr || list->size() > Prompts::kMaxPoints) {
      return BadPrompt(i, text::StrCat("has points that are no list of at most ",
                                       Prompts::kMaxPoints, "; needed: [[x, y, 1], …]"));
    }
    for (const json::value& element : *list) {
      const auto numbers = Numbers(&element, 3);
      if (!numbers || ((*numbers)[2] != 0 && (*numbers)[2] != 1)) {
        return BadPrompt(i,
                         "has a point that is not [x, y, 1], which belongs to the object, or "
                         "[x, y, 0], which doesn't");
      }
      segmenter::Point& point = *prompt->add_points();
      point.set_x((*numbers)[0]);
      point.set_y((*numbers)[1]);
      point.set_label(static_cast<int>((*numbers)[2]));
      selects |= point.label() == 1;
    }
  }
  if (const json::value* const box = object->if_contains("box");
      box != nullptr && !box->is_null()) {
    const auto numbers = Numbers(box, 4);
    if (!numbers || (*numbers)[0] >= (*numbers)[2] || (*numbers)[1] >= (*numbers)[3]) {
      return BadPrompt(i, "has a box that is not [x_min, y_min, x_max, y_max]");
    }
    prompt->mutable_box()->set_x_min((*numbers)[0]);
    prompt->mutable_box()->set_y_min((*numbers)[1]);
    prompt->mutable_box()->set_x_max((*numbers)[2]);
    prompt->mutable_box()->set_y_max((*numbers)[3]);
    selects = true;
  }
  if (!selects) {
    return BadPrompt(i, "selects nothing; needed: a point that belongs to the object, or a box");
  }
  return absl::OkStatus();
}

json::array BoxJson(const vision::Box& box) { return {box.x_min, box.y_min, box.x_max, box.y_max}; }

json::array RunsJson(const vision::Mask& mask) {
  const std::vector<std::uint32_t> runs = vision::EncodeRowRuns(mask);
  return json::array(runs.begin(), runs.end());
}

}  // namespace

absl::StatusOr<std::string> ParseUpload(std::string_view body,
                                        const label_studio::RequestLimits& limits) {
  const auto parsed = ParseObject(body, kUpload, limits);
  if (!parsed.ok()) return parsed.status();
  const std::string_view uri = label_studio::TextField(*parsed, "image");
  // Others would be fetched, which is what /predict is for.
  if (!uri.starts_with("data:")) {
    return absl::InvalidArgumentError("'image' is no data URI; needed: data:image/jpeg;base64,…");
  }
  return std::string(uri);
}

absl::StatusOr<std::string> ParseImageId(std::string_view body,
                                         const label_studio::RequestLimits& limits) {
  const auto parsed = ParseObject(body, kImageId, limits);
  if (!parsed.ok()) return parsed.status();
  return ImageIdOf(*parsed);
}

absl::StatusOr<Prompts> ParsePrompts(std::string_view body,
                                     const label_studio::RequestLimits& limits) {
  const auto parsed = ParseObject(body, kPrompts, limits);
  if (!parsed.ok()) return parsed.status();
  auto id = ImageIdOf(*parsed);
  if (!id.ok()) return id.status();
  Prompts prompts{.image_id = *std::move(id), .request = {}};
  const json::value* const value = parsed->if_contains("prompts");
  const json::array* const list = value == nullptr ? nullptr : value->if_array();
  if (list == nullptr || list->empty() || list->size() > Prompts::kMaxPrompts) {
    return absl::InvalidArgumentError(text::StrCat("'prompts' is no list of 1 to ",
                                                   Prompts::kMaxPrompts,
                                                   " prompts; needed: [{\"points\": "
                                                   "[[x, y, 1]]}]"));
  }
  for (std::size_t i = 0; i < list->size(); ++i) {
    absl::Status status = ReadPrompt((*list)[i], i, prompts.request.add_prompts());
    if (!status.ok()) return status;
  }
  prompts.request.add_formats(segmenter::MASK_FORMAT_ROW_RUNS);
  // As for a click in Label Studio (prelabel/translate.cc): one point is ambiguous.
  const segmenter::Prompt& first = prompts.request.prompts(0);
  prompts.request.set_multimask_output(list->size() == 1 && first.points_size() == 1 &&
                                       !first.has_box());
  return prompts;
}

json::object ToJson(const label_studio::Object& object) {
  json::object written = {
      {"label", object.class_name}, {"score", object.score}, {"box", BoxJson(object.box)}};
  if (object.rotated_box) {
    const vision::RotatedBox& box = *object.rotated_box;
    written["rotated_box"] = {box.center.x, box.center.y, box.width, box.height, box.angle};
  }
  if (object.mask) written["mask"] = RunsJson(*object.mask);
  return written;
}

json::object ToJson(const prelabel::ScoredMask& mask) {
  json::object written = {{"score", mask.score}, {"mask", RunsJson(mask.mask)}};
  if (!mask.mask.spans.empty()) written["box"] = BoxJson(vision::TightBox(mask.mask));
  return written;
}

}  // namespace gateway::endpoints
