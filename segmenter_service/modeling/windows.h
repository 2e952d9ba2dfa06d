// Cuts a grid of tokens into square windows and joins them again, for all encoders.
#ifndef DUET_SEGMENTER_SERVICE_MODELING_WINDOWS_H_
#define DUET_SEGMENTER_SERVICE_MODELING_WINDOWS_H_

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace segmenter {

// [B, grid, grid, C] to [B * windows, window, window, C], zero-padded at the bottom and right. The
// pad tokens take part in attention, as they do upstream.
at::Tensor PartitionWindows(const at::Tensor& x, std::int64_t window);

// Inverse of PartitionWindows: cuts the padding off again. Windows may have shrunk in between, if
// `grid` did so too.
at::Tensor JoinWindows(const at::Tensor& windows, std::int64_t grid);

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_MODELING_WINDOWS_H_
