// A Blueprint as plain modules: the reference form of every network that is described by one. It
// can be trained, runs on any device, and its state's names are the checkpoint's.
#ifndef DUET_DETECTOR_SERVICE_BLUEPRINT_BLUEPRINT_MODULE_H_
#define DUET_DETECTOR_SERVICE_BLUEPRINT_BLUEPRINT_MODULE_H_

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <functional>
#include <string>
#include <vector>

#include "detector_service/blueprint/blueprint.h"
#include "nn/batch_norm_fold.h"
#include "nn/layers.h"

namespace detector {

class BlueprintModuleImpl : public torch::nn::Module {
 public:
  explicit BlueprintModuleImpl(Blueprint blueprint);

  // Called with each layer's result, in order.
  using Observer = std::function<void(const Layer&, const at::Tensor&)>;

  // Normalised images [B, 3, H, W], H and W multiples of 32 → blueprint.outputs.
  std::vector<at::Tensor> forward(const at::Tensor& images, const Observer& observe = nullptr);

  // The branches of a kConv layer (or the one of another kind) as one convolution, folded in double
  // so that it is exact to the last float bit.
  nn::FoldedConv Fold(int layer) const;
  // 1 if the layer has none.
  float ResidualScale(int layer) const;

  const Blueprint blueprint;

 private:
  struct Branch {
    nn::Conv2d conv{nullptr};
    nn::BatchNorm2d bn{nullptr};
    at::Tensor shift;
    at::Tensor scale;
  };
  struct LayerState {
    std::vector<Branch> branches;
    nn::ConvTranspose2d up_conv{nullptr};
    at::Tensor residual_scale;
    int last_use = 0;  // the last layer that reads its result
  };

  void MakeBranches(const Layer& layer, LayerState* state);
  void Register();
  at::Tensor RunConv(const Layer& layer, LayerState& state, const at::Tensor& x);
  at::Tensor Run(const Layer& layer, LayerState& state, const std::vector<at::Tensor>& values);

  std::vector<LayerState> states_;
};
TORCH_MODULE(BlueprintModule);

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_BLUEPRINT_BLUEPRINT_MODULE_H_
