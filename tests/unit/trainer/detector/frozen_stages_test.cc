#include "trainer/detector/frozen_stages.h"

#include <ATen/Context.h>
#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

#include "detector_service/rtmdet/rtmdet.h"
#include "trainer/detector/trainable_detector.h"

namespace trainer {
namespace {

// Statistics that are not those of new batch norms, and another eps.
detector::Rtmdet Network() {
  at::manual_seed(4);
  detector::RtmdetConfig config = detector::ScaledRtmdet(0.25, 0.167, 2);
  config.bn_eps = {1e-2, 1e-5, 1e-5};
  detector::Rtmdet network = MakeNetwork(config);
  const at::NoGradGuard no_grad;
  for (auto& item : network->named_buffers()) {
    if (item.key().find("running_") != std::string::npos) item.value().uniform_(0.5, 1.5);
  }
  network->eval();
  // As DetectorTrainer leaves weights.
  for (at::Tensor& parameter : network->backbone->parameters()) {
    if (parameter.dim() == 4)
      parameter.set_data(parameter.contiguous(at::MemoryFormat::ChannelsLast));
  }
  return network;
}

TEST(FrozenStagesTest, GiveWhatTheModulesGive) {
  detector::Rtmdet network = Network();
  const at::NoGradGuard no_grad;
  for (int stages = 0; stages <= 4; ++stages) {
    FrozenStages frozen(network->backbone, stages);
    // Maps of one column have no fast kernels: these run as plain modules.
    for (const int width : {64, 96, 32}) {
      const at::Tensor images = at::randn({2, 3, 64, width});
      const std::vector<at::Tensor> maps = frozen.Run(images);
      ASSERT_EQ(maps.size(), static_cast<std::size_t>(stages) + 1);
      at::Tensor expected = network->backbone->stem->forward(images);
      for (int stage = 0; stage <= stages; ++stage) {
        if (stage > 0) expected = network->backbone->stages[stage - 1]->forward(expected);
        if (stage < 2 && stage < stages) continue;  // nobody reads these
        ASSERT_TRUE(maps[stage].defined()) << stages << " " << stage;
        ASSERT_EQ(maps[stage].sizes(), expected.sizes());
        // Sums of a few hundred products in another order.
        EXPECT_LT((maps[stage] - expected).abs().max().item<double>(),
                  1e-5 * expected.abs().max().item<double>())
            << stages << " " << stage;
        EXPECT_FALSE(maps[stage].requires_grad());
      }
    }
  }
}

}  // namespace
}  // namespace trainer
