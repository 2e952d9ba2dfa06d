#include "model_service/startup.h"

#include <string>

#include "nn/blas_probe.h"
#include "nn/onednn/cpu.h"
#include "nn/threads.h"
#include "serving/cpu.h"
#include "serving/log.h"

namespace model_service {

int PrepareToCompute(const CommonOptions& options) {
  const int threads = options.threads > 0 ? options.threads : serving::ReadCpuBudget().threads();
  nn::UseThreads(threads);
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

}  // namespace model_service
