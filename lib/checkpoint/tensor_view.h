// A tensor as a checkpoint stores it: a typed, strided window into memory that somebody else owns
// (usually an mmap of the file). No Torch, so that readers can be fuzzed and run under sanitizers.
#ifndef DUET_CHECKPOINT_TENSOR_VIEW_H_
#define DUET_CHECKPOINT_TENSOR_VIEW_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace checkpoint {

enum class DType {
  kFloat32,
  kFloat64,
  kFloat16,
  kBFloat16,
  kInt64,
  kInt32,
  kInt16,
  kInt8,
  kUInt8,
  kBool
};

// Bytes of one element.
std::size_t SizeOf(DType dtype);
// As PyTorch prints it: "float32".
const char* NameOf(DType dtype);

// Row-major, in elements.
std::vector<std::int64_t> ContiguousStrides(const std::vector<std::int64_t>& shape);

struct TensorView {
  DType dtype = DType::kFloat32;
  // Empty for a scalar. Every reader has checked that all elements lie inside the storage.
  std::vector<std::int64_t> shape;
  // In elements, as long as `shape`; need not be contiguous, may be 0.
  std::vector<std::int64_t> strides;
  // First element. Little-endian; aligned only as the file aligns it (a legacy .pth: not at all).
  const std::byte* data = nullptr;
  // Keeps the memory mapped. Tensors of one storage share it; `data` equal means weights shared by
  // several names.
  std::shared_ptr<const void> owner;

  std::int64_t NumElements() const;
  bool IsContiguous() const;
};

// All elements, row-major: the view's own memory if it is contiguous, else a copy in `scratch`.
std::string_view ContiguousBytes(const TensorView& view, std::string& scratch);

}  // namespace checkpoint

#endif  // DUET_CHECKPOINT_TENSOR_VIEW_H_
