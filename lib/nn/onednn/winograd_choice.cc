#include "nn/onednn/winograd_choice.h"

#include <absl/strings/str_cat.h>
#include <omp.h>

#include <algorithm>
#include <functional>
#include <map>
#include <mutex>
#include <string>

#include "nn/onednn/kernel_time.h"

namespace nn::onednn {
namespace {

// Whether Winograd was faster, by layer shape.
class WinogradRecord {
 public:
  static WinogradRecord& Instance() {
    static WinogradRecord* record = new WinogradRecord;
    return *record;
  }
  bool Decide(const std::string& shape, const std::function<bool()>& measure) {
    const std::lock_guard lock(mutex_);
    const auto [it, fresh] = wins_.try_emplace(shape, false);
    if (fresh) it->second = measure();
    return it->second;
  }

 private:
  std::mutex mutex_;
  std::map<std::string, bool> wins_;
};

std::string ShapeKey(const ProgramBuild& build, const ConvGeometry& g) {
  return absl::StrCat(build.layout.element_bytes(), ",", g.in_channels, ",", g.out_channels, ",",
                      g.in_height, ",", g.in_width);
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

// One thread computes its share of the rows, which takes as long as all threads need for the layer.
// So what other threads of the process do meanwhile doesn't decide (kernel_time.h).
bool Measure(const ProgramBuild& build, int value, ConvGeometry geometry,
             const ConvParameters& parameters) {
  constexpr int kTileRows = 4;  // a share is of whole tiles, except for the last
  const GraphNode& node = build.nodes[value];
  const int threads = omp_get_max_threads();
  const int share = (node.height + threads - 1) / threads;
  const int rows = std::min((share + kTileRows - 1) / kTileRows * kTileRows, node.height);
  const AloneOnOneThread alone;
  geometry.in_height = geometry.out_height = rows;
  const auto direct = ChooseDirect(node, geometry);
  if (!direct.has_value()) return true;
  return SecondsOf(build.program, WinogradForm(build, value, rows, parameters)) <
         SecondsOf(build.program, DirectForm(build, value, rows, *direct, parameters));
}

}  // namespace

bool WinogradIsFaster(const ProgramBuild& build, int value, const ConvGeometry& geometry,
                      const ConvParameters& parameters) {
  return WinogradRecord::Instance().Decide(
      ShapeKey(build, geometry), [&] { return Measure(build, value, geometry, parameters); });
}

}  // namespace nn::onednn
