// A run of `duet prelabel`, from its sources to its output: lists the images, or finds the run that
// is to be resumed, takes what is left through the services, and writes the output. A run of `duet
// embed` is the same without an output: its images are embedded, and nothing else.
#ifndef DUET_BULK_PRELABEL_RUN_H_
#define DUET_BULK_PRELABEL_RUN_H_

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "backends/channel.h"
#include "bulk/finish_run.h"
#include "bulk/head.h"
#include "bulk/listing.h"
#include "bulk/output.h"
#include "bulk/pipeline.h"
#include "dataset/findings.h"
#include "http_client/network.h"
#include "image_fetch/source_options.h"
#include "prelabel/settings.h"

namespace bulk {

struct RunOptions {
  ListingOptions listing;
  OutputOptions output;
  const OutputFormat* format = nullptr;  // null: the images are embedded
  bool masks = false;                    // whatever the format needs by itself
  std::string label_config;              // XML; "": none
  prelabel::Settings settings;
  std::string detector;   // host:port, several separated by commas; "": none
  std::string segmenter;  // likewise
  // The weights of services that the run starts for itself where none are named. The segmenter only
  // if masks may be wanted. They lie beside this program.
  std::string detector_checkpoint;
  std::string segmenter_checkpoint;
  std::vector<std::string> segmenter_flags;  // of one that the run starts: "--name=value"
  std::string kernel_plan;                   // of these services, a file; "": one of this run's own
  backends::GrpcOptions grpc;  // to services that are named; to its own the run speaks plaintext
  // Which private addresses images of a project's tasks may be at; those of other sources may be at
  // any, since who names them could ask for them without us.
  image_fetch::SourceOptions images;
  std::shared_ptr<http_client::Network> network = nullptr;  // null: Network::Default()
  std::int64_t max_image_bytes = 63 << 20;
  // Of a run that is complete, tries those images again that failed.
  bool retry_failed = false;
  Pipeline::Options pipeline;
};

// What the options alone say of a run's head: no models.
Head HeadOf(const RunOptions& options);

// What a run would do.
struct Plan {
  Listing listing;  // of the run that would be resumed, if there is one
  std::uint64_t done = 0;
  // Of a run that embeds, if a segmenter is named: its model.
  std::shared_ptr<const backends::SegmenterModel> segmenter;
};
// Changes nothing. Errors as Run's.
absl::StatusOr<Plan> PlanRun(const RunOptions& options);

// Resumes the run on the same output, if one was begun. The output is there only after success, and
// complete. Errors, one sentence each: those of ListImages and Pipeline::Run; FailedPrecondition if
// another process works on the output, if the output was begun from another source, with other
// models or settings, or if something else has its name; Unavailable if a service that is needed
// doesn't answer or can't be started, or if embeddings would end with the segmenter;
// InvalidArgument for a label config that can't be used.
//
// A run that embeds leaves no journal when all is done: the same command then begins anew, and
// finds what is kept.
absl::StatusOr<RunResult> Run(const RunOptions& options, Reporter& reporter);

}  // namespace bulk

#endif  // DUET_BULK_PRELABEL_RUN_H_
