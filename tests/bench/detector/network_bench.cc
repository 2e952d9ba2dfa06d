// Milliseconds of RTMDet's network alone, random weights, one image: plain modules against the
// packed form.
//   bench_detector_network [tiny|s|m|l|x]... [--threads=2] [--runs=20] [--size=640] [--cpu_time]
// --other_sizes: also what an input costs that comes in a size of its own, as with mmdet's
// 1333 x 800: compiling, memory, the first run, against one run of the plain modules.
#include <ATen/Functions.h>
#include <torch/types.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "detector_service/packed/rtmdet_graph.h"
#include "nn/onednn/cpu.h"
#include "nn/threads.h"

namespace {

double Milliseconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
      .count();
}

// CPU time of all threads: what is left to compare on a busy machine.
double CpuMilliseconds(const std::function<void()>& work) {
  const auto now = [] {
    timespec t{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) * 1e3 + static_cast<double>(t.tv_nsec) / 1e6;
  };
  const double start = now();
  work();
  return now() - start;
}

void MeasureOtherSizes(const std::string& name, const detector::Rtmdet& model,
                       double (*measure)(const std::function<void()>&)) {
  for (const vision::Size size : {vision::Size{1344, 800}, {1216, 800}, {800, 1088}, {1056, 800}}) {
    const at::Tensor image = at::randn({1, 3, size.height, size.width});
    std::unique_ptr<nn::onednn::Program> program;
    const double compile = measure([&] {
      nn::onednn::Graph graph;
      detector::BuildGraph(*model, size, graph);
      program = graph.Compile({}).value();
    });
    const double first = measure([&] { program->Run(image.data_ptr<float>()); });
    const double second = measure([&] { program->Run(image.data_ptr<float>()); });
    detector::Rtmdet plain = model;
    const double modules = measure([&] { plain->forward(image); });
    std::printf(
        "rtmdet-%s %dx%d compile %.0f ms, run %.0f then %.0f ms, plain %.0f ms, weights %.0f MB "
        "arena %.0f MB\n",
        name.c_str(), size.width, size.height, compile, first, second, modules,
        program->weight_bytes() / 1e6, program->arena_bytes() / 1e6);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::map<std::string, std::pair<double, double>> sizes = {{"tiny", {0.375, 0.167}},
                                                                  {"s", {0.5, 0.33}},
                                                                  {"m", {0.75, 0.67}},
                                                                  {"l", {1.0, 1.0}},
                                                                  {"x", {1.25, 1.33}}};
  std::vector<std::string> names;
  double (*measure)(const std::function<void()>&) = Milliseconds;
  int threads = 2, runs = 20, size = 640;
  bool other_sizes = false;
  for (int i = 1; i < argc; ++i) {
    const std::string arg = argv[i];
    if (arg == "--other_sizes")
      other_sizes = true;
    else if (arg == "--cpu_time")
      measure = CpuMilliseconds;
    else if (arg.rfind("--threads=", 0) == 0)
      threads = std::atoi(arg.c_str() + 10);
    else if (arg.rfind("--runs=", 0) == 0)
      runs = std::atoi(arg.c_str() + 7);
    else if (arg.rfind("--size=", 0) == 0)
      size = std::atoi(arg.c_str() + 7);
    else
      names.push_back(arg);
  }
  if (names.empty()) names = {"tiny"};
  nn::UseThreads(threads);
  torch::NoGradGuard no_grad;
  for (const auto& name : names) {
    const auto [widen, deepen] = sizes.at(name);
    detector::Rtmdet model(detector::ScaledRtmdet(widen, deepen, 80));
    model->eval();
    const at::Tensor image = at::randn({1, 3, size, size});
    using nn::onednn::CompileOptions;
    using nn::onednn::ConvKernel;
    using nn::onednn::Layout;
    nn::onednn::Graph graph;
    detector::BuildGraph(*model, {size, size}, graph);
    std::map<std::string, std::unique_ptr<nn::onednn::Program>> packed;
    const auto add = [&](const char* label, const CompileOptions& options) {
      auto made = graph.Compile(options);
      if (made.ok())
        packed[label] = *std::move(made);
      else
        std::printf("%s: %s\n", label, made.status().ToString().c_str());
    };
    add("fp32", {});
    add("fp32-fused", {.kernel = ConvKernel::kFused});
    add("fp32-direct", {.kernel = ConvKernel::kDirect});
    if (nn::onednn::CpuHasBFloat16()) {
      constexpr auto kBf16 = nn::onednn::Precision::kBFloat16;
      add("bf16", {.precision = kBf16});
      add("bf16-fused", {.precision = kBf16, .kernel = ConvKernel::kFused});
      add("bf16-direct", {.precision = kBf16, .kernel = ConvKernel::kDirect});
      add("bf16-blocked", {.precision = kBf16, .layout = Layout::kBlocked});
    }
    std::map<std::string, std::vector<double>> times;
    for (int run = 0; run < runs; ++run) {
      for (auto& [label, net] : packed)
        times[label].push_back(measure([&] { net->Run(image.data_ptr<float>()); }));
      if (run < 3) times["plain"].push_back(measure([&] { model->forward(image); }));
    }
    for (auto& [label, t] : times) {
      std::sort(t.begin(), t.end());
      std::printf("rtmdet-%s %-18s min %7.1f ms  median %7.1f ms", name.c_str(), label.c_str(),
                  t.front(), t[t.size() / 2]);
      if (packed.count(label)) {
        const auto& p = *packed[label];
        std::printf("  weights %.0f MB arena %.0f MB winograd %d", p.weight_bytes() / 1e6,
                    p.arena_bytes() / 1e6, p.winograd_count());
      }
      std::printf("\n");
    }
    if (other_sizes) MeasureOtherSizes(name, model, measure);
  }
}
