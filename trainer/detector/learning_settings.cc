#include "trainer/detector/learning_settings.h"

#include <absl/strings/str_cat.h>

#include <span>

#include "detector_service/config/config_reader.h"

namespace trainer {
namespace {

using detector::ConfigReader;
using detector::KeyRule;
using detector::PythonValue;
using enum detector::KeyUse;

// Sources: mmdet/models/losses/{gfocal_loss,iou_loss,dice_loss}.py. `reduction` is the mean in all
// of mmdet's configs; the head asks for others by itself where it needs them.
constexpr KeyRule kFocal[] = {{"loss_weight", kRead},
                              {"use_sigmoid", kMustBe, "[True]"},
                              {"beta", kMustBe, "[2.0]"},
                              {"activated", kMustBe, "[False]"},
                              {"reduction", kMustBe, "['mean']"}};
constexpr KeyRule kGiou[] = {
    {"loss_weight", kRead}, {"eps", kMustBe, "[1e-6]"}, {"reduction", kMustBe, "['mean']"}};
constexpr KeyRule kDice[] = {{"loss_weight", kRead},          {"use_sigmoid", kMustBe, "[True]"},
                             {"activate", kMustBe, "[True]"}, {"naive_dice", kMustBe, "[False]"},
                             {"eps", kMustBe, "[5e-6]"},      {"reduction", kMustBe, "['mean']"}};
// Source: mmdet/models/task_modules/assigners/dynamic_soft_label_assigner.py.
constexpr KeyRule kAssigner[] = {{"topk", kRead},
                                 {"soft_center_radius", kRead},
                                 {"iou_weight", kRead},
                                 {"iou_calculator", kMustBe, "[dict(type='BboxOverlaps2D')]"}};
// Source: mmdet/models/dense_heads/rtmdet_head.py, _get_targets_single.
constexpr KeyRule kTrain[] = {{"assigner", kRead},
                              {"allowed_border", kMustBe, "[-1, 0]"},
                              {"pos_weight", kMustBe, "[-1, 0]"},
                              {"sampler", kMustBe, "[dict(type='PseudoSampler')]"},
                              {"debug", kIrrelevant}};

// The dict `key` of `parent`, whose class has to be `type`; null if there is none.
const PythonValue* Part(ConfigReader& reader, const PythonValue* parent, const char* key,
                        const std::string& where, const std::string& type,
                        std::span<const KeyRule> rules) {
  if (parent == nullptr || parent->dict() == nullptr) return nullptr;
  const PythonValue* const part = reader.Get(*parent, key, where);
  if (part == nullptr || part->is_none()) return nullptr;
  const std::string found = part->dict() == nullptr ? "" : detector::TypeOf(*part);
  if (found != type) {
    reader.Fail(absl::StrCat(where, ".", key, " is ",
                             found.empty() ? detector::Show(*part) : absl::StrCat("a ", found),
                             "; only ", type, " can be trained with"));
    return nullptr;
  }
  reader.Check(*part, absl::StrCat(where, ".", key), rules);
  return part;
}

void ReadWeight(ConfigReader& reader, const PythonValue* loss, const std::string& where,
                double* weight) {
  if (loss == nullptr) return;
  *weight = 1;  // the classes' own
  reader.Number(loss->Find("loss_weight"), where + ".loss_weight", 0, 1e6, weight);
}

void ReadAssigner(ConfigReader& reader, const PythonValue& assigner, const std::string& where,
                  AssignerOptions* options) {
  double radius = options->soft_center_radius;
  double iou_weight = options->iou_weight;
  reader.Int(assigner.Find("topk"), where + ".topk", 1, 100'000, &options->topk);
  reader.Number(assigner.Find("soft_center_radius"), where + ".soft_center_radius", 0, 100,
                &radius);
  reader.Number(assigner.Find("iou_weight"), where + ".iou_weight", 0, 1e6, &iou_weight);
  options->soft_center_radius = static_cast<float>(radius);
  options->iou_weight = static_cast<float>(iou_weight);
}

}  // namespace

absl::StatusOr<LearningSettings> ReadLearningSettings(const detector::PythonConfig& config,
                                                      std::vector<std::string>* warnings) {
  ConfigReader reader;
  LearningSettings settings;
  const std::string head_at = "model.bbox_head";
  const PythonValue* const head = config.values.Find({"model", "bbox_head"});
  LossWeights& weights = settings.loss_weights;
  ReadWeight(reader, Part(reader, head, "loss_cls", head_at, "QualityFocalLoss", kFocal),
             head_at + ".loss_cls", &weights.classes);
  ReadWeight(reader, Part(reader, head, "loss_bbox", head_at, "GIoULoss", kGiou),
             head_at + ".loss_bbox", &weights.boxes);
  ReadWeight(reader, Part(reader, head, "loss_mask", head_at, "DiceLoss", kDice),
             head_at + ".loss_mask", &weights.masks);

  const PythonValue* const training = config.values.Find({"model", "train_cfg"});
  if (training != nullptr && training->dict() != nullptr) {
    reader.Check(*training, "model.train_cfg", kTrain);
    const PythonValue* const assigner = Part(reader, training, "assigner", "model.train_cfg",
                                             "DynamicSoftLabelAssigner", kAssigner);
    if (assigner != nullptr)
      ReadAssigner(reader, *assigner, "model.train_cfg.assigner", &settings.assigner);
  }
  reader.Bool(config.values.Find({"model", "backbone", "norm_eval"}), "model.backbone.norm_eval",
              &settings.norm_eval);
  if (!reader.status().ok()) return reader.status();
  if (warnings != nullptr)
    warnings->insert(warnings->end(), reader.warnings().begin(), reader.warnings().end());
  return settings;
}

}  // namespace trainer
