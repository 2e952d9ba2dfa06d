#include "trainer/replicas.h"

#include <ATen/core/grad_mode.h>

#include "nn/layers.h"
#include "nn/threads.h"

namespace trainer {

namespace {

void CopyEach(const std::vector<at::Tensor>& from, const std::vector<at::Tensor>& to) {
  const at::NoGradGuard no_grad;
  for (std::size_t i = 0; i < from.size(); ++i) at::Tensor(to[i]).copy_(from[i]);
}

}  // namespace

void CopyBuffers(const torch::nn::Module& from, torch::nn::Module& to) {
  CopyEach(from.buffers(), to.buffers());
}

void CopyState(const torch::nn::Module& from, torch::nn::Module& to) {
  CopyEach(from.parameters(), to.parameters());
  CopyBuffers(from, to);
}

void AverageGradients(const std::vector<torch::nn::Module*>& modules) {
  const at::NoGradGuard no_grad;
  std::vector<std::vector<at::Tensor>> parameters;
  for (const torch::nn::Module* module : modules)
    parameters.push_back(nn::UniqueParameters(*module));
  for (std::size_t p = 0; p < parameters[0].size(); ++p) {
    at::Tensor sum = parameters[0][p].grad();
    if (!sum.defined()) continue;
    for (std::size_t m = 1; m < modules.size(); ++m) sum.add_(parameters[m][p].grad());
    sum.div_(static_cast<double>(modules.size()));
  }
}

void OnThreads(int count, const std::function<void(int)>& work) {
  std::vector<std::exception_ptr> failures(count);
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i) {
    threads.emplace_back([&, i] {
      nn::UseThreads(1);
      try {
        work(i);
      } catch (...) {
        failures[i] = std::current_exception();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::exception_ptr& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
}

}  // namespace trainer
