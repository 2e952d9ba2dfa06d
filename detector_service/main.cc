// duet-detector: an object detector behind gRPC.
#include <absl/status/status.h>
#include <absl/strings/str_cat.h>
#include <absl/time/time.h>

#include <memory>
#include <optional>
#include <utility>

#include "detector_service/rpc/detector_service.h"
#include "detector_service/rpc/options.h"
#include "model_service/model_info.h"
#include "model_service/named_models.h"
#include "model_service/startup.h"
#include "model_store/names.h"
#include "otlp/options.h"
#include "serving/cpu.h"
#include "serving/grpc_server.h"
#include "serving/log.h"
#include "serving/process.h"

namespace detector {
namespace {

absl::Status Serve(const Options& options, serving::Process& process) {
  const absl::Time start = process.clock().Now();
  // First, since all that follows may have spans.
  const auto tracing = otlp::StartTracing(options.common.otlp, "duet-detector", process.metrics());
  if (!tracing.ok()) return tracing.status();
  const absl::StatusOr<int> prepared = model_service::PrepareToCompute(options.common);
  if (!prepared.ok()) return prepared.status();
  const int threads = *prepared;

  // A damaged or foreign file fails here, before the port opens.
  absl::StatusOr<std::unique_ptr<DetectionModel>> model =
      DetectionModel::Load(options.load_options());
  if (!model.ok()) return model.status();
  LogNotes(**model);
  model_service::ModelInfo info(process.metrics());
  ModelHost host(
      *std::move(model), options.common.reload, LoaderWith(threads),
      [&](const DetectionModel& served) { info.Serves(served.name(), served.version()); });
  const model_service::ImageSource images(options.common.image_root, options.common.image_limits(),
                                          process.metrics());
  std::optional<model_service::NamedModels> named;
  if (!options.common.reload.model_root.empty()) {
    named.emplace(options.common.named_models(model_store::Kind::kDetector),
                  NamedLoaderWith(options.load_options(), threads), process.metrics());
  }
  DetectorService service({.queue_size = options.common.queue_size, .threads = threads}, &host,
                          &images, &process.clock(), &process.metrics(), named ? &*named : nullptr);

  absl::StatusOr<std::unique_ptr<serving::GrpcServer>> server =
      serving::GrpcServer::Start(options.common.server, {&service}, &process.metrics());
  if (!server.ok()) return server.status();
  if (absl::Status warm = host.Current()->WarmUp(); !warm.ok()) return warm;
  model_service::LogKernelPlan();
  serving::LogLine("model.ready")
      .Str("name", host.Current()->name())
      .Str("version", host.Current()->version())
      .Int("classes", static_cast<int>(host.Current()->classes().size()))
      .Int("threads", threads)
      .Num("start_ms", absl::ToDoubleMilliseconds(process.clock().Now() - start));
  return process.Serve(**server);
}

}  // namespace
}  // namespace detector

int main(int argc, char** argv) {
  serving::SetUpOpenMp(argv);
  detector::Options options;
  serving::FlagTable flags(
      "duet-detector",
      absl::StrCat("Finds objects in images with a checkpoint of RTMDet or of MMYOLO's families. ",
                   serving::kExitCodes, "\n\nExample: duet-detector --checkpoint=rtmdet_tiny.pth"));
  detector::AddFlags(&options, &flags);
  return serving::RunProcess(
      flags, argc, argv, options.common.process,
      [&](serving::Process& process) { return detector::Serve(options, process); });
}
