#include "bulk/prelabel_run.h"

#include <absl/strings/str_join.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "bulk/finish_run.h"
#include "bulk/image_loader.h"
#include "bulk/journal.h"
#include "bulk/manifest.h"
#include "bulk/output_check.h"
#include "bulk/prepared_manifest.h"
#include "bulk/retry.h"
#include "bulk/run_folder.h"
#include "bulk/run_kind.h"
#include "bulk/services.h"
#include "image_fetch/image_fetcher.h"

namespace bulk {
namespace {

namespace asio = boost::asio;

constexpr int kPoolThreads = 4;  // reading files, and encoding masks

std::string SourceText(const ListingOptions& options) {
  if (options.prepared != nullptr) {
    return options.prepared->Describe() +
           (options.shard.count > 1 ? ", shard " + ShardText(options.shard) : "");
  }
  if (options.project != nullptr) return options.project->Describe();
  return absl::StrJoin(options.sources, " ") +
         (options.images.empty() ? "" : " --images=" + options.images);
}

absl::StatusOr<Listing> ListAnew(const RunOptions& options, const RunFolder& folder,
                                 Reporter& reporter) {
  if (!options.format->writes_nothing) {
    if (absl::Status status = CheckOutIsFree(options.output.out); !status.ok()) return status;
  }
  absl::StatusOr<ManifestWriter> manifest = ManifestWriter::Create(folder.manifest());
  if (!manifest.ok()) return manifest.status();
  ListingOptions sources = options.listing;
  sources.patience = PatienceOf(options.pipeline.patience, reporter);
  absl::StatusOr<Listing> listing = ListImages(
      sources, [&](std::string_view name, std::string_view id) { manifest->Add(name, id); });
  if (!listing.ok()) return listing.status();
  if (absl::Status status = manifest->Commit(); !status.ok()) return status;
  return listing;
}

image_fetch::ImageFetcher::Options FetcherOptions(const RunOptions& options,
                                                  const Listing& listing) {
  auto fetcher = image_fetch::FetcherOptions(options.images, options.network);
  fetcher.allow_all_private = fetcher.allow_all_private || !listing.of_label_studio;
  fetcher.max_bytes = options.max_image_bytes;
  // Each image is asked for once, and again only to see whether it can be had by now.
  fetcher.cache_bytes = 0;
  fetcher.missing_for = absl::ZeroDuration();
  fetcher.unusable_for = absl::ZeroDuration();
  return fetcher;
}

// Connects to the services, and completes `head` by their models.
absl::Status ConnectAll(const RunOptions& options, const RunFolder& folder, asio::io_context& io,
                        Reporter& reporter, Head* head, std::unique_ptr<Services>* services) {
  const absl::StatusOr<ServiceNeeds> needs = options.kind->Needs(options);
  if (!needs.ok()) return needs.status();
  auto connected = Services::Connect(options.services, *needs, folder, io, reporter);
  if (!connected.ok()) return connected.status();
  *services = *std::move(connected);
  const auto models = (*services)->Wait(io, reporter);
  return models.ok() ? options.kind->Complete(options, *models, head) : models.status();
}

// Begins a run: from then on the folder has all that it takes to resume it.
absl::Status Begin(const RunOptions& options, const RunFolder& folder, asio::io_context& io,
                   Reporter& reporter, Head* head, std::unique_ptr<Services>* services) {
  absl::StatusOr<Listing> listing = ListAnew(options, folder, reporter);
  if (!listing.ok()) return listing.status();
  head->listing = *std::move(listing);
  absl::Status status = ConnectAll(options, folder, io, reporter, head, services);
  return status.ok() ? folder.WriteHead(*head) : status;
}

// Does what the journal lacks.
absl::Status DoTheRest(const RunOptions& options, const std::string& manifest_path,
                       const Head& head, const Services& services, asio::io_context& io,
                       Journal& journal, Reporter& reporter) {
  auto fetcher = image_fetch::ImageFetcher::Create(FetcherOptions(options, head.listing));
  if (!fetcher.ok()) return fetcher.status();
  absl::StatusOr<ManifestReader> manifest = ManifestReader::Open(manifest_path, journal.place());
  if (!manifest.ok()) return manifest.status();
  asio::thread_pool pool(kPoolThreads);
  const LabelStudioProject* const project = options.listing.project;
  ImageLoader images(head.listing, **fetcher, pool, options.max_image_bytes, options.network,
                     project == nullptr ? label_studio_api::LabelStudioSite() : project->site());
  const auto work = options.kind->MakeWork(options, head, services, pool);
  if (!work.ok()) return work.status();
  const std::string notice =
      options.kind->Notice(head, services, head.listing.images - journal.place().index);
  if (!notice.empty()) reporter.Says(notice);
  Pipeline pipeline(
      head, {.io = io, .images = images, .work = **work, .journal = journal, .reporter = reporter},
      *std::move(manifest), options.pipeline);
  const absl::Status status = pipeline.Run();
  pool.stop();
  pool.join();
  return status;
}

// Tries the images of a complete run again that failed.
absl::Status TryAgain(const RunOptions& options, const RunFolder& folder, Head head,
                      const Services& services, asio::io_context& io, const Totals& totals,
                      Reporter& reporter) {
  const absl::StatusOr<Retry> retry = Retry::Begin(folder, totals);
  if (!retry.ok()) return retry.status();
  absl::StatusOr<Journal> journal = Journal::Open(retry->folder(), retry->manifest());
  if (!journal.ok()) return journal.status();
  head.listing.images = retry->images();
  const absl::Status status =
      DoTheRest(options, retry->manifest(), head, services, io, *journal, reporter);
  return status.ok() ? retry->Finish() : status;
}

// Whether a run that was begun is the one that is asked for now. Once it is complete its boxes can
// be written with any label config, or without one.
absl::Status CheckBegun(const Head& begun, Head wanted, bool complete, const RunFolder& folder) {
  if (complete && (begun.label_config.empty() || wanted.label_config.empty())) {
    wanted.label_config = begun.label_config;
  }
  return CheckSame(begun, wanted, folder.path());
}

}  // namespace

Head HeadOf(const RunOptions& options) {
  return {.source = SourceText(options.listing),
          .embeds = options.kind == &EmbedImages(),
          .settings = options.settings,
          .label_config = options.label_config,
          .mask_generator = options.mask_generator};
}

absl::StatusOr<Plan> PlanRun(const RunOptions& options) {
  Plan plan;
  if (std::filesystem::exists(WithoutSlashes(options.output.out) + ".journal/head.json")) {
    const absl::StatusOr<RunFolder> folder = RunFolder::Lock(options.output.out);
    if (!folder.ok()) return folder.status();
    const auto head = folder->ReadHead();
    if (!head.ok()) return head.status();
    if (*head) {
      const absl::StatusOr<Journal> journal = Journal::Open(folder->path(), folder->manifest());
      if (!journal.ok()) return journal.status();
      plan.listing = (*head)->listing;
      plan.done = journal->place().index;
      const bool complete = plan.done == plan.listing.images;
      if (complete && options.retry_failed) plan.done -= journal->totals().failed();
      absl::Status same = CheckBegun(**head, HeadOf(options), complete, *folder);
      if (!same.ok()) return same;
      return plan;
    }
  }
  absl::StatusOr<Listing> listing =
      ListImages(options.listing, [](std::string_view, std::string_view) {});
  if (!listing.ok()) return listing.status();
  plan.listing = *std::move(listing);
  return plan;
}

absl::StatusOr<RunResult> Run(const RunOptions& options, Reporter& reporter) {
  const absl::StatusOr<RunFolder> folder = RunFolder::Lock(options.output.out);
  if (!folder.ok()) return folder.status();
  const absl::StatusOr<std::optional<Head>> begun = folder->ReadHead();
  if (!begun.ok()) return begun.status();
  if (options.output.project == nullptr) {
    absl::Status status = CheckCanBeWritten(*options.format, options.output.out);
    if (!status.ok()) {
      if (!*begun) folder->Remove();
      return status;
    }
  }
  Head head = HeadOf(options);
  // What is declared later goes earlier: clients before the io_context that they use.
  asio::io_context io(1);
  std::unique_ptr<Services> services;
  if (!*begun) {
    absl::Status status = Begin(options, *folder, io, reporter, &head, &services);
    if (!status.ok()) {
      folder->Remove();
      return status;
    }
  }
  absl::StatusOr<Journal> journal = Journal::Open(folder->path(), folder->manifest());
  if (!journal.ok()) return journal.status();
  RunResult result{.before = journal->place().index,
                   .left_out = head.listing.left_out,
                   .closed_folders = head.listing.closed_folders,
                   .first_closed = head.listing.first_closed};
  bool again = false;
  if (*begun) {
    head.listing = (*begun)->listing;
    const bool all_done = result.before == head.listing.images;
    again = options.retry_failed && all_done && journal->totals().failed() > 0;
    const bool complete = all_done && !again;
    absl::Status status = CheckBegun(**begun, head, complete, *folder);
    if (status.ok() && complete) {
      // Nothing is asked of the services any more.
      status = options.kind->Complete(options, (*begun)->models(), &head);
    } else if (status.ok()) {
      status = ConnectAll(options, *folder, io, reporter, &head, &services);
    }
    if (status.ok()) status = CheckBegun(**begun, head, complete, *folder);
    if (!status.ok()) return status;
  }
  result.totals = journal->totals();
  if (again) {
    result.before -= result.totals.failed();
    absl::Status status = TryAgain(options, *folder, head, *services, io, result.totals, reporter);
    if (!status.ok()) return status;
    const absl::StatusOr<Journal> merged = Journal::Open(folder->path(), folder->manifest());
    if (!merged.ok()) return merged.status();
    result.totals = merged->totals();
  } else if (services != nullptr) {
    absl::Status status =
        DoTheRest(options, folder->manifest(), head, *services, io, *journal, reporter);
    result.totals = journal->totals();
    if (absl::IsInvalidArgument(status) && result.totals.images == result.totals.failed()) {
      folder->Remove();  // nothing was found with options that can't be used
    }
    if (!status.ok()) return status;
  }
  const Results results{.folder = *folder,
                        .head = head,
                        .count = journal->place().index,
                        .totals = journal->totals()};
  OutputOptions output = options.output;
  output.patience.lasts = options.pipeline.patience;
  absl::Status status = FinishRun(*options.format, output, results, reporter, &result);
  if (!status.ok()) return status;
  if (options.format->writes_nothing) folder->Remove();
  return result;
}

}  // namespace bulk
