#include "bulk/prelabel_run.h"

#include <absl/strings/str_join.h>
#include <absl/time/clock.h>

#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include "backends/grpc_clients.h"
#include "bulk/embed_work.h"
#include "bulk/finish_run.h"
#include "bulk/image_loader.h"
#include "bulk/journal.h"
#include "bulk/manifest.h"
#include "bulk/output_check.h"
#include "bulk/prelabel_work.h"
#include "bulk/prepared_manifest.h"
#include "bulk/private_service.h"
#include "bulk/retry.h"
#include "bulk/run_folder.h"
#include "image_fetch/image_fetcher.h"
#include "prelabel/kept_embeddings.h"
#include "text/str_cat.h"

namespace bulk {
namespace {

namespace asio = boost::asio;
using text::StrCat;

constexpr absl::Duration kServicesTimeout = absl::Minutes(5);  // they may be starting, too
constexpr absl::Duration kPlanTimeout = absl::Seconds(10);
constexpr absl::Duration kTellAfter = absl::Seconds(2);
constexpr int kPoolThreads = 4;  // reading files, and encoding masks

// Starts a service for the run alone. It has the kernels that the run was begun with, or those of a
// plan that several runs share, so that results don't differ in their last bits.
absl::StatusOr<std::unique_ptr<PrivateService>> StartPrivately(
    const std::string& name, const std::string& checkpoint, const std::string& kernel_plan,
    const RunFolder& folder, const std::vector<std::string>& more_flags) {
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  std::vector<std::string> flags = {
      "--checkpoint=" + checkpoint,
      "--kernel_plan=" + (kernel_plan.empty() ? folder.path() + "/kernel_plan" : kernel_plan)};
  flags.insert(flags.end(), more_flags.begin(), more_flags.end());
  auto service = PrivateService::Start((self.parent_path() / ("duet-" + name)).native(), flags,
                                       StrCat(folder.path(), "/", name, ".log"));
  if (service.ok()) return service;
  return absl::Status(service.status().code(),
                      StrCat("the ", name, ": ", service.status().message()));
}

bool Embeds(const RunOptions& options) { return options.format == nullptr; }

// The services of a run.
class Services {
 public:
  static absl::StatusOr<std::unique_ptr<Services>> Connect(const RunOptions& options,
                                                           const RunFolder& folder,
                                                           asio::io_context& io,
                                                           Reporter& reporter) {
    auto services = std::make_unique<Services>();
    std::string detector = options.detector;
    std::string segmenter = options.segmenter;
    absl::Status status = services->StartMissing(options, folder, &detector, &segmenter);
    if (!status.ok()) return status;
    if (!services->own.empty()) {
      asio::co_spawn(io, services->KeepAlive(reporter), asio::detached);
    }
    const auto grpc = [&](const std::string& named) {
      backends::GrpcOptions grpc = options.grpc;
      if (named.empty()) grpc.tls = nullptr;
      return grpc;
    };
    if (!Embeds(options)) {
      auto detecting =
          backends::MakeGrpcDetector(io.get_executor(), detector, grpc(options.detector));
      if (!detecting.ok()) return detecting.status();
      services->detector = *std::move(detecting);
    }
    if (segmenter.empty()) return services;
    auto segmenting =
        backends::MakeGrpcSegmenter(io.get_executor(), segmenter, grpc(options.segmenter));
    if (!segmenting.ok()) return segmenting.status();
    services->segmenter = *std::move(segmenting);
    return services;
  }

  // Waits until those that there are have said what they serve, and puts that into `head`.
  absl::Status Wait(asio::io_context& io, Reporter& reporter, Head* head) const {
    const absl::Time begun = absl::Now();
    bool told = false;
    for (;;) {
      io.restart();
      io.run_for(std::chrono::milliseconds(20));
      if (detector) head->detector = detector->model();
      if (segmenter) head->segmenter = segmenter->model();
      const bool lacks_detector = detector && head->detector == nullptr;
      if (!lacks_detector && (!segmenter || head->segmenter)) break;
      const absl::Duration waited = absl::Now() - begun;
      const std::string why = lacks_detector ? StrCat("the detector: ", detector->health().error)
                                             : StrCat("the segmenter: ", segmenter->health().error);
      if (waited > kServicesTimeout) {
        return absl::UnavailableError(StrCat("no answer within five minutes from ", why));
      }
      if (!told && waited > kTellAfter) reporter.Waits(why);
      told = told || waited > kTellAfter;
    }
    if (told) reporter.GoesOn(absl::Now() - begun);
    return absl::OkStatus();
  }

