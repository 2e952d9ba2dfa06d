#include "model_service/startup.h"

#include <absl/strings/str_cat.h>

#include <string>

#include "nn/blas_probe.h"
#include "nn/onednn/cpu.h"
#include "nn/onednn/kernel_plan.h"
#include "nn/onednn/split_linear.h"
#include "nn/threads.h"
#include "serving/cpu.h"
#include "serving/log.h"

namespace model_service {

absl::StatusOr<int> PrepareToCompute(const CommonOptions& options) {
  const int threads = options.threads > 0 ? options.threads : serving::ReadCpuBudget().threads();
  nn::UseThreads(threads);
  if (options.precision == "fp32-strict") {
    nn::onednn::AllowSplitProducts(nn::onednn::SplitProducts::kNever);
  }
  if (!options.kernel_plan.empty()) {
    const absl::Status kept = nn::onednn::KernelPlan::OfProcess().KeepIn(options.kernel_plan);
    if (!kept.ok()) {
      return absl::Status(kept.code(), absl::StrCat("--kernel_plan=", kept.message()));
    }
  }
  if (const nn::BlasSpeed speed = nn::ProbeBlas(); !speed.warning.empty()) {
    serving::LogLine("blas.slow", serving::LogLevel::kWarning)
        .Num("gflops_per_thread", speed.gflops_per_thread)
        .Str("warning", speed.warning);
  }
  if (const std::string warning = nn::onednn::BFloat16Warning(options.precision == "bf16");
      !warning.empty()) {
    serving::LogLine("bf16.slow", serving::LogLevel::kWarning).Str("warning", warning);
  }
  return threads;
}

void LogKernelPlan() {
  const nn::onednn::KernelPlan::Summary plan = nn::onednn::KernelPlan::OfProcess().summary();
  serving::LogLine("kernel_plan")
      .Int("layers", plan.layers)
      .Int("measured", plan.measured)
      .Num("measuring_cpu_ms", plan.measuring_s * 1e3);
  if (!plan.kept.ok()) {
    serving::LogLine("kernel_plan.not_kept", serving::LogLevel::kWarning)
        .Str("error", std::string(plan.kept.message()));
  }
}

}  // namespace model_service
