#include "label_studio/result.h"

#include <absl/status/status.h>
#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/str_split.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <utility>

#include "label_studio/json_text.h"
#include "label_studio/region_kind.h"
#include "text/str_cat.h"

namespace label_studio {
namespace {

std::string RandomId() {
  static constexpr std::string_view kAlphabet =
      "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-";
  static_assert(kAlphabet.size() == 64);
  thread_local std::mt19937_64 random{[] {
    std::random_device device;
    std::seed_seq seed{device(), device(), device(), device()};
    return std::mt19937_64(seed);
  }()};
  std::uint64_t bits = random();
  std::string id(10, ' ');
  for (char& c : id) {
    c = kAlphabet[bits & 63];
    bits >>= 6;
  }
  return id;
}

double ClampScore(double score) { return std::isnan(score) ? 0 : std::clamp(score, 0.0, 1.0); }

// What is the same for every region of one image.
struct Frame {
  vision::Size size;
  int image_rotation = 0;
  int item_index = -1;
};

// Appends regions to `regions`, each written once.
class RegionWriter final : public RegionSink {
 public:
  RegionWriter(const Frame& frame, const Control& control, std::string_view label, double score,
               Regions* regions)
      : frame_(frame),
        control_(control),
        label_(label),
        score_(ClampScore(score)),
        regions_(*regions) {}

  std::string* Begin() override {
    id_ = RandomId();
    AppendHead(control_.name, control_.type);
    value_begin_ = regions_.json.size();
    return &regions_.json;
  }

