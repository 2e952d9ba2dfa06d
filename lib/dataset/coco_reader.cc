#include "dataset/coco_reader.h"

#include <absl/container/flat_hash_map.h>
#include <absl/status/status.h>
#include <absl/strings/numbers.h>

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numbers>
#include <optional>
#include <utility>

#include "dataset/json_elements.h"
#include "dataset/object_checks.h"
#include "label_studio/json_fields.h"
#include "text/str_cat.h"
#include "vision/box.h"
#include "vision/coco_polygon.h"
#include "vision/mask_rle.h"
#include "vision/mask_shapes.h"
#include "vision/mask_union.h"
#include "vision/rotated_box.h"

namespace dataset {
namespace {

namespace json = boost::json;
using label_studio::TextField;
using text::StrCat;

// A mask as the file has it. Kept instead of the mask until all images are known, because it takes
// less memory and because annotations may come before images.
struct Segmentation {
  std::vector<std::vector<double>> polygons;
  std::string counts;                // compressed run lengths
  std::vector<std::uint32_t> runs;   // uncompressed ones, column by column
  std::optional<vision::Size> size;  // of run lengths
  bool damaged = false;

  bool empty() const { return polygons.empty() && !size && !damaged; }
};

struct Annotation {
  std::string id;
  std::string image_id;
  std::string category_id;
  std::optional<std::array<double, 4>> bbox;  // x, y, width, height
  std::optional<std::array<double, 5>> rotated_box;
  Segmentation segmentation;
  std::optional<double> area;
  bool crowd = false;
  bool ignore = false;

  std::string where() const { return StrCat("annotation ", id, " of image ", image_id); }
};

struct Category {
  std::string id;
  std::string name;
};

template <std::size_t n>
std::optional<std::array<double, n>> Numbers(const json::value* value) {
  const json::array* const list = value == nullptr ? nullptr : value->if_array();
  if (list == nullptr || list->size() != n) return std::nullopt;
  std::array<double, n> numbers;
  for (std::size_t i = 0; i < n; ++i) {
    if (!(*list)[i].is_number()) return std::nullopt;
    numbers[i] = (*list)[i].to_number<double>();
    if (!std::isfinite(numbers[i])) return std::nullopt;
  }
  return numbers;
}

std::vector<std::vector<double>> ReadPolygons(const json::array& list, bool* damaged) {
  std::vector<std::vector<double>> polygons;
  for (const json::value& element : list) {
    const json::array* const coordinates = element.if_array();
    if (coordinates == nullptr || coordinates->size() < 6 || coordinates->size() % 2 != 0) {
      *damaged = true;  // but the others may be right: mmdet drops these, too
      continue;
    }
    std::vector<double>& polygon = polygons.emplace_back();
    for (const json::value& coordinate : *coordinates) {
      polygon.push_back(coordinate.is_number() ? coordinate.to_number<double>() : std::nan(""));
    }
  }
  return polygons;
}

Segmentation ReadSegmentation(const json::value& value) {
  Segmentation result;
  if (const json::array* const list = value.if_array()) {
    result.polygons = ReadPolygons(*list, &result.damaged);
    return result;
  }
  const json::object* const code = value.if_object();
  if (code == nullptr) {
    result.damaged = !value.is_null();
    return result;
  }
  const json::value* const counts = code->if_contains("counts");
  const auto size = Numbers<2>(code->if_contains("size"));
  if (counts == nullptr || !size || (*size)[0] > 1e9 || (*size)[1] > 1e9 || (*size)[0] < 0 ||
      (*size)[1] < 0) {
    result.damaged = true;
    return result;
  }
  result.size = {static_cast<int>((*size)[1]), static_cast<int>((*size)[0])};
  if (const json::string* const text = counts->if_string()) {
    result.counts.assign(text->data(), text->size());
  } else if (const json::array* const runs = counts->if_array()) {
    for (const json::value& run : *runs) {
      const std::int64_t* const length = run.if_int64();
      if (length == nullptr || *length < 0 || *length > vision::kMaxMaskPixels) {
        result.damaged = true;
        result.size.reset();
        break;
      }
      result.runs.push_back(static_cast<std::uint32_t>(*length));
    }
  } else {
    result.damaged = true;
    result.size.reset();
  }
  return result;
}

// Keeps what is needed of each element, and puts it together when all are read.
class Reader {
 public:
  Reader(const CocoReadOptions& options, Findings* findings)
      : options_(options), findings_(*findings) {}

