// duet-segmenter: Segment Anything behind gRPC.
#include <absl/status/status.h>
#include <absl/strings/str_cat.h>
#include <absl/time/time.h>

#include <memory>
#include <optional>
#include <utility>

#include "model_service/model_info.h"
#include "model_service/named_models.h"
#include "model_service/startup.h"
#include "model_store/names.h"
#include "segmenter_service/rpc/options.h"
#include "segmenter_service/rpc/segmenter_service.h"
#include "serving/cpu.h"
#include "serving/grpc_server.h"
#include "serving/log.h"
#include "serving/process.h"
#include "serving/redis/redis_client.h"

namespace segmenter {
namespace {

absl::Status Serve(const Options& options, serving::Process& process) {
  const absl::Time start = process.clock().Now();
  const absl::StatusOr<int> prepared = model_service::PrepareToCompute(options.common);
  if (!prepared.ok()) return prepared.status();
  const int threads = *prepared;

  std::optional<serving::RedisClient> redis;
  std::optional<EmbeddingStore> store;
  if (!options.embedding_store.empty()) {
    const absl::StatusOr<serving::RedisUrl> url = serving::ParseRedisUrl(options.embedding_store);
    if (!url.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--embedding_store: ", url.status().message()));
    }
    redis.emplace(*url, serving::RedisClient::Options(), process.metrics());
    store.emplace(*redis, absl::Seconds(options.embedding_store_ttl_s),
                  options.common.image_limits().max_pixels, process.metrics());
  }

  // A damaged or foreign file fails here, before the port opens.
  absl::StatusOr<std::shared_ptr<const ServedModel>> model =
      LoadModel({options.common.checkpoint}, options.network_options(threads));
  if (!model.ok()) return model.status();
  Segmenter engine(options.engine_options(), process.clock(), process.metrics(),
                   store ? &*store : nullptr);
  model_service::ModelInfo info(process.metrics());
  ModelHost host(*std::move(model), options.common.reload, LoaderWith(engine),
                 [&](const ServedModel& served) { info.Serves(served.name, served.version); });
  const model_service::ImageSource images(options.common.image_root, options.common.image_limits(),
                                          process.metrics());
  std::optional<model_service::NamedModels> named;
  if (!options.common.reload.model_root.empty()) {
    named.emplace(options.common.named_models(model_store::Kind::kSegmenter),
                  NamedLoaderWith(options.network_options(threads), engine), process.metrics());
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
  serving::FlagTable flags("duet-segmenter",
                           "Turns points, boxes and earlier masks into masks with a Segment "
                           "Anything checkpoint.");
  segmenter::AddFlags(&options, &flags);
  return serving::RunProcess(
      flags, argc, argv, options.common.process,
      [&](serving::Process& process) { return segmenter::Serve(options, process); });
}
