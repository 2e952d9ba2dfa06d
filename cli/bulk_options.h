// What the commands for very many images have in common: their sources, flags and exit codes.
#ifndef DUET_CLI_BULK_OPTIONS_H_
#define DUET_CLI_BULK_OPTIONS_H_

#include <absl/functional/function_ref.h>
#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "backends/tls_options.h"
#include "bulk/label_studio_project.h"
#include "bulk/prelabel_run.h"
#include "bulk/prepared_manifest.h"
#include "http_client/network.h"
#include "image_fetch/source_options.h"
#include "label_studio_api/site_options.h"
#include "serving/flags.h"

namespace cli {

struct BulkOptions {
  std::vector<std::string> sources;
  std::string images;
  std::string segmenter;
  std::string segmenter_checkpoint;
  backends::TlsOptions tls;
  label_studio_api::SiteOptions site;
  int view = 0;
  image_fetch::SourceOptions images_from;
  int in_flight = 16;
  int max_failures = -1;
  int patience_s = 3600;
  int max_message_mb = 64;
  bool plan = false;
  bool json = false;
};

// The end of a command's help: which sources there are, and what the exit code says.
inline constexpr std::string_view kSourcesHelp =
    "of a folder, of a Label Studio project (label-studio:7), of a bucket (s3://bucket/prefix), of "
    "a pattern ('photos/**/*.jpg'), of a list (FILE.txt, or - for the standard input), of a COCO "
    "file (FILE.json), or of files and addresses. Interrupted, the same command goes on. Exit code "
    "0: all done; 1: some images failed; 2: nothing could be done.";

void AddImagesFlag(BulkOptions* options, serving::FlagTable* flags);
// Where a Label Studio project and its images are.
void AddProjectFlags(BulkOptions* options, serving::FlagTable* flags);
// How much at a time, how long, and how it is shown.
void AddRunFlags(BulkOptions* options, serving::FlagTable* flags);

// Parses a command line whose sources stand before its flags, and prints the help or calls `run`.
absl::Status ParseSourcesAndRun(serving::FlagTable& flags, std::vector<std::string>* sources,
                                int argc, const char* const* argv,
                                absl::FunctionRef<absl::Status()> run);

// Where a command's images come from.
struct BulkSource {
  std::shared_ptr<http_client::Network> network;
  // That the only source names; null: it names none.
  std::unique_ptr<bulk::PreparedManifest> manifest;
  // That the first source, or that of the manifest, or the output names; null: none does.
  std::unique_ptr<bulk::LabelStudioProject> project;
};
absl::StatusOr<BulkSource> OpenSource(const BulkOptions& options, const std::string& out);

// The part of a run's options that these are. `source` outlives the result. InvalidArgument for
// files of TLS that can't be used.
absl::StatusOr<bulk::RunOptions> ToRunOptions(const BulkOptions& options, const BulkSource& source);

// Runs it, shows how it goes, and lets `print` say what came of it. The error, if images failed,
// has the exit code of BulkExitCode.
absl::Status RunAndReport(const BulkOptions& options, const bulk::RunOptions& run,
                          absl::FunctionRef<void(const bulk::RunResult&)> print);

}  // namespace cli

#endif  // DUET_CLI_BULK_OPTIONS_H_
