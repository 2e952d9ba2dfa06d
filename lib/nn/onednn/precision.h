// The types that networks are computed in.
#ifndef DUET_NN_ONEDNN_PRECISION_H_
#define DUET_NN_ONEDNN_PRECISION_H_

#include <type_traits>

#include "nn/onednn/bfloat16.h"

namespace nn::onednn {

enum class Precision { kFloat32, kBFloat16 };

// T: float or BFloat16Bits.
template <typename T>
constexpr Precision kPrecisionOf =
    std::is_same_v<T, float> ? Precision::kFloat32 : Precision::kBFloat16;

// Returns visit(std::type_identity<T>()) for the T of `precision`.
template <typename Visit>
auto VisitType(Precision precision, const Visit& visit) {
  return precision == Precision::kFloat32 ? visit(std::type_identity<float>())
                                          : visit(std::type_identity<BFloat16Bits>());
}

}  // namespace nn::onednn

#endif  // DUET_NN_ONEDNN_PRECISION_H_
