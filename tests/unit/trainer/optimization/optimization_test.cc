#include <ATen/Functions.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/linear.h>

#include <boost/json.hpp>
#include <cmath>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "trainer/optimization/adamw.h"
#include "trainer/optimization/schedule.h"
#include "trainer/optimization/weight_average.h"

namespace trainer {
namespace {

boost::json::value ReadFixture(const std::string& name) {
  std::ifstream file(std::string(DUET_TEST_DATA) + "/trainer/" + name);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  return boost::json::parse(text);
}

// average.json holds what mmdet's ExpMomentumEMA gave (tools/make_trainer_fixtures.py).
TEST(WeightAverageTest, IsMmdets) {
  const boost::json::value golden = ReadFixture("average.json");
  torch::nn::Linear module(torch::nn::LinearOptions(1, 1).bias(false));
  const auto set = [&](double weight) {
    const at::NoGradGuard no_grad;
    module->weight.fill_(weight);
  };
  set(golden.at("initial").to_number<double>());
  WeightAverage average(*module, {.momentum = golden.at("momentum").to_number<double>(),
                                  .gamma = golden.at("gamma").to_number<double>()});
  for (std::size_t step = 0; step < golden.at("weights").as_array().size(); ++step) {
    set(golden.at("weights").at(step).to_number<double>());
    average.Update(*module);
    torch::nn::Linear copy(torch::nn::LinearOptions(1, 1).bias(false));
    average.CopyTo(*copy);
    // Float32 rounds in another order.
    EXPECT_NEAR(copy->weight.item<double>(), golden.at("averages").at(step).to_number<double>(),
                1e-6)
        << "after step " << step;
  }
}

// A tensor with two names is moved twice, as mmengine's walk over a state_dict does, and counts
// stay where the first update found them.
TEST(WeightAverageTest, GoesByNamesAsMmengine) {
  struct Shared : torch::nn::Module {
    Shared() {
      weight = register_parameter("weight", at::zeros({1}));
      register_module("inner", inner);
      inner->register_parameter("again", weight);
      count = register_buffer("count", at::zeros({}, at::kLong));
    }
    at::Tensor weight;
    at::Tensor count;
    std::shared_ptr<torch::nn::Module> inner = std::make_shared<torch::nn::Module>("inner");
  };
  Shared module;
  WeightAverage average(module, {.momentum = 0.5, .gamma = 1e-9});
  average.Update(module);
  {
    const at::NoGradGuard no_grad;
    module.weight.fill_(8);
    module.count.fill_(5);
  }
  average.Update(module);
  ASSERT_EQ(average.state().size(), 2);
  EXPECT_EQ(average.state()[0].names, 2);
  EXPECT_FLOAT_EQ(average.state()[0].tensor.item<float>(), 6);  // 0 → 4 → 6
  EXPECT_EQ(average.state()[1].tensor.item<int>(), 0);
}

TEST(WeightAverageTest, TakesRunningStatisticsAndCounts) {
  torch::nn::BatchNorm1d norm(1);
  WeightAverage average(*norm, {.momentum = 0.1, .gamma = 4, .by_name = false});
  average.Update(*norm);  // the first takes everything as it is
  {
    const at::NoGradGuard no_grad;
    norm->running_mean.fill_(10);
    norm->num_batches_tracked.fill_(7);
  }
  average.Update(*norm);

  torch::nn::BatchNorm1d copy(1);
  average.CopyTo(*copy);

  const double share = 0.1 + 0.9 * std::exp(-2.0 / 4);
  EXPECT_NEAR(copy->running_mean.item<double>(), 10 * share, 1e-5);
  EXPECT_EQ(copy->num_batches_tracked.item<int>(), 7);
}

// rates.json holds what mmengine's LinearLR and CosineAnnealingLR gave.
TEST(FlatCosineScheduleTest, IsMmengines) {
  const boost::json::value golden = ReadFixture("rates.json");
  for (const auto& training : golden.as_array()) {
    const auto number = [&](const char* key) { return training.at(key).to_number<int>(); };
    const FlatCosineSchedule schedule{.base = training.at("base").as_double(),
                                      .epochs = number("epochs"),
                                      .iterations_per_epoch = number("iterations_per_epoch"),
                                      .warmup_iterations = number("warmup_iterations")};
    const std::vector<double> rates = schedule.LearningRates();
    const auto& expected = training.at("rates").as_array();
    ASSERT_EQ(rates.size(), expected.size());
    for (std::size_t i = 0; i < rates.size(); ++i) {
      // The same steps in double; only a cosine may round differently.
      EXPECT_NEAR(rates[i], expected[i].to_number<double>(), 1e-14)
          << number("epochs") << " epochs, iteration " << i;
    }
  }
}

TEST(MakeAdamWTest, WhatIsOneDimensionalDoesNotDecay) {
  torch::nn::Linear linear(2, 3);
  const torch::optim::AdamW optimizer = MakeAdamW(*linear, 0.05, 0.98);
  ASSERT_EQ(optimizer.param_groups().size(), 2);
  const auto& decayed = optimizer.param_groups()[0];
  const auto& free = optimizer.param_groups()[1];
  ASSERT_EQ(decayed.params().size(), 1);
  EXPECT_TRUE(decayed.params()[0].is_same(linear->weight));
  ASSERT_EQ(free.params().size(), 1);
  EXPECT_TRUE(free.params()[0].is_same(linear->bias));
  const auto options = [](const torch::optim::OptimizerParamGroup& group) {
    return static_cast<const torch::optim::AdamWOptions&>(group.options());
  };
  EXPECT_EQ(options(decayed).weight_decay(), 0.05);
  EXPECT_EQ(options(free).weight_decay(), 0);
  EXPECT_EQ(std::get<1>(options(free).betas()), 0.98);
}

TEST(ClipGradientsTest, ScalesTheJointNorm) {
  torch::nn::Linear linear(1, 1);
  linear->weight.mutable_grad() = at::full({1, 1}, 3.0);
  linear->bias.mutable_grad() = at::full({1}, 4.0);
  EXPECT_DOUBLE_EQ(ClipGradients(*linear, 10), 5);
  EXPECT_EQ(linear->weight.grad().item<float>(), 3);
  EXPECT_DOUBLE_EQ(ClipGradients(*linear, 1), 5);
  EXPECT_FLOAT_EQ(linear->weight.grad().item<float>(), 0.6F);
  EXPECT_FLOAT_EQ(linear->bias.grad().item<float>(), 0.8F);
}

}  // namespace
}  // namespace trainer
