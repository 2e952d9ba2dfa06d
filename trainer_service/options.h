// The command line of duet-trainer.
#ifndef DUET_TRAINER_SERVICE_OPTIONS_H_
#define DUET_TRAINER_SERVICE_OPTIONS_H_

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <memory>
#include <string>
#include <vector>

#include "http_client/network.h"
#include "image_fetch/image_fetcher.h"
#include "image_fetch/source_options.h"
#include "label_studio_api/site_options.h"
#include "otlp/options.h"
#include "serving/flags.h"
#include "serving/grpc_server.h"
#include "serving/process.h"
#include "trainer_service/jobs/job_queue.h"
#include "trainer_service/work/pipeline.h"

namespace trainer_service {

struct Options {
  serving::ProcessOptions process;
  otlp::Options otlp;
  serving::GrpcServerOptions server{.port = 50053, .metrics_port = 9103};
  label_studio_api::SiteOptions label_studio;
  std::string work_dir;
  std::string model_root;
  std::string checkpoint;
  std::string duet_train;  // "": the one beside this program
  std::vector<std::string> train_flags;
  std::string segmenter_checkpoint;  // "": no segmenter is trained
  bool train_segmenters = true;
  std::vector<std::string> segmenter_train_flags;
  int threads = 0;
  int max_memory_mb = 0;  // 0: three quarters of what there is
  double val_share = 0.2;
  int queue_size = 16;
  int keep_jobs = 100;
  int keep_versions = 5;
  int min_interval_s = 60;
  int retry_s = 600;
  // Of images.
  image_fetch::SourceOptions images;
  int max_image_mb = 64;
  int max_image_megapixels = 100;
};

void AddFlags(Options* options, serving::FlagTable* flags);

// Finds duet-train if no flag names it, and looks whether the files and folders that the flags name
// can be used. FailedPrecondition or NotFound, naming the flag.
absl::Status Check(Options& options);

JobQueueOptions QueueOptions(const Options& options);
PipelineOptions WorkOptions(const Options& options);
// Whether segmenters are trained: there is one to begin from, and nobody has said no.
bool TrainsSegmenters(const Options& options);
image_fetch::ImageFetcher::Options FetcherOptions(const Options& options,
                                                  std::shared_ptr<http_client::Network> network);

}  // namespace trainer_service

#endif  // DUET_TRAINER_SERVICE_OPTIONS_H_
