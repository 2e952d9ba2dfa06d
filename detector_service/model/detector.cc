#include "detector_service/model/detector.h"

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
        state_dict, *model, {.memory = memory, .ignored_prefixes = {"data_preprocessor."}});
    if (!loaded.ok()) return loaded;
    model->eval();
    return model;
  });
}

}  // namespace detector