  absl::Status Take(const JsonElement& element) {
    const json::object* const object = element.value.if_object();
    if (!element.of_list || object == nullptr) return absl::OkStatus();
    if (element.field == "categories") return TakeCategory(*object);
    if (element.field == "images") TakeImage(*object);
    if (element.field == "annotations") TakeAnnotation(*object);
    return absl::OkStatus();
  }

  absl::StatusOr<Dataset> Finish();

 private:
  absl::Status TakeCategory(const json::object& object) {
    Category category{IdField(object, "id"), std::string(TextField(object, "name"))};
    if (category.id.empty() || category.name.empty()) {
      return absl::InvalidArgumentError(StrCat("category ", categories_.size(),
                                               " of the list 'categories' has no ",
                                               category.id.empty() ? "'id'" : "'name'"));
    }
    categories_.push_back(std::move(category));
    return absl::OkStatus();
  }

  void TakeImage(const json::object& object) {
    std::string id = IdField(object, "id");
    const std::string where = StrCat("image ", id, ", '", TextField(object, "file_name"), "'");
    const std::optional<double> width = NumberField(object, "width");
    const std::optional<double> height = NumberField(object, "height");
    if (id.empty() || TextField(object, "file_name").empty()) {
      findings_.Add("images without an id or a file name, left out", where);
    } else if (!width || !height || !(*width >= 1 && *height >= 1) ||
               !(*width <= 1e6 && *height <= 1e6)) {
      findings_.Add("images without width and height, left out", where);
      unusable_images_.emplace(std::move(id), true);
    } else if (!image_index_.emplace(id, samples_.size()).second) {
      findings_.Add("images of an id that another has already, left out", where);
    } else {
      Sample& sample = samples_.emplace_back();
      sample.id = std::move(id);
      sample.image = TextField(object, "file_name");
      sample.size = {static_cast<int>(*width), static_cast<int>(*height)};
    }
  }

  void TakeAnnotation(const json::object& object) {
    Annotation& annotation = annotations_.emplace_back();
    annotation.id = IdField(object, "id");
    annotation.image_id = IdField(object, "image_id");
    annotation.category_id = IdField(object, "category_id");
    annotation.bbox = Numbers<4>(object.if_contains("bbox"));
    annotation.rotated_box = Numbers<5>(object.if_contains("rotated_box"));
    annotation.area = NumberField(object, "area");
    annotation.crowd = TrueField(object, "iscrowd");
    annotation.ignore = TrueField(object, "ignore");
    const json::value* const segmentation = object.if_contains("segmentation");
    if (segmentation != nullptr && (options_.masks || !annotation.bbox)) {
      annotation.segmentation = ReadSegmentation(*segmentation);
    }
  }

  absl::Status ResolveClasses();
  void Resolve(Annotation& annotation);
  // None, which is counted, if there is no box that can be used.
  std::optional<vision::Box> BoxOf(const Annotation& annotation,
                                   const std::optional<vision::Mask>& mask, vision::Size size);
  std::optional<vision::Mask> MaskOf(const Annotation& annotation, vision::Size size);

