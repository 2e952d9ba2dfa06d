#include "nn/onednn/winograd_choice.h"

#include <absl/strings/str_cat.h>
#include <omp.h>

#include <algorithm>
#include <string>
#include <string_view>

#include "nn/onednn/kernel_plan.h"
#include "nn/onednn/kernel_time.h"

namespace nn::onednn {
namespace {

constexpr std::string_view kWinograd = "winograd";

// What times depend on. Activations and residuals cost both forms the same.
std::string LayerName(const ProgramBuild& build, const ConvGeometry& g) {
  const char* type = build.precision == Precision::kBFloat16 ? "bf16" : "fp32";
  return absl::StrCat("conv3x3 ", type, " ", g.in_channels, "x", g.in_height, "x", g.in_width,
                      " to ", g.out_channels, ", ", omp_get_max_threads(), " threads");
}

// Over zeros, since the time doesn't depend on values.
double SecondsOf(CompiledProgram& program, ConvForm form) {
  program.scratchpad = AllocateZeros(form.scratch_bytes);
  for (auto& pad : form.scratchpads) pad.set_data_handle(program.scratchpad.get());
  return LeastSeconds(5, [&] {
    for (const auto& step : form.steps) step();
    program.stream.wait();
  });
}

}  // namespace

bool WinogradIsFaster(const ProgramBuild& build, int value, const ConvGeometry& geometry,
                      const ConvParameters& parameters) {
  // One thread computes its share of the rows, which takes as long as all threads need for the
  // layer. So what other threads of the process do meanwhile doesn't decide (kernel_time.h).
  constexpr int kTileRows = 4;  // a share is of whole tiles, except for the last
  const GraphNode& node = build.nodes[value];
  const int threads = omp_get_max_threads();
  const int share = (node.height + threads - 1) / threads;
  ConvGeometry part = geometry;
  part.in_height = part.out_height =
      std::min((share + kTileRows - 1) / kTileRows * kTileRows, node.height);
  const auto direct = ChooseDirect(node, part);
  if (!direct.has_value()) return true;
  const auto on_one_thread = [&](const auto& make_form) {
    return [&] {
      const AloneOnOneThread alone;
      return SecondsOf(build.program, make_form());
    };
  };
  return KernelPlan::OfProcess().Choose(
             LayerName(build, geometry),
             {{"direct", on_one_thread([&] {
                 return DirectForm(build, value, part.out_height, *direct, parameters);
               })},
              {kWinograd, on_one_thread([&] {
                 return WinogradForm(build, value, part.out_height, parameters);
               })}}) == kWinograd;
}

}  // namespace nn::onednn
