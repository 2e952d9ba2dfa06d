// duet-segmenter: Segment Anything behind gRPC.
#include <absl/status/status.h>
#include <absl/strings/str_cat.h>
#include <absl/time/time.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "model_service/model_info.h"
#include "model_service/named_models.h"
#include "model_service/startup.h"
#include "model_store/names.h"
#include "otlp/options.h"
#include "segmenter_service/inference/stores_from_urls.h"
#include "segmenter_service/rpc/options.h"
#include "segmenter_service/rpc/segmenter_service.h"
#include "serving/cpu.h"
#include "serving/grpc_server.h"
#include "serving/log.h"
#include "serving/process.h"

namespace segmenter {
namespace {

absl::Status Serve(const Options& options, serving::Process& process) {
  const absl::Time start = process.clock().Now();
  // First, since all that follows may have spans.
  const auto tracing = otlp::StartTracing(options.common.otlp, "duet-segmenter", process.metrics());
  if (!tracing.ok()) return tracing.status();
  const absl::StatusOr<int> prepared = model_service::PrepareToCompute(options.common);
  if (!prepared.ok()) return prepared.status();
  const int threads = *prepared;

  absl::StatusOr<std::unique_ptr<EmbeddingStore>> store =
      StoresFromUrls(options.embedding_store,
                     {.time_to_live = absl::Seconds(options.embedding_store_ttl_s),
                      .folder_bytes = std::int64_t{options.embedding_store_mb} << 20,
                      .max_pixels = options.common.image_limits().max_pixels},
                     process.metrics());
  if (!store.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--embedding_store: ", store.status().message()));
  }

  // A damaged or foreign file fails here, before the port opens. What is tuned from it shares its
  // encoder.
  NetworkOptions network_options = options.network_options(threads);
  network_options.shared_encoders = MakeSharedEncoders();
  absl::StatusOr<std::shared_ptr<const ServedModel>> model =
      LoadModel({options.common.checkpoint}, network_options);
  if (!model.ok()) return model.status();
  const std::uint64_t encoder_bytes = (*model)->network->spec().packed_encoder_bytes;
  Segmenter engine(options.engine_options(), process.clock(), process.metrics(), store->get());
  model_service::ModelInfo info(process.metrics());
  ModelHost host(*std::move(model), options.common.reload, LoaderWith(engine),
                 [&](const ServedModel& served) { info.Serves(served.name, served.version); });
  const model_service::ImageSource images(options.common.image_root, options.common.image_limits(),
                                          process.metrics());
  std::optional<model_service::NamedModels> named;
  if (!options.common.reload.model_root.empty()) {
    model_service::NamedModelsOptions named_options =
        options.common.named_models(model_store::Kind::kSegmenter);
    named_options.shareable_bytes = encoder_bytes;
    named.emplace(named_options, NamedLoaderWith(network_options, engine), process.metrics());
  }
  SegmenterService service(&host, &images, &engine, named ? &*named : nullptr);

  absl::StatusOr<std::unique_ptr<serving::GrpcServer>> server =
      serving::GrpcServer::Start(options.common.server, {&service}, &process.metrics());
  if (!server.ok()) return server.status();
  if (absl::Status warm = engine.WarmUp(*host.Current()); !warm.ok()) return warm;
  model_service::LogKernelPlan();
  serving::LogLine("model.ready")
      .Str("name", host.Current()->name)
      .Str("version", host.Current()->version)
      .Int("threads", threads)
      .Num("start_ms", absl::ToDoubleMilliseconds(process.clock().Now() - start));
  return process.Serve(**server);
}

}  // namespace
}  // namespace segmenter

int main(int argc, char** argv) {
  serving::SetUpOpenMp(argv);
  segmenter::Options options;
  serving::FlagTable flags(
      "duet-segmenter",
      absl::StrCat(
          "Turns points, boxes and earlier masks into masks with a Segment Anything checkpoint. ",
          serving::kExitCodes, "\n\nExample: duet-segmenter --checkpoint=sam_vit_b_01ec64.pth"));
  segmenter::AddFlags(&options, &flags);
  return serving::RunProcess(
      flags, argc, argv, options.common.process,
      [&](serving::Process& process) { return segmenter::Serve(options, process); });
}
