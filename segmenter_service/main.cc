// duet-segmenter: Segment Anything behind gRPC.
#include <memory>
#include <utility>

#include "nn/blas_probe.h"
#include "nn/threads.h"
#include "segmenter_service/options.h"
#include "serving/cpu.h"

namespace segmenter {
namespace {

absl::Status Serve(const Options& options, serving::Process& process) {
  // The process's default, for threads of libraries; the queue's thread sets its own.
  nn::UseThreads(options.network.threads);
  if (const nn::BlasSpeed blas = nn::ProbeBlas(); !blas.warning.empty()) {
    serving::LogLine("blas.slow", serving::LogLevel::kWarning).Str("warning", blas.warning);
  }

  // A damaged or foreign file fails here, before the port opens.
  absl::StatusOr<std::shared_ptr<const ServedModel>> model =
      LoadModel(options.checkpoint, options.network);
  if (!model.ok()) return model.status();
  serving::LogLine("model.loaded").Str("name", (*model)->name).Str("version", (*model)->version);

  Segmenter engine(options.Engine(), *std::move(model), process.clock(), process.metrics());
  SegmenterService service(options.service, engine);
  absl::StatusOr<std::unique_ptr<serving::GrpcServer>> server =
      serving::GrpcServer::Start(options.server, {&service}, &process.metrics());
  if (!server.ok()) return server.status();
  if (absl::Status status = engine.WarmUp(); !status.ok()) return status;
  return process.Serve(**server);
}

}  // namespace
}  // namespace segmenter

int main(int argc, char** argv) {
  serving::SetUpOpenMp(argv);
  segmenter::Options options;
  serving::FlagTable flags("duet-segmenter",
                           "Turns points, boxes and earlier masks into masks with a Segment "
                           "Anything checkpoint.");
  segmenter::AddFlags(&options, &flags);
  return serving::RunProcess(flags, argc, argv, options.process, [&](serving::Process& process) {
    return segmenter::Serve(options, process);
  });
}
