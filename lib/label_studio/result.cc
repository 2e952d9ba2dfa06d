#include "label_studio/result.h"

#include <absl/types/span.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <utility>

#include "label_studio/json_text.h"
#include "label_studio/region_kind.h"
#include "text/str_cat.h"

namespace label_studio {
namespace {

// Where the ids of regions come from.
class IdSource {
 public:
  explicit IdSource(std::optional<std::uint64_t> seed) {
    if (seed) seeded_.emplace(*seed);
  }

  std::string Next() { return seeded_ ? IdOf((*seeded_)()) : IdOf(Random()); }

 private:
  static std::uint64_t Random() {
    thread_local std::mt19937_64 random{[] {
      std::random_device device;
      std::seed_seq seed{device(), device(), device(), device()};
      return std::mt19937_64(seed);
    }()};
    return random();
  }
  static std::string IdOf(std::uint64_t bits);

  std::optional<std::mt19937_64> seeded_;
};

std::string IdSource::IdOf(std::uint64_t bits) {
  static constexpr std::string_view kAlphabet =
      "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-";
  static_assert(kAlphabet.size() == 64);
  std::string id(10, ' ');
  for (char& c : id) {
    c = kAlphabet[bits & 63];
    bits >>= 6;
  }
  return id;
}

double ClampScore(double score) { return std::isnan(score) ? 0 : std::clamp(score, 0.0, 1.0); }

void AddOnce(const std::string& name, std::vector<std::string>* names) {
  if (std::find(names->begin(), names->end(), name) == names->end()) names->push_back(name);
}

// What is the same for every region of one image.
struct Frame {
  vision::Size size;
  int image_rotation = 0;
  int item_index = -1;
};

// Appends regions to `regions`, each written once.
class RegionWriter final : public RegionSink {
 public:
  // `labels`: what the region is labelled with, by group; none for a bare control.
  RegionWriter(const Frame& frame, const Control& control, absl::Span<const Labelling> labels,
               double score, IdSource* ids, Regions* regions)
      : frame_(frame),
        control_(control),
        labels_(labels),
        score_(ClampScore(score)),
        ids_(*ids),
        regions_(*regions) {}

  std::string* Begin() override {
    id_ = ids_.Next();
    AppendHead(control_.name, control_.type);
    value_begin_ = regions_.json.size();
    return &regions_.json;
  }

  void End() override {
    std::string& json = regions_.json;
    const std::size_t value_size = json.size() - value_begin_ - 1;  // without the last comma
    if (control_.has_own_labels) {
      // <RectangleLabels>: shape and labels in one; the list of labels has the type's name.
      AppendTail(control_.type, labels_.empty() ? nullptr : &labels_.front());
    } else {
      // <Rectangle> beside <Labels>: results of one id.
      AppendTail("", nullptr);
      for (const Labelling& labelling : labels_) {
        AppendHead(labelling.group->name, "labels");
        json.append(json, value_begin_, value_size);
        json.push_back(',');
        AppendTail("labels", &labelling);
      }
    }
    ++count_;
    ++regions_.count;
    regions_.score_sum += score_;
  }

  // To be called when the object's regions are written: one without any is degenerate.
  void CountIfDegenerate() {
    if (count_ == 0) ++regions_.degenerate;
  }

 private:
  // What comes before the fields of `value`.
  void AppendHead(std::string_view from_name, std::string_view type) {
    std::string& json = regions_.json;
    if (!json.empty()) json.push_back(',');
    text::StrAppend(&json, "{\"id\":\"", id_, "\",\"from_name\":");
    AppendJsonString(from_name, &json);
    json.append(",\"to_name\":");
    AppendJsonString(control_.to_name, &json);
    text::StrAppend(&json, ",\"type\":\"", type, "\",\"original_width\":", frame_.size.width,
                    ",\"original_height\":", frame_.size.height,
                    ",\"image_rotation\":", frame_.image_rotation);
    if (frame_.item_index >= 0) text::StrAppend(&json, ",\"item_index\":", frame_.item_index);
    json.append(",\"score\":");
    AppendJsonNumber(score_, &json);
    json.append(",\"readonly\":false,\"hidden\":false,\"value\":{");
  }

