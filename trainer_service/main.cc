// duet-trainer: fine-tunes models on what was annotated in Label Studio, behind gRPC.
#include <absl/status/status.h>
#include <absl/strings/str_cat.h>

#include <memory>
#include <utility>

#include "http_client/address_policy.h"
#include "image_fetch/image_fetcher.h"
#include "label_studio_api/label_studio_api.h"
#include "model_store/model_store.h"
#include "otlp/options.h"
#include "serving/cpu.h"
#include "serving/flags.h"
#include "serving/grpc_server.h"
#include "serving/log.h"
#include "serving/process.h"
#include "trainer_service/jobs/job_folders.h"
#include "trainer_service/jobs/job_queue.h"
#include "trainer_service/options.h"
#include "trainer_service/rpc/trainer_service.h"
#include "trainer_service/work/pipeline.h"
#include "trainer_service/work/worker.h"

namespace trainer_service {
namespace {

// The server as the process sees it: when it drains, streams of Train end, and the training pauses.
class TrainerListener final : public serving::Listener {
 public:
  TrainerListener(serving::GrpcServer& server, JobQueue& queue) : server_(server), queue_(queue) {}

  void SetReady(bool ready) override { server_.SetReady(ready); }
  void Drain(absl::Time deadline) override {
    queue_.Stop();
    server_.Drain(deadline);
  }
  serving::LogFields Describe() const override { return server_.Describe(); }

 private:
  serving::GrpcServer& server_;
  JobQueue& queue_;
};

// Whatever ends the process's body, the worker's thread isn't left waiting.
class Working {
 public:
  Working(JobQueue& queue, Worker::Run run, serving::Process& process)
      : queue_(queue), worker_(queue, std::move(run), process.clock(), process.metrics()) {}
  ~Working() { queue_.Stop(); }

 private:
  JobQueue& queue_;
  Worker worker_;
};

absl::Status Serve(Options& options, serving::Process& process) {
  if (absl::Status usable = Check(options); !usable.ok()) return usable;
  // First, since all that follows may have spans.
  const auto tracing = otlp::StartTracing(options.otlp, "duet-trainer", process.metrics());
  if (!tracing.ok()) return tracing.status();
  absl::StatusOr<label_studio_api::LabelStudioSite> site =
      label_studio_api::ReadSite(options.label_studio);
  if (!site.ok()) return site.status();
  const auto policy = image_fetch::MakePolicy(options.images);
  if (!policy.ok()) return policy.status();
  auto network = image_fetch::MakeNetwork(options.images);
  if (!network.ok()) return network.status();
  auto fetcher = image_fetch::ImageFetcher::Create(FetcherOptions(options, *network));
  if (!fetcher.ok()) return fetcher.status();
  label_studio_api::LabelStudioApi api(*network, *policy);

  const model_store::ModelStore store(options.model_root);
  for (const model_store::Kind kind :
       {model_store::Kind::kDetector, model_store::Kind::kSegmenter}) {
    if (absl::Status clean = store.RemoveAbandoned(kind); !clean.ok()) {
      serving::LogLine("model_root.cleanup", serving::LogLevel::kWarning).Status(clean);
    }
  }
  absl::StatusOr<JobFolders> folders = JobFolders::Open(options.work_dir);
  if (!folders.ok()) return folders.status();
  auto queue = JobQueue::Open(QueueOptions(options), *std::move(folders), process.clock(),
                              process.metrics());
  if (!queue.ok()) return queue.status();
  const Pipeline pipeline(WorkOptions(options),
                          {.api = api,
                           .images = **fetcher,
                           .site = *std::move(site),
                           .validation_share = options.val_share},
                          store, (*queue)->folders());
  TrainerService service(queue->get(), TrainsSegmenters(options));
  auto server = serving::GrpcServer::Start(options.server, {&service}, &process.metrics());
  if (!server.ok()) return server.status();
  const Working working(
      **queue, [&](JobControl& control) { return pipeline.Run(control); }, process);
  TrainerListener listener(**server, **queue);
  return process.Serve(listener);
}

}  // namespace
}  // namespace trainer_service

int main(int argc, char** argv) {
  serving::SetOpenMpVariables();  // of duet-train
  trainer_service::Options options;
  serving::FlagTable flags(
      "duet-trainer",
      absl::StrCat(
          "Fine-tunes detectors and segmenters on what was annotated in Label Studio, one after "
          "the other, and leaves them as versions below a model root. ",
          serving::kExitCodes,
          "\n\nExample: duet-trainer --label_studio_url=http://localhost:8080 "
          "--checkpoint=rtmdet_tiny.pth "
          "--model_root=models --work_dir=work"));
  trainer_service::AddFlags(&options, &flags);
  return serving::RunProcess(flags, argc, argv, options.process, [&](serving::Process& process) {
    return trainer_service::Serve(options, process);
  });
}
