// The MLP of an encoder's transformer block with its norm and its residual, as it runs on a CPU.
#ifndef DUET_SEGMENTER_SERVICE_PACKED_PACKED_MLP_BLOCK_H_
#define DUET_SEGMENTER_SERVICE_PACKED_PACKED_MLP_BLOCK_H_

#include <cstdint>
#include <memory>

#include "nn/layers.h"
#include "nn/onednn/matmul.h"
#include "segmenter_service/modeling/encoder_steps.h"
#include "segmenter_service/packed/packed_layers.h"

namespace segmenter {

// tokens += lin2(gelu(lin1(norm(tokens)))), some rows at a time, so that the hidden layer stays in
// the cache. T: float or BFloat16Bits. One Run at a time.
template <typename T>
class PackedMlpBlock {
 public:
  // Copies what it needs. `rows`: at a time. `threads`: OpenMP threads that Run will have.
  // `may_split`: as LinearOptions'.
  PackedMlpBlock(const nn::LayerNorm& norm, const nn::Linear& lin1, const nn::Linear& lin2,
                 std::int64_t rows, int threads, bool may_split = false)
      : rows_(rows),
        dim_(lin1->weight.size(1)),
        hidden_(lin1->weight.size(0)),
        norm_(norm),
        lin1_(MakeLinear<T>(lin1, {.rows = rows,
                                   .output_type = kPrecisionOf<T>,
                                   .epilogue = nn::onednn::Epilogue::kGelu,
                                   .threads = threads,
                                   .may_split = may_split})),
        lin2_(MakeLinear<T>(lin2, {.rows = rows,
                                   .epilogue = nn::onednn::Epilogue::kAddToOutput,
                                   .threads = threads,
                                   .may_split = may_split})) {}

  // tokens [count, C], in place. `normed` has room for [rows, C], `hidden` for hidden_size().
  // Calls `pause`, which may be null, before each of the pieces. REQUIRES: rows divides `count`.
  void Run(float* tokens, std::int64_t count, T* normed, T* hidden, const Pause& pause) const {
    for (std::int64_t row = 0; row < count; row += rows_) {
      if (pause) pause();
      float* part = tokens + row * dim_;
      norm_.Run(part, rows_, normed);
      lin1_->Run(normed, hidden);
      lin2_->Run(hidden, part);
    }
  }

  // Elements of the hidden layer of one piece.
  std::int64_t hidden_size() const { return rows_ * hidden_; }
  std::size_t weight_bytes() const { return lin1_->weight_bytes() + lin2_->weight_bytes(); }

 private:
  const std::int64_t rows_, dim_, hidden_;
  const RowNorm norm_;
  const std::unique_ptr<nn::onednn::PackedLinear> lin1_, lin2_;
};

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_PACKED_PACKED_MLP_BLOCK_H_