  struct Own {
    std::string name;
    std::unique_ptr<PrivateService> service;
  };
  std::vector<Own> own;                                  // end after the clients
  std::unique_ptr<backends::DetectorClient> detector;    // null if the run embeds
  std::unique_ptr<backends::SegmenterClient> segmenter;  // null if there is none
  std::optional<ClassNames>
      masked_classes;  // whose objects the segmenter gives masks; nothing: all

 private:
  // Starts those of our own again that end, for as long as the io_context is run.
  asio::awaitable<void> KeepAlive(Reporter& reporter) {
    asio::steady_timer timer(co_await asio::this_coro::executor);
    for (;;) {
      timer.expires_after(std::chrono::seconds(1));
      auto waiting = timer.async_wait(asio::use_awaitable);
      co_await std::move(waiting);
      for (const Own& one : own) {
        const std::string how = one.service->StartAgainIfEnded();
        if (how.empty()) continue;
        reporter.Waits(StrCat("the ", one.name, " of this run ", how, ", and is started again"));
      }
    }
  }

  // Starts what isn't named, both at once, and says where it is.
  absl::Status StartMissing(const RunOptions& options, const RunFolder& folder,
                            std::string* detector_at, std::string* segmenter_at) {
    std::vector<std::pair<PrivateService*, std::string*>> waited_for;
    const auto start = [&](const std::string& name, const std::string& checkpoint,
                           std::string* at) -> absl::Status {
      const bool segments = name == "segmenter";
      auto service =
          StartPrivately(name, checkpoint, options.kernel_plan, folder,
                         segments ? options.segmenter_flags : std::vector<std::string>());
      if (!service.ok()) return service.status();
      own.push_back({name, *std::move(service)});
      waited_for.emplace_back(own.back().service.get(), at);
      return absl::OkStatus();
    };
    if (Embeds(options) && segmenter_at->empty() &&
        (options.segmenter_checkpoint.empty() || options.segmenter_flags.empty())) {
      return absl::InvalidArgumentError(
          "no segmenter is named; needed: --segmenter=host:port of one that runs with "
          "--embedding_store, or --segmenter_checkpoint=FILE and --embedding_store of one to be "
          "started");
    }
    if (detector_at->empty() && !Embeds(options)) {
      if (options.detector_checkpoint.empty()) {
        return absl::InvalidArgumentError(
            "no detector is named; needed: --detector=host:port of one that runs, or "
            "--detector_checkpoint=FILE of one to be started");
      }
      absl::Status status = start("detector", options.detector_checkpoint, detector_at);
      if (!status.ok()) return status;
    }
    const bool may_need_segmenter = Embeds(options) || options.masks ||
                                    options.format->needs_masks ||
                                    options.format->masked_classes != nullptr;
    if (segmenter_at->empty() && may_need_segmenter && !options.segmenter_checkpoint.empty()) {
      absl::Status status = start("segmenter", options.segmenter_checkpoint, segmenter_at);
      if (!status.ok()) return status;
    }
    for (const auto& [service, at] : waited_for) {
      absl::StatusOr<std::string> address = service->Address();
      if (!address.ok()) return address.status();
      *at = *std::move(address);
    }
    return absl::OkStatus();
  }
};

std::string SourceText(const ListingOptions& options) {
  if (options.prepared != nullptr) {
    return options.prepared->Describe() +
           (options.shard.count > 1 ? ", shard " + ShardText(options.shard) : "");
  }
  if (options.project != nullptr) return options.project->Describe();
  return absl::StrJoin(options.sources, " ") +
         (options.images.empty() ? "" : " --images=" + options.images);
}

// Who makes the masks, by models that are known, and of which classes.
absl::Status ChooseMaskMaker(const RunOptions& options, Head* head,
                             std::optional<ClassNames>* masked_classes) {
  bool wanted = options.masks || options.format->needs_masks;
  if (options.format->masked_classes != nullptr) {
    absl::StatusOr<ClassNames> classes = options.format->masked_classes(*head);
    if (!classes.ok()) return classes.status();
    wanted = !classes->empty();
    *masked_classes = *std::move(classes);
  }
  if (!wanted) return absl::OkStatus();
  if (head->detector->has_masks && head->settings.mask_source != prelabel::MaskSource::kSam) {
    head->masks = MaskMaker::kDetector;
  } else if (head->segmenter) {
    head->masks = MaskMaker::kSegmenter;
  } else {
    return absl::InvalidArgumentError(StrCat("masks are wanted, and the detector's model ",
                                             head->detector->name,
                                             " makes none; needed: --segmenter=host:port"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Listing> ListAnew(const RunOptions& options, const RunFolder& folder,
                                 Reporter& reporter) {
  if (!Embeds(options)) {
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
  auto connected = Services::Connect(options, folder, io, reporter);
  if (!connected.ok()) return connected.status();
  *services = *std::move(connected);
  if (absl::Status status = (*services)->Wait(io, reporter, head); !status.ok()) return status;
  if (Embeds(options)) {
    // The encoder is all that embeddings depend on.
    const auto segmenter = std::exchange(head->segmenter, nullptr);
    head->encoder = segmenter->encoder;
    return prelabel::CheckKeepsEmbeddings(*segmenter);
  }
  return ChooseMaskMaker(options, head, &(*services)->masked_classes);
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
  std::unique_ptr<ImageWork> work;
  if (Embeds(options)) {
    const auto model = services.segmenter->model();
    if (model != nullptr && journal.place().index < head.listing.images) {
      reporter.Says(prelabel::EmbeddingSentence(*model, head.listing.images,
                                                head.listing.images - journal.place().index));
    }
    work = std::make_unique<EmbedWork>(head, *services.segmenter);
  } else {
    work = std::make_unique<PrelabelWork>(
        head, *services.detector,
        head.masks == MaskMaker::kSegmenter ? services.segmenter.get() : nullptr, pool,
        services.masked_classes);
  }
  Pipeline pipeline(
      head, {.io = io, .images = images, .work = *work, .journal = journal, .reporter = reporter},
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

absl::StatusOr<Plan> ListPlan(const RunOptions& options) {
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

// The model of the segmenter that a run would have embeddings made by.
absl::StatusOr<std::shared_ptr<const backends::SegmenterModel>> AskSegmenter(
    const RunOptions& options) {
  asio::io_context io(1);
  auto segmenter = backends::MakeGrpcSegmenter(io.get_executor(), options.segmenter, options.grpc);
  if (!segmenter.ok()) return segmenter.status();
  const absl::Time deadline = absl::Now() + kPlanTimeout;
  for (;;) {
    io.run_for(std::chrono::milliseconds(20));
    if (auto model = (*segmenter)->model()) {
      absl::Status keeps = prelabel::CheckKeepsEmbeddings(*model);
      if (!keeps.ok()) return keeps;
      return model;
    }
    if (absl::Now() > deadline) {
      return absl::UnavailableError(StrCat("the segmenter: ", (*segmenter)->health().error));
    }
  }
}

}  // namespace

Head HeadOf(const RunOptions& options) {
  return {.source = SourceText(options.listing),
          .embeds = Embeds(options),
          .settings = options.settings,
          .label_config = options.label_config};
}

absl::StatusOr<Plan> PlanRun(const RunOptions& options) {
  absl::StatusOr<Plan> plan = ListPlan(options);
  if (!plan.ok() || !Embeds(options) || options.segmenter.empty()) return plan;
  auto model = AskSegmenter(options);
  if (!model.ok()) return model.status();
  plan->segmenter = *std::move(model);
  return plan;
}

absl::StatusOr<RunResult> Run(const RunOptions& options, Reporter& reporter) {
  const absl::StatusOr<RunFolder> folder = RunFolder::Lock(options.output.out);
  if (!folder.ok()) return folder.status();
  const absl::StatusOr<std::optional<Head>> begun = folder->ReadHead();
  if (!begun.ok()) return begun.status();
  if (!Embeds(options) && options.output.project == nullptr) {
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
      head.detector = (*begun)->detector;
      head.segmenter = (*begun)->segmenter;
      std::optional<ClassNames> unused;
      if (!Embeds(options)) status = ChooseMaskMaker(options, &head, &unused);
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
    if (!status.ok()) return status;
    result.totals = journal->totals();
  }
  const Results results{.folder = *folder,
                        .head = head,
                        .count = journal->place().index,
                        .totals = journal->totals()};
  OutputOptions output = options.output;
  output.patience.lasts = options.pipeline.patience;
  absl::Status status = FinishRun(options.format, output, results, reporter, &result);
  if (!status.ok()) return status;
  if (Embeds(options)) folder->Remove();
  return result;
}

}  // namespace bulk
