// duet-segmenter: Segment Anything behind gRPC.
#include <absl/strings/str_cat.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "nn/blas_probe.h"
#include "nn/onednn/cpu.h"
#include "nn/threads.h"
#include "segmenter_service/options.h"
#include "serving/cpu.h"
#include "serving/redis/redis_client.h"

namespace segmenter {
namespace {

absl::Status Serve(const Options& options, serving::Process& process) {
  // The process's default, for threads of libraries; the queue's thread sets its own.
  nn::UseThreads(options.network.threads);
  if (const nn::BlasSpeed blas = nn::ProbeBlas(); !blas.warning.empty()) {
    serving::LogLine("blas.slow", serving::LogLevel::kWarning).Str("warning", blas.warning);
  }

  if (const std::string warning = nn::onednn::BFloat16Warning(options.network.precision == "bf16");
      !warning.empty()) {
    serving::LogLine("bf16.slow", serving::LogLevel::kWarning).Str("warning", warning);
  }

  std::optional<serving::RedisClient> redis;
  std::optional<EmbeddingStore> store;
  const SegmenterOptions engine_options = options.Engine();
  if (!options.embedding_store.empty()) {
    const absl::StatusOr<serving::RedisUrl> url = serving::ParseRedisUrl(options.embedding_store);
    if (!url.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--embedding_store: ", url.status().message()));
    }
    redis.emplace(*url, serving::RedisClient::Options(), process.metrics());
    store.emplace(*redis, absl::Seconds(options.embedding_store_ttl_s),
                  engine_options.image_limits.max_pixels, process.metrics());
  }

  // A damaged or foreign file fails here, before the port opens.
  absl::StatusOr<std::shared_ptr<const ServedModel>> model =
      LoadModel(options.checkpoint, options.network);
  if (!model.ok()) return model.status();
  serving::LogLine("model.loaded").Str("name", (*model)->name).Str("version", (*model)->version);

  Segmenter engine(engine_options, *std::move(model), process.clock(), process.metrics(),
                   store ? &*store : nullptr);
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