  // What comes after them. `key`: the name of the list of labels, "" for none. A region without
  // labels has an empty list where Label Studio's validation wants one.
  void AppendTail(std::string_view key, const Labelling* labelling) {
    std::string& json = regions_.json;
    if (key.empty()) {
      json.pop_back();  // the comma after the last field
      json.append("}}");
      return;
    }
    text::StrAppend(&json, "\"", key, "\":");
    char separator = '[';
    if (labelling != nullptr) {
      for (const std::string& label : labelling->labels) {
        json.push_back(separator);
        AppendJsonString(label, &json);
        separator = ',';
      }
    }
    json.append(separator == '[' ? "[]}}" : "]}}");
  }

  const Frame& frame_;
  const Control& control_;
  const absl::Span<const Labelling> labels_;
  const double score_;
  IdSource& ids_;
  Regions& regions_;
  std::string id_;
  std::size_t value_begin_ = 0;
  int count_ = 0;
};

}  // namespace

void Regions::Append(Regions&& other) {
  if (json.empty()) {
    json = std::move(other.json);
  } else if (!other.json.empty()) {
    text::StrAppend(&json, ",", other.json);
  }
  count += other.count;
  score_sum += other.score_sum;
  degenerate += other.degenerate;
  for (const std::string& name : other.unmatched_classes) AddOnce(name, &unmatched_classes);
}

Regions MakeRegions(const EmissionPlan& plan, vision::Size size, const std::vector<Object>& objects,
                    int item_index, std::optional<std::uint64_t> id_seed) {
  Regions regions;
  IdSource ids(id_seed);
  const Frame frame{size, 0, item_index};
  for (const Object& object : objects) {
    const absl::Span<const EmissionPlan::Target> targets = plan.TargetsOf(object.class_name);
    if (targets.empty()) AddOnce(object.class_name, &regions.unmatched_classes);
    for (const EmissionPlan::Target& target : targets) {
      std::vector<Labelling> labels;
      if (target.label != nullptr) labels.push_back({target.group, {target.label->written()}});
      const RegionKindInfo& info = InfoOf(target.control->kind);
      if (info.write_box != nullptr) {
        RegionWriter writer(frame, *target.control, labels, object.score, &ids, &regions);
        info.write_box(object.box, object.rotated_box, size, writer);
        writer.CountIfDegenerate();
      } else if (object.mask) {
        RegionWriter writer(frame, *target.control, labels, object.mask_score, &ids, &regions);
        info.write_mask(*object.mask, writer);
        writer.CountIfDegenerate();
      }
    }
  }
  return regions;
}

Regions MakeAnswer(const InteractivePrompt& prompt, const std::vector<AnswerTarget>& targets,
                   const vision::Mask& mask, float score) {
  Regions regions;
  IdSource ids(std::nullopt);
  const Frame frame{mask.size, prompt.image_rotation, prompt.item_index};
  for (const AnswerTarget& target : targets) {
    RegionWriter writer(frame, *target.control, target.labels, score, &ids, &regions);
    InfoOf(target.control->kind).write_mask(mask, writer);
    writer.CountIfDegenerate();
  }
  return regions;
}

std::string PredictionJson(const Regions& regions, std::string_view model_version) {
  std::string json = text::StrCat("{\"result\":[", regions.json, "],\"score\":");
  const double mean = regions.count == 0 ? 0 : regions.score_sum / regions.count;
  AppendJsonNumber(regions.score.value_or(mean), &json);
  json.append(",\"model_version\":");
  AppendJsonString(model_version, &json);
  json.push_back('}');
  return json;
}

std::string PredictResponseJson(std::vector<std::string> predictions,
                                std::string_view model_version) {
  std::size_t bytes = 64 + model_version.size();
  for (const std::string& prediction : predictions) bytes += prediction.size() + 1;
  std::string json;
  json.reserve(bytes);
  json.append("{\"results\":[");
  for (std::size_t i = 0; i < predictions.size(); ++i) {
    if (i > 0) json.push_back(',');
    json.append(std::exchange(predictions[i], {}));  // not both for long
  }
  json.append("],\"model_version\":");
  AppendJsonString(model_version, &json);
  json.push_back('}');
  return json;
}

}  // namespace label_studio
