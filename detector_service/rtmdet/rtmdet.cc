#include "detector_service/rtmdet/rtmdet.h"

#include "nn/module_path.h"
#include "nn/torch_status.h"

namespace detector {

RtmdetImpl::RtmdetImpl(const RtmdetConfig& c) : config(c), backbone(c), neck(c), bbox_head(c) {
  register_module("backbone", backbone);
  register_module("neck", neck);
  nn::RegisterAt(*this, NamesOf(config.naming).head, bbox_head.ptr());
}

HeadOutput RtmdetImpl::forward(const at::Tensor& images) {
  return bbox_head(neck(backbone(images)));
}

std::vector<at::Tensor> ListOutputs(const HeadOutput& output) {
  std::vector<at::Tensor> maps;
  const auto add = [&](const at::Tensor& map) {
    if (map.defined()) maps.push_back(map);
  };
  for (int level = 0; level < kLevels; ++level) {
    add(output.cls_logits[level]);
    add(output.distances[level]);
    add(output.angles[level]);
    add(output.kernels[level]);
  }
  add(output.mask_features);
  return maps;
}

HeadLayout LayoutOf(const RtmdetConfig& config) {
  HeadLayout layout{.num_classes = config.num_classes,
                    .coding = {.code = BoxCode::kDistances, .point = config.point}};
  int next = 0;  // in the order of ListOutputs
  for (HeadLayout::Level& level : layout.levels) {
    level.logits = {next++};
    level.boxes = {next++};
    if (config.head == HeadKind::kRotated) level.angles = {next++};
    if (config.head == HeadKind::kInstances) level.kernels = {next++};
  }
  if (config.head == HeadKind::kInstances) layout.mask_features = {next};
  return layout;
}

namespace {

// Gives the batch norms the eps of the config. The modules add kEps, so the rest goes into the
// variance, of which this is the last bit.
void UseEps(const RtmdetConfig& config, RtmdetImpl* model) {
  constexpr double kEps = 1e-5;
  for (const auto& entry : model->named_modules()) {
    auto* const norm = entry.value()->as<nn::BatchNorm2dImpl>();
    if (norm == nullptr) continue;
    const std::string& path = entry.key();
    const int part = path.starts_with("backbone.") ? 0 : path.starts_with("neck.") ? 1 : 2;
    const double more = config.bn_eps[part] - kEps;
    if (more != 0) norm->running_var.set_data(norm->running_var + more);
  }
}

}  // namespace

absl::StatusOr<Rtmdet> LoadRtmdet(const checkpoint::StateDict& state_dict,
                                  const PythonConfig& training, nn::Memory memory) {
  const absl::StatusOr<RtmdetConfig> config = InferConfig(state_dict, training);
  if (!config.ok()) return config.status();
  return nn::CatchTorch("build RTMDet", [&]() -> absl::StatusOr<Rtmdet> {
    Rtmdet model = [&] {
      nn::SkipInitialization skip;
      return Rtmdet(*config);
    }();
    const absl::Status loaded = nn::LoadStateDict(
        state_dict, *model, {.memory = memory, .ignored_prefixes = {"data_preprocessor.", "ema_"}});
    if (!loaded.ok()) return loaded;
    UseEps(*config, model.get());
    model->eval();
    return model;
  });
}

}  // namespace detector
