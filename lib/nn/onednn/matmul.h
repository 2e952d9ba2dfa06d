// Matrix products with a prepacked right-hand side: a transformer's linear layers and attentions.
#ifndef DUET_NN_ONEDNN_MATMUL_H_
#define DUET_NN_ONEDNN_MATMUL_H_

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <oneapi/dnnl/dnnl.hpp>
#include <optional>

#include "nn/onednn/aligned.h"
#include "nn/onednn/precision.h"

namespace nn::onednn {

// What happens to a product before it is stored. kAddToOutput adds it to what the output holds.
enum class Epilogue { kNone, kGelu, kAddToOutput };

struct MatmulShape {
  std::int64_t rows, inner, columns;  // [rows, inner] · [inner, columns]
  // Elements from one row to the next, of the left-hand side and of the output.
  std::int64_t input_stride, output_stride;
  Precision type = Precision::kFloat32;  // of both factors
  Precision output_type = Precision::kFloat32;
};

// One product, of one shape. Immutable after construction; Run may be called from several threads
// at once, each with memory of its own.
//
// Built for `threads` OpenMP threads: with 1 it is meant to be run inside a parallel region, one
// product a thread.
class Matmul {
 public:
  Matmul(const MatmulShape& shape, Epilogue epilogue, bool with_bias, int threads);

  // The right-hand side as this product wants it.
  std::size_t packed_bytes() const;
  // Element (i, c) of the source is at source[i * inner_stride + c * column_stride], of the shape's
  // type.
  struct SourceStrides {
    std::int64_t inner, column;
  };
  // Planned once, for products whose right-hand side changes. Immutable, as the product.
  class Packing {
   public:
    void Run(const void* source, void* packed) const;

   private:
    friend class Matmul;
    explicit Packing(dnnl::reorder::primitive_desc desc);

    dnnl::reorder::primitive_desc desc_;
    dnnl::reorder primitive_;
  };
  Packing PackingOf(const SourceStrides& strides) const;
  void Pack(const void* source, const SourceStrides& strides, void* packed) const {
    PackingOf(strides).Run(source, packed);
  }
  std::size_t scratch_bytes() const;
  std::int64_t input_stride() const { return shape_.input_stride; }

  // `packed` by Pack; `bias` float32 [columns] or null as constructed; `scratch` of scratch_bytes.
  void Run(const void* input, const void* packed, const float* bias, void* output,
           void* scratch) const;

 private:
  MatmulShape shape_;
  dnnl::matmul::primitive_desc desc_;
  dnnl::matmul primitive_;
  bool with_bias_;
};

class Avx512Linear;
class SplitLinear;

struct LinearOptions {
  std::int64_t rows = 0;                 // of x in each Run
  Precision type = Precision::kFloat32;  // of x and of the weights
  Precision output_type = Precision::kFloat32;
  Epilogue epilogue = Epilogue::kNone;
  int threads = 1;  // OpenMP threads that Run will have
  // In float32 the layer may be computed from bf16 products where that is faster (split_linear.h).
  bool may_split = false;
};

// y = epilogue(x · weightᵀ + bias): torch.nn.Linear with its weights packed. One Run at a time.
class PackedLinear {
 public:
  // `weight` [out, in] float32, `bias` [out] or undefined; both are copied.
  PackedLinear(const at::Tensor& weight, const at::Tensor& bias, const LinearOptions& options);
  ~PackedLinear();

  // x [rows, in] of options.type, y [rows, out] of options.output_type, both dense.
  void Run(const void* x, void* y);
  std::size_t weight_bytes() const;

 private:
  // Whether the layer, in float32 on a CPU with AVX-512, is computed from bf16 products.
  bool Splits(const float* weight, const float* bias, std::int64_t in, Epilogue epilogue) const;

  const std::int64_t rows_, out_;
  const int threads_;
  // One of the first two in float32 where there is AVX-512; else what follows them.
  std::unique_ptr<const Avx512Linear> avx512_;
  std::unique_ptr<SplitLinear> split_;
  std::optional<Matmul> matmul_;
  AlignedArray<std::byte> packed_;
  AlignedArray<float> bias_;
  AlignedArray<std::byte> scratch_;
};

}  // namespace nn::onednn

#endif  // DUET_NN_ONEDNN_MATMUL_H_
