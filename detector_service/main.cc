// duet-detector: flags, weights, warm-up, serve.
#include <string>

#include "detector_service/rpc/detector_service.h"
#include "detector_service/rpc/options.h"
#include "nn/blas_probe.h"
#include "nn/onednn/cpu.h"
#include "nn/threads.h"
#include "serving/cpu.h"
#include "serving/grpc_server.h"
#include "serving/log.h"
#include "serving/process.h"

namespace {

absl::Status Serve(const detector::Options& options, serving::Process& process) {
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

  const absl::Time start = process.clock().Now();
  auto model = detector::DetectionModel::Load(options.load_options());
  if (!model.ok()) return model.status();
  detector::ModelHost host(
      *std::move(model),
      {.enabled = options.enable_reload, .model_root = options.model_root, .threads = threads});
  const detector::PictureSource pictures(options.image_root, options.image_limits());
  detector::DetectorService service({.queue_size = options.queue_size, .threads = threads}, &host,
                                    &pictures, &process.clock(), &process.metrics());

  auto server = serving::GrpcServer::Start(options.server, {&service}, &process.metrics());
  if (!server.ok()) return server.status();
  if (const absl::Status warm = host.Current()->WarmUp(); !warm.ok()) return warm;
  serving::LogLine("model.ready")
      .Str("version", host.Current()->version())
      .Int("classes", static_cast<int>(host.Current()->classes().size()))
      .Int("threads", threads)
      .Num("start_ms", absl::ToDoubleMilliseconds(process.clock().Now() - start));
  return process.Serve(**server);
}

}  // namespace

int main(int argc, char** argv) {
  serving::SetUpOpenMp(argv);
  detector::Options options;
  serving::FlagTable flags("duet-detector", "Finds objects in pictures with an RTMDet checkpoint.");
  detector::AddFlags(&options, &flags);
  return serving::RunProcess(flags, argc, argv, options.process,
                             [&](serving::Process& process) { return Serve(options, process); });
}