  void End() override {
    std::string& json = regions_.json;
    const std::size_t value_size = json.size() - value_begin_ - 1;  // without the last comma
    if (control_.labels_name.empty()) {
      // <RectangleLabels>: shape and label in one; the label list has the type's name.
      AppendTail(control_.type);
    } else {
      // <Rectangle> beside <Labels>: two results of one id.
      AppendTail("");
      if (!label_.empty()) {
        AppendHead(control_.labels_name, "labels");
        json.append(json, value_begin_, value_size);
        json.push_back(',');
        AppendTail("labels");
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

  // What comes after them. `labels_key`: the name of the label list, "" for none.
  void AppendTail(std::string_view labels_key) {
    std::string& json = regions_.json;
    if (!labels_key.empty() && !label_.empty()) {
      text::StrAppend(&json, "\"", labels_key, "\":[");
      AppendJsonString(label_, &json);
      json.append("]");
    } else {
      json.pop_back();  // the comma after the last field
    }
    json.append("}}");
  }

  const Frame& frame_;
  const Control& control_;
  const std::string_view label_;
  const double score_;
  Regions& regions_;
  std::string id_;
  std::size_t value_begin_ = 0;
  int count_ = 0;
};

}  // namespace

absl::StatusOr<Outputs> ParseOutputs(std::string_view text) {
  Outputs outputs;
  if (absl::EqualsIgnoreCase(absl::StripAsciiWhitespace(text::View(text)), "auto")) return outputs;
  for (const absl::string_view word :
       absl::StrSplit(text::View(text), ',', absl::SkipWhitespace())) {
    const std::string name = absl::AsciiStrToLower(absl::StripAsciiWhitespace(word));
    const auto info = std::find_if(RegionKinds().begin(), RegionKinds().end(),
                                   [&](const auto& known) { return known.name == name; });
    if (info == RegionKinds().end()) {
      std::string known = "auto";
      for (const RegionKindInfo& kind : RegionKinds()) text::StrAppend(&known, ", ", kind.name);
      return absl::InvalidArgumentError(
          text::StrCat("outputs: '", name, "' is unknown; known: ", known));
    }
    if (std::find(outputs.kinds.begin(), outputs.kinds.end(), info->kind) == outputs.kinds.end()) {
      outputs.kinds.push_back(info->kind);
    }
  }
  return outputs;
}

EmissionPlan EmissionPlan::Make(const LabelConfig& config, const ImageTag& image,
                                const Outputs& outputs, const LabelMap& label_map) {
  EmissionPlan plan;
  plan.image_ = &image;
  const auto add = [&](RegionKind kind) {
    for (const Control& control : config.controls) {
      if (control.kind == kind && control.to_name == image.name && !control.smart &&
          !control.labels.empty()) {
        plan.targets_.push_back({&control, LabelMatcher(control, label_map)});
        return true;
      }
    }
    return false;
  };
  if (!outputs.kinds.empty()) {
    for (const RegionKind kind : outputs.kinds) add(kind);
    return plan;
  }
  const auto add_all = [&](AutoOutput when) {
    for (const RegionKindInfo& info : RegionKinds()) {
      if (info.auto_output == when && add(info.kind) && when == AutoOutput::kOneOf) return;
    }
  };
  add_all(AutoOutput::kAlways);
  add_all(AutoOutput::kOneOf);
  if (plan.targets_.empty()) add_all(AutoOutput::kIfNothingElse);
  return plan;
}

bool EmissionPlan::needs_masks() const {
  return std::any_of(targets_.begin(), targets_.end(), [](const Target& target) {
    return InfoOf(target.control->kind).write_box == nullptr;
  });
}

std::string EmissionPlan::Describe(const std::vector<std::string>& classes) const {
  // JSON, so that names can't run into each other.
  std::string text = "[";
  const auto add = [&text](std::string_view part) {
    AppendJsonString(part, &text);
    text.push_back(',');
  };
  add(image_->name);
  add(image_->value);
  add(image_->is_list ? "list" : "one");
  for (const Target& target : targets_) {
    std::string labels;
    for (const std::string& name : classes) {
      const auto label = target.labels.Match(name);
      if (!label) continue;
      AppendJsonString(name, &labels);
      labels.push_back(':');
      AppendJsonString(*label, &labels);
      labels.push_back(',');
    }
    if (labels.empty()) continue;  // it writes nothing
    const Control& control = *target.control;
    add(InfoOf(control.kind).name);
    add(control.name);
    add(control.type);
    add(control.labels_name);
    text::StrAppend(&text, "{", labels, "},");
  }
  return text + "]";
}

bool EmissionPlan::Emits(std::string_view class_name) const {
  return std::any_of(targets_.begin(), targets_.end(), [&](const Target& target) {
    return target.labels.Match(class_name).has_value();
  });
}

void Regions::Append(Regions&& other) {
  if (json.empty()) {
    json = std::move(other.json);
  } else if (!other.json.empty()) {
    text::StrAppend(&json, ",", other.json);
  }
  count += other.count;
  score_sum += other.score_sum;
  degenerate += other.degenerate;
  for (std::string& name : other.unmatched_classes) {
    if (std::find(unmatched_classes.begin(), unmatched_classes.end(), name) ==
        unmatched_classes.end()) {
      unmatched_classes.push_back(std::move(name));
    }
  }
}

Regions MakeRegions(const EmissionPlan& plan, vision::Size size, const std::vector<Object>& objects,
                    int item_index) {
  Regions regions;
  const Frame frame{size, 0, item_index};
  for (const Object& object : objects) {
    if (!plan.Emits(object.class_name)) {
      if (std::find(regions.unmatched_classes.begin(), regions.unmatched_classes.end(),
                    object.class_name) == regions.unmatched_classes.end()) {
        regions.unmatched_classes.push_back(object.class_name);
      }
      continue;
    }
    for (const EmissionPlan::Target& target : plan.targets()) {
      const std::optional<std::string> label = target.labels.Match(object.class_name);
      if (!label) continue;
      const RegionKindInfo& info = InfoOf(target.control->kind);
      if (info.write_box != nullptr) {
        RegionWriter writer(frame, *target.control, *label, object.score, &regions);
        info.write_box(object.box, object.rotated_box, size, writer);
        writer.CountIfDegenerate();
      } else if (object.mask) {
        RegionWriter writer(frame, *target.control, *label, object.mask_score, &regions);
        info.write_mask(*object.mask, writer);
        writer.CountIfDegenerate();
      }
    }
  }
  return regions;
}

Regions MakeAnswer(const InteractivePrompt& prompt, const AnswerTarget& target,
                   const vision::Mask& mask, float score) {
  Regions regions;
  const Frame frame{mask.size, prompt.image_rotation, prompt.item_index};
  RegionWriter writer(frame, *target.control, target.label, score, &regions);
  InfoOf(target.control->kind).write_mask(mask, writer);
  writer.CountIfDegenerate();
  return regions;
}

std::size_t EmissionPlan::memory_bytes() const {
  std::size_t bytes = targets_.capacity() * sizeof(Target);
  for (const Target& target : targets_) bytes += target.labels.memory_bytes();
  return bytes;
}

std::string PredictionJson(const Regions& regions, std::string_view model_version) {
  std::string json = text::StrCat("{\"result\":[", regions.json, "],\"score\":");
  AppendJsonNumber(regions.count == 0 ? 0 : regions.score_sum / regions.count, &json);
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
