#include "segmenter_service/modeling/attention.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace segmenter {
namespace {

// Scores that exist at once when no gradient is wanted: 64 MiB of float32, where 8 heads of a
// global block would need 537 MB.
constexpr std::int64_t kMaxScores = std::int64_t{16} << 20;

}  // namespace

at::Tensor Attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  const double scale = 1.0 / std::sqrt(static_cast<double>(q.size(2)));
  const std::int64_t items = q.size(0), queries = q.size(1), keys = k.size(1);
  const auto part = [&](std::int64_t item, std::int64_t item_end, std::int64_t row,
                        std::int64_t row_end) {
    const auto of = [&](const at::Tensor& t) { return t.slice(0, item, item_end); };
    const at::Tensor scores = at::bmm(of(q).slice(1, row, row_end) * scale, of(k).transpose(1, 2));
    return at::bmm(at::softmax(scores, -1), of(v));
  };
  if (at::GradMode::is_enabled() || items * queries * keys <= kMaxScores) {
    return part(0, items, 0, queries);
  }
  at::Tensor out = at::empty_like(q, at::MemoryFormat::Contiguous);
  const std::int64_t step = std::clamp<std::int64_t>(kMaxScores / (queries * keys), 1, items);
  const std::int64_t row_step = std::clamp<std::int64_t>(kMaxScores / (step * keys), 1, queries);
  for (std::int64_t i = 0; i < items; i += step) {
    const std::int64_t i_end = std::min(items, i + step);
    for (std::int64_t r = 0; r < queries; r += row_step) {
      const std::int64_t r_end = std::min(queries, r + row_step);
      out.slice(0, i, i_end).slice(1, r, r_end).copy_(part(i, i_end, r, r_end));
    }
  }
  return out;
}

}  // namespace segmenter
