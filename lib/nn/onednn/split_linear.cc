#include "nn/onednn/split_linear.h"

#include <algorithm>
#include <atomic>
#include <limits>

#include "nn/onednn/target_clones.h"

namespace nn::onednn {
namespace {

std::atomic<SplitProducts> allowed{SplitProducts::kWhereFaster};

struct Parts {
  BFloat16Bits *high, *high_again, *low;
};

// The remainder of what is infinite, or rounds to infinity, is 0.
DUET_CLONES void SplitRow(const float* x, std::int64_t count, const Parts& parts) {
  for (std::int64_t i = 0; i < count; ++i) {
    BFloat16Bits high;
    Store(x[i], &high);
    const float rest = x[i] - ToFloat(high);
    const bool finite =
        rest <= std::numeric_limits<float>::max() && rest >= -std::numeric_limits<float>::max();
    parts.high[i] = high;
    parts.high_again[i] = high;
    Store(finite ? rest : 0.0F, &parts.low[i]);
  }
}

}  // namespace

void AllowSplitProducts(SplitProducts which) { allowed = which; }
SplitProducts AllowedSplitProducts() { return allowed; }

SplitLinear::SplitLinear(const float* weight, const float* bias, std::int64_t in, std::int64_t out,
                         std::int64_t rows, Epilogue epilogue, int threads)
    : in_(in),
      rows_(rows),
      threads_(threads),
      product_({.rows = rows,
                .inner = 3 * in,
                .columns = out,
                .input_stride = 3 * in,
                .output_stride = out,
                .type = Precision::kBFloat16},
               epilogue, /*with_bias=*/bias != nullptr, threads),
      parts_(rows * 3 * in),
      packed_(AllocateAligned<std::byte>(product_.packed_bytes())),
      scratch_(AllocateAligned<std::byte>(product_.scratch_bytes())) {
  if (bias != nullptr) bias_.assign(bias, bias + out);
  AlignedVector<BFloat16Bits> parts(out * 3 * in);
  for (std::int64_t o = 0; o < out; ++o) {
    BFloat16Bits* row = parts.data() + o * 3 * in;
    SplitRow(weight + o * in, in, {.high = row, .high_again = row + 2 * in, .low = row + in});
  }
  product_.Pack(parts.data(), {.inner = 1, .column = 3 * in}, packed_.get());
}

void SplitLinear::Run(const float* x, float* y) {
#pragma omp parallel for schedule(static) num_threads(threads_) if (threads_ > 1)
  for (std::int64_t r = 0; r < rows_; ++r) {
    BFloat16Bits* row = parts_.data() + r * 3 * in_;
    SplitRow(x + r * in_, in_, {.high = row, .high_again = row + in_, .low = row + 2 * in_});
  }
  product_.Run(parts_.data(), packed_.get(), bias_.empty() ? nullptr : bias_.data(), y,
               scratch_.get());
}

std::size_t SplitLinear::weight_bytes() const {
  return product_.packed_bytes() + sizeof(float) * bias_.size();
}

}  // namespace nn::onednn
