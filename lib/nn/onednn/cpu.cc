#include "nn/onednn/cpu.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <oneapi/dnnl/dnnl.hpp>
#include <string>

#include "nn/onednn/aligned.h"
#include "nn/onednn/kernel_plan.h"
#include "nn/onednn/kernel_time.h"
#include "nn/onednn/matmul.h"

namespace nn::onednn {
namespace {

// A product as a transformer's layers have it, on the calling thread. Zeros are as fast as any
// other numbers, whatever the type.
class TimedProduct {
 public:
  explicit TimedProduct(Precision precision)
      : product_({.rows = kRows,
                  .inner = kInner,
                  .columns = kColumns,
                  .input_stride = kInner,
                  .output_stride = kColumns,
                  .type = precision},
                 Epilogue::kNone, /*with_bias=*/false, /*threads=*/1),
        input_(kRows * kInner),
        output_(kRows * kColumns),
        packed_(product_.packed_bytes()),
        scratch_(product_.scratch_bytes() + 1) {}

  double Seconds() {
    return LeastSeconds(1, [this] {
      product_.Run(input_.data(), packed_.data(), nullptr, output_.data(), scratch_.data());
    });
  }

 private:
  static constexpr std::int64_t kRows = 256, kInner = 512, kColumns = 512;

  const Matmul product_;
  AlignedVector<float> input_, output_;
  AlignedVector<std::byte> packed_, scratch_;
};

// What oneDNN may use of x86-64. On other processors it answers with the same numbers, which there
// stand for other instructions (SVE), so they count as a CPU that has none of those asked for here.
dnnl::cpu_isa EffectiveIsa() {
#if defined(__x86_64__)
  return dnnl::get_effective_cpu_isa();
#else
  return dnnl::cpu_isa::sse41;
#endif
}

}  // namespace

bool CpuHasBFloat16() {
  const auto isa = EffectiveIsa();
  return isa == dnnl::cpu_isa::avx512_core_bf16 || isa == dnnl::cpu_isa::avx512_core_amx;
}

bool CpuHasAmx() { return EffectiveIsa() == dnnl::cpu_isa::avx512_core_amx; }

bool CpuGainsFromBFloat16() {
  static const bool gains = [] {
    if (!CpuHasBFloat16()) return false;
    TimedProduct fp32(Precision::kFloat32), bf16(Precision::kBFloat16);
    double fp32_s = std::numeric_limits<double>::infinity(), bf16_s = fp32_s;
    const auto measure_both = [&] {
      // In turns, since others may use this CPU too. The first warms up.
      for (int i = 0; i < 8; ++i) {
        fp32_s = std::min(fp32_s, fp32.Seconds());
        bf16_s = std::min(bf16_s, bf16.Seconds());
      }
      return fp32_s;
    };
    return KernelPlan::OfProcess().Choose(
               "product 256x512 by 512x512, 1 threads",
               {{"fp32", measure_both}, {"bf16", [&] { return bf16_s; }}}) == "bf16";
  }();
  return gains;
}

Precision FasterPrecision(bool bf16_allowed) {
  return bf16_allowed && CpuGainsFromBFloat16() ? Precision::kBFloat16 : Precision::kFloat32;
}

std::string BFloat16Warning(bool bf16_allowed) {
  return bf16_allowed && CpuHasBFloat16() && !CpuGainsFromBFloat16()
             ? "this CPU multiplies bf16 slower than float32: computing in float32"
             : "";
}

int CpuChannelBlock() {
  const auto isa = EffectiveIsa();
  if (isa < dnnl::cpu_isa::avx2) return 0;
  return isa >= dnnl::cpu_isa::avx512_core && isa != dnnl::cpu_isa::avx2_vnni ? 16 : 8;
}

}  // namespace nn::onednn