  const CocoReadOptions& options_;
  Findings& findings_;
  std::vector<Category> categories_;
  std::vector<std::string> classes_;
  absl::flat_hash_map<std::string, int> class_of_category_;  // -1: not wanted
  std::vector<Sample> samples_;
  absl::flat_hash_map<std::string, std::size_t> image_index_;
  absl::flat_hash_map<std::string, bool> unusable_images_;
  std::vector<Annotation> annotations_;
  absl::flat_hash_map<std::string, bool> annotation_ids_;
};

absl::Status Reader::ResolveClasses() {
  const auto number = [](const Category& category) {
    std::int64_t id = std::numeric_limits<std::int64_t>::max();  // texts come last
    (void)absl::SimpleAtoi(category.id, &id);
    return id;
  };
  std::stable_sort(categories_.begin(), categories_.end(),
                   [&](const Category& a, const Category& b) { return number(a) < number(b); });
  std::vector<std::string> names;
  for (const Category& category : categories_) names.push_back(category.name);
  if (absl::Status status = CheckClasses(names); !status.ok()) return status;
  classes_ = options_.classes.empty() ? names : options_.classes;
  if (absl::Status status = CheckClasses(classes_); !status.ok()) return status;
  for (const std::string& name : classes_) {
    if (std::find(names.begin(), names.end(), name) == names.end()) {
      constexpr std::size_t kMaxListed = 100;
      std::string known;
      for (std::size_t i = 0; i < names.size() && i < kMaxListed; ++i) {
        text::StrAppend(&known, i == 0 ? "" : ", ", names[i]);
      }
      if (names.size() > kMaxListed)
        text::StrAppend(&known, " and ", names.size() - kMaxListed, " more");
      return absl::InvalidArgumentError(
          StrCat("no category is named '", name, "'; the file has: ", known));
    }
  }
  for (const Category& category : categories_) {
    const auto at = std::find(classes_.begin(), classes_.end(), category.name);
    const int index = at == classes_.end() ? -1 : static_cast<int>(at - classes_.begin());
    if (!class_of_category_.emplace(category.id, index).second) {
      return absl::InvalidArgumentError(StrCat("two categories have the id ", category.id));
    }
  }
  return absl::OkStatus();
}

std::optional<vision::Mask> Reader::MaskOf(const Annotation& annotation, vision::Size size) {
  const Segmentation& from = annotation.segmentation;
  if (from.damaged)
    findings_.Add("damaged segmentations or parts of them, left out", annotation.where());
  std::vector<vision::Mask> masks;
  for (const std::vector<double>& polygon : from.polygons) {
    absl::StatusOr<vision::Mask> mask = vision::MaskFromCocoPolygon(size, polygon);
    if (mask.ok()) {
      masks.push_back(*std::move(mask));
    } else {
      findings_.Add("damaged segmentations or parts of them, left out",
                    StrCat(annotation.where(), ": ", mask.status().message()));
    }
  }
  if (from.size) {
    if (*from.size != size) {
      findings_.Add("segmentations of another size than their image, left out", annotation.where());
      return std::nullopt;
    }
    absl::StatusOr<vision::Mask> mask =
        from.counts.empty() ? vision::DecodeRowRuns({size.height, size.width}, from.runs)
                            : vision::DecodeCocoRle(size, from.counts);
    if (mask.ok() && from.counts.empty()) mask = vision::Transpose(*mask);
    if (!mask.ok()) {
      findings_.Add("damaged segmentations or parts of them, left out",
                    StrCat(annotation.where(), ": ", mask.status().message()));
      return std::nullopt;
    }
    masks.push_back(*std::move(mask));
  }
  if (masks.empty()) return std::nullopt;
  vision::Mask mask = vision::Union(masks);
  if (mask.spans.empty()) {
    findings_.Add("segmentations without a pixel, left out", annotation.where());
    return std::nullopt;
  }
  return mask;
}

// Our writer gives an object that has a turned box but no mask the box's outline as a polygon, for
// tools that read turned boxes so. It is not a mask.
bool IsOutlineOf(const vision::RotatedBox& box, const Segmentation& segmentation) {
  if (segmentation.polygons.size() != 1 || segmentation.polygons.front().size() != 8) return false;
  const std::array<vision::Point, 4> corners = vision::Corners(box);
  for (std::size_t i = 0; i < corners.size(); ++i) {
    if (std::abs(segmentation.polygons.front()[2 * i] - corners[i].x) > 0.01 ||
        std::abs(segmentation.polygons.front()[2 * i + 1] - corners[i].y) > 0.01) {
      return false;
    }
  }
  return true;
}

bool IsFinite(const vision::Box& box) {
  return std::isfinite(box.x_min) && std::isfinite(box.y_min) && std::isfinite(box.x_max) &&
         std::isfinite(box.y_max);
}

std::optional<vision::Box> Reader::BoxOf(const Annotation& annotation,
                                         const std::optional<vision::Mask>& mask,
                                         vision::Size size) {
  const bool as_written = options_.boxes_as_written;
  std::optional<vision::Box> box;
  if (annotation.bbox) {
    const auto [x, y, width, height] = *annotation.bbox;
    box = {static_cast<float>(x), static_cast<float>(y), static_cast<float>(x + width),
           static_cast<float>(y + height)};
    if (!(width > 0 && height > 0) && !as_written) box.reset();
  } else if (mask) {
    box = vision::TightBox(*mask);
  }
  if (!box || !IsFinite(*box) || (IsEmpty(*box) && !as_written)) {
    findings_.Add("annotations whose box is missing, damaged or empty, left out",
                  annotation.where());
    return std::nullopt;
  }
  if (IsEmpty(*box)) {
    findings_.Add("annotations whose box has no width or height, kept as written",
                  annotation.where());
    return box;
  }
  const vision::Box clipped = vision::Clip(*box, size);
  if (IsEmpty(clipped)) {
    findings_.Add(as_written ? "annotations whose box is outside of the image, kept as written"
                             : "annotations whose box is outside of the image, left out",
                  annotation.where());
    if (!as_written) return std::nullopt;
  }
  return as_written ? *box : clipped;
}

void Reader::Resolve(Annotation& annotation) {
  if (!annotation.id.empty() && !annotation_ids_.emplace(annotation.id, true).second) {
    findings_.Add("annotations of an id that another has already, kept", annotation.where());
  }
  if (annotation.id == "0" && options_.boxes_as_written) {
    findings_.Add(
        "annotations of the id 0, which pycocotools never counts as found; here they count",
        annotation.where());
  }
  const auto image = image_index_.find(annotation.image_id);
  if (image == image_index_.end()) {
    findings_.Add(unusable_images_.contains(annotation.image_id)
                      ? "annotations of images that were left out"
                      : "annotations of images that the file doesn't have, left out",
                  annotation.where());
    return;
  }
  const auto category = class_of_category_.find(annotation.category_id);
  if (category == class_of_category_.end()) {
    findings_.Add("annotations of unknown categories, left out",
                  StrCat(annotation.where(), ", category '", annotation.category_id, "'"));
    return;
  }
  if (category->second < 0) return;  // a class that isn't wanted
  Sample& sample = samples_[image->second];
  Object object;
  object.class_index = category->second;
  object.crowd = annotation.crowd;
  object.ignore = annotation.ignore;
  if (const auto& numbers = annotation.rotated_box) {
    object.rotated_box = {{static_cast<float>((*numbers)[0]), static_cast<float>((*numbers)[1])},
                          static_cast<float>((*numbers)[2]),
                          static_cast<float>((*numbers)[3]),
                          static_cast<float>((*numbers)[4] * std::numbers::pi / 180)};
    if (IsOutlineOf(*object.rotated_box, annotation.segmentation)) annotation.segmentation = {};
  }
  if (!annotation.segmentation.empty()) object.mask = MaskOf(annotation, sample.size);
  const std::optional<vision::Box> box = BoxOf(annotation, object.mask, sample.size);
  if (!box) return;
  object.box = *box;
  if (!annotation.area && object.mask) annotation.area = vision::Area(*object.mask);
  object.area = annotation.area.value_or(vision::BoxArea(*box));
  if (!options_.masks) object.mask.reset();
  sample.objects.push_back(std::move(object));
}

absl::StatusOr<Dataset> Reader::Finish() {
  if (categories_.empty()) {
    return absl::InvalidArgumentError("has no 'categories': is this COCO's instance format?");
  }
  if (absl::Status status = ResolveClasses(); !status.ok()) return status;
  if (samples_.empty()) {
    return absl::InvalidArgumentError(
        StrCat("has no usable 'images': each needs id, file_name, width and height",
               findings_.empty() ? "" : StrCat(" (", findings_.Lines().front(), ")")));
  }
  for (Annotation& annotation : annotations_) {
    Resolve(annotation);
    annotation = {};  // not both for long
  }
  return Dataset{std::move(classes_), std::move(samples_)};
}

}  // namespace

absl::StatusOr<Dataset> ReadCoco(std::string_view json, const CocoReadOptions& options,
                                 Findings* findings) {
  Reader reader(options, findings);
  absl::Status status =
      ReadJsonElements(json, [&](const JsonElement& element) { return reader.Take(element); });
  if (!status.ok()) return status;
  return reader.Finish();
}

}  // namespace dataset
