// oneDNN's terms for what all of nn/onednn shares: the engine and the data types. Internal to
// nn/onednn.
#ifndef DUET_NN_ONEDNN_ENGINE_H_
#define DUET_NN_ONEDNN_ENGINE_H_

#include <oneapi/dnnl/dnnl.hpp>

#include "nn/onednn/precision.h"

namespace nn::onednn {

// The CPU, for the life of the process.
inline const dnnl::engine& CpuEngine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

inline dnnl::memory::data_type DataTypeOf(Precision precision) {
  return precision == Precision::kBFloat16 ? dnnl::memory::data_type::bf16
                                           : dnnl::memory::data_type::f32;
}

}  // namespace nn::onednn

#endif  // DUET_NN_ONEDNN_ENGINE_H_
