#include "checkpoint/tensor_view.h"

namespace checkpoint {

std::size_t SizeOf(DType dtype) {
  switch (dtype) {
    case DType::kFloat64:
    case DType::kInt64:
      return 8;
    case DType::kFloat32:
    case DType::kInt32:
      return 4;
    case DType::kFloat16:
    case DType::kBFloat16:
    case DType::kInt16:
      return 2;
    case DType::kInt8:
    case DType::kUInt8:
    case DType::kBool:
      return 1;
  }
  return 0;
}

const char* NameOf(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return "float32";
    case DType::kFloat64:
      return "float64";
    case DType::kFloat16:
      return "float16";
    case DType::kBFloat16:
      return "bfloat16";
    case DType::kInt64:
      return "int64";
    case DType::kInt32:
      return "int32";
    case DType::kInt16:
      return "int16";
    case DType::kInt8:
      return "int8";
    case DType::kUInt8:
      return "uint8";
    case DType::kBool:
      return "bool";
  }
  return "";
}

std::vector<std::int64_t> ContiguousStrides(const std::vector<std::int64_t>& shape) {
  std::vector<std::int64_t> strides(shape.size());
  std::int64_t stride = 1;
  for (std::size_t i = shape.size(); i-- > 0;) {
    strides[i] = stride;
    // An empty tensor may have any other extent; its strides are never used.
    if (__builtin_mul_overflow(stride, shape[i], &stride)) stride = 0;
  }
  return strides;
}

std::int64_t TensorView::NumElements() const {
  std::int64_t count = 1;
  for (const std::int64_t extent : shape) count *= extent;
  return count;
}

bool TensorView::IsContiguous() const {
  if (NumElements() == 0) return true;
  std::int64_t expected = 1;
  for (std::size_t i = shape.size(); i-- > 0;) {
    if (shape[i] == 1) continue;  // its stride is never used
    if (strides[i] != expected) return false;
    expected *= shape[i];
  }
  return true;
}

std::string_view ContiguousBytes(const TensorView& view, std::string& scratch) {
  const std::size_t element_size = SizeOf(view.dtype);
  const std::size_t size = static_cast<std::size_t>(view.NumElements()) * element_size;
  const char* const data = reinterpret_cast<const char*>(view.data);
  if (size == 0) return {};
  if (view.IsContiguous()) return {data, size};

  scratch.clear();
  scratch.reserve(size);
  std::vector<std::int64_t> index(view.shape.size());
  std::int64_t offset = 0;  // of the element at `index`
  while (scratch.size() < size) {
    scratch.append(data + static_cast<std::size_t>(offset) * element_size, element_size);
    for (std::size_t i = index.size(); i-- > 0;) {
      offset += view.strides[i];
      if (++index[i] < view.shape[i]) break;
      offset -= view.strides[i] * view.shape[i];
      index[i] = 0;
    }
  }
  return scratch;
}

}  // namespace checkpoint
