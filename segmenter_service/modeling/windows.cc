#include "segmenter_service/modeling/windows.h"

#include <ATen/Functions.h>

namespace segmenter {

at::Tensor PartitionWindows(const at::Tensor& x, std::int64_t window) {
  const std::int64_t batch = x.size(0), grid = x.size(1), channels = x.size(3);
  const std::int64_t count = (grid + window - 1) / window;
  const std::int64_t pad = count * window - grid;
  const at::Tensor padded = pad == 0 ? x : at::constant_pad_nd(x, {0, 0, 0, pad, 0, pad});
  return padded.view({batch, count, window, count, window, channels})
      .permute({0, 1, 3, 2, 4, 5})
      .reshape({batch * count * count, window, window, channels});
}

at::Tensor JoinWindows(const at::Tensor& windows, std::int64_t grid) {
  const std::int64_t window = windows.size(1), channels = windows.size(3);
  const std::int64_t count = (grid + window - 1) / window;
  return windows.view({-1, count, count, window, window, channels})
      .permute({0, 1, 3, 2, 4, 5})
      .reshape({-1, count * window, count * window, channels})
      .slice(1, 0, grid)
      .slice(2, 0, grid);
}

}  // namespace segmenter
