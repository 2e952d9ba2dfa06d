#include "trainer/detector/trainable_detector.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>
#include <absl/strings/str_cat.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <map>
#include <memory>

#include "checkpoint/tensor_index.h"
#include "detector_service/config/class_names.h"
#include "detector_service/config/python_config.h"
#include "detector_service/rtmdet/csp_layer.h"
#include "nn/layers.h"
#include "nn/state_dict.h"
#include "nn/torch_status.h"

namespace trainer {
namespace {

absl::Status CheckClasses(const std::vector<std::string>& classes) {
  if (classes.empty()) return absl::InvalidArgumentError("a training needs at least one class");
  std::map<std::string, int> places;
  for (std::size_t i = 0; i < classes.size(); ++i) {
    if (classes[i].empty()) {
      return absl::InvalidArgumentError(absl::StrCat("class ", i, " has an empty name"));
    }
    if (!places.emplace(classes[i], i).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("the class '", classes[i], "' is in the list twice"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<detector::RtmdetConfig> ReadConfig(const checkpoint::Checkpoint& checkpoint,
                                                  const detector::PythonConfig& training) {
  constexpr char kTrainable[] =
      "only RTMDet and RTMDet-Ins in MMDetection's form can be trained; this file holds ";
  if (!detector::IsRtmdet(checkpoint::TensorIndex(checkpoint.state_dict))) {
    return absl::FailedPreconditionError(absl::StrCat(kTrainable, "another network"));
  }
  absl::StatusOr<detector::RtmdetConfig> config =
      detector::InferConfig(checkpoint.state_dict, training);
  if (!config.ok()) return config.status();
  const bool mmdet = config->naming == detector::Naming::kMmdet;
  if (!mmdet || config->head == detector::HeadKind::kRotated) {
    return absl::FailedPreconditionError(
        absl::StrCat(kTrainable, detector::ModelName(*config), mmdet ? "" : " in MMYOLO's form"));
  }
  for (const double momentum : config->bn_momentum) {
    if (!(momentum >= 0 && momentum <= 1)) {
      return absl::FailedPreconditionError(
          "a norm_cfg momentum of the file's config is not a number from 0 to 1");
    }
  }
  if (config->point != 0) {
    return absl::FailedPreconditionError(absl::StrCat(
        "only anchor_generator offset 0 can be trained; the file's config says ", config->point));
  }
  return config;
}

// Row i of the result: row rows[i] of `from`, or of `fresh` where that is -1.
at::Tensor ChooseRows(const at::Tensor& from, const at::Tensor& fresh,
                      const std::vector<int>& rows) {
  const at::Tensor chosen = fresh.clone();
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (rows[i] >= 0) chosen[static_cast<std::int64_t>(i)].copy_(from[rows[i]]);
  }
  return chosen;
}

// Gives the network a last layer with these rows of its old one.
void ReplaceClassRows(const std::vector<int>& rows, std::uint64_t seed,
                      const detector::Rtmdet& from, detector::Rtmdet& to) {
  const at::NoGradGuard no_grad;
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  for (std::size_t level = 0; level < from->bbox_head->rtm_cls->size(); ++level) {
    auto* old_layer = from->bbox_head->rtm_cls->ptr(level)->as<nn::Conv2dImpl>();
    auto* layer = to->bbox_head->rtm_cls->ptr(level)->as<nn::Conv2dImpl>();
    layer->weight.normal_(0, detector::kInitialStd, generator);
    layer->bias.fill_(
        -std::log((1 - detector::kInitialProbability) / detector::kInitialProbability));
    layer->weight.copy_(ChooseRows(old_layer->weight, layer->weight, rows));
    layer->bias.copy_(ChooseRows(old_layer->bias, layer->bias, rows));
  }
}

// Copies everything whose shapes agree; the class layers are another's task.
void CopyAllButClasses(const detector::Rtmdet& from, detector::Rtmdet& to) {
  const at::NoGradGuard no_grad;
  const auto old_state = nn::NamedState(*from);
  auto state = nn::NamedState(*to);
  for (std::size_t i = 0; i < state.size(); ++i) {
    if (state[i].second.sizes() == old_state[i].second.sizes())
      state[i].second.copy_(old_state[i].second);
  }
}

}  // namespace

detector::Rtmdet MakeNetwork(const detector::RtmdetConfig& config) {
  detector::Rtmdet network(config);
  const auto use = [&](torch::nn::Module& part, int index) {
    for (const auto& module : part.modules(/*include_self=*/false)) {
      auto* unit = module->as<detector::ConvModuleImpl>();
      if (unit == nullptr) continue;
      unit->bn = unit->replace_module(
          "bn", nn::BatchNorm2d(unit->conv->options.out_channels, config.bn_eps[index],
                                config.bn_momentum[index]));
    }
  };
  use(*network->backbone, 0);
  use(*network->neck, 1);
  use(*network->bbox_head, 2);
  return network;
}

absl::StatusOr<TrainableDetector> LoadForTraining(const checkpoint::Checkpoint& checkpoint,
                                                  const std::vector<std::string>& classes,
                                                  std::uint64_t seed, const ClassMatch& match) {
  if (absl::Status status = CheckClasses(classes); !status.ok()) return status;
  const detector::PythonConfig training = detector::ParsePythonConfig(checkpoint.meta.config_text);
  absl::StatusOr<detector::RtmdetConfig> config = ReadConfig(checkpoint, training);
  if (!config.ok()) return config.status();
  const absl::StatusOr<detector::ClassNames> known = detector::ChooseClassNames(
      {}, checkpoint.meta.classes, training, config->num_classes, /*rotated=*/false);
  if (!known.ok()) return known.status();

  TrainableDetector result;
  const absl::StatusOr<LearningSettings> learning =
      ReadLearningSettings(training, &result.warnings);
  if (!learning.ok()) return learning.status();
  result.learning = *learning;
  const std::vector<int> rows = match.SourcesOf(classes, known->names);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    (rows[i] >= 0 ? result.kept : result.added).push_back(classes[i]);
    if (rows[i] < 0) result.new_rows.push_back(static_cast<int>(i));
  }
  for (std::size_t i = 0; i < known->names.size(); ++i) {
    if (std::find(rows.begin(), rows.end(), static_cast<int>(i)) == rows.end())
      result.dropped.push_back(known->names[i]);
  }

  const absl::Status built = nn::CatchTorch("build the network to be trained", [&]() {
    const nn::SkipInitialization skip;
    detector::Rtmdet old_network = MakeNetwork(*config);
    const absl::Status loaded = nn::LoadStateDict(
        checkpoint.state_dict, *old_network, {.ignored_prefixes = {"data_preprocessor.", "ema_"}});
    if (!loaded.ok()) return loaded;
    config->num_classes = static_cast<int>(classes.size());
    result.network = MakeNetwork(*config);
    CopyAllButClasses(old_network, result.network);
    ReplaceClassRows(rows, seed, old_network, result.network);
    return absl::OkStatus();
  });
  if (!built.ok()) return built;
  return result;
}

}  // namespace trainer
