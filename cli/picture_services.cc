#include "cli/picture_services.h"

#include <absl/time/clock.h>
#include <absl/time/time.h>
#include <sys/mman.h>

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <iostream>
#include <utility>
#include <vector>

#include "cli/await_here.h"
#include "prelabel/translate.h"
#include "serving/program_beside.h"
#include "text/str_cat.h"

namespace cli {
namespace {

using boost::asio::awaitable;
using text::StrCat;

// A person waits.
constexpr absl::Duration kConnectTimeout = absl::Seconds(10);
constexpr std::chrono::milliseconds kListen{5};
constexpr std::chrono::minutes kCallTimeout{5};

// A log that is in no folder: it ends with this process, however that ends.
absl::StatusOr<std::string> MakeLog(const std::string& name) {
  const int file = memfd_create(name.c_str(), MFD_CLOEXEC);
  if (file < 0) return absl::ErrnoToStatus(errno, StrCat("a log for the ", name));
  return StrCat("/proc/self/fd/", file);
}

absl::StatusOr<std::unique_ptr<bulk::PrivateService>> Start(const std::string& name,
                                                            const std::string& checkpoint,
                                                            const std::string& kernel_plan) {
  const absl::StatusOr<std::string> log = MakeLog(name);
  if (!log.ok()) return log.status();
  std::vector<std::string> flags = {"--checkpoint=" + checkpoint};
  if (!kernel_plan.empty()) flags.push_back("--kernel_plan=" + kernel_plan);
  return bulk::PrivateService::Start(serving::ProgramBeside("duet-" + name), flags, *log);
}

absl::Status Of(std::string_view service, const absl::Status& status) {
  return absl::Status(status.code(), StrCat("the ", service, ": ", status.message()));
}

awaitable<absl::StatusOr<prelabel::ImageObjects>> Ask(backends::DetectorClient& detector,
                                                      backends::SegmenterClient* segmenter,
                                                      backends::ImageRef image,
                                                      const prelabel::Settings& settings,
                                                      bool detector_masks) {
  const backends::CallOptions call{.deadline = std::chrono::system_clock::now() + kCallTimeout};
  auto detecting = prelabel::DetectObjects(
      detector, image, prelabel::ToDetectRequest(settings, detector_masks), call);
  auto found = co_await std::move(detecting);
  if (found.ok() && segmenter != nullptr) {
    auto segmenting = prelabel::AddMasks(*segmenter, std::move(image), call, &found->objects);
    if (absl::Status status = co_await std::move(segmenting); !status.ok()) found = status;
  }
  co_return found;
}

}  // namespace

PictureServices::~PictureServices() {
  for (const auto* const own : {&own_detector_, &own_segmenter_}) {
    if (*own != nullptr) (*own)->AskToEnd();
  }
}

absl::Status PictureServices::StartMissing(const bulk::ServiceOptions& options,
                                           bulk::ServiceClients::Addresses* at) {
  if (at->detector.empty() && options.detector_checkpoint.empty()) {
    return absl::InvalidArgumentError(
        "no detector is named; needed: --detector=host:port of one that runs, or "
        "--detector_checkpoint=FILE of one to be started");
  }
  if (at->detector.empty()) {
    auto started = Start("detector", options.detector_checkpoint, options.kernel_plan);
    if (!started.ok()) return Of("detector", started.status());
    own_detector_ = *std::move(started);
  }
  if (wants_masks_ && at->segmenter.empty() && !options.segmenter_checkpoint.empty()) {
    auto started = Start("segmenter", options.segmenter_checkpoint, options.kernel_plan);
    if (!started.ok()) return Of("segmenter", started.status());
    own_segmenter_ = *std::move(started);
  }
  if (own_detector_ != nullptr) {
    auto address = own_detector_->Address();
    if (!address.ok()) return Of("detector", address.status());
    at->detector = *std::move(address);
  }
  if (own_segmenter_ != nullptr) {
    auto address = own_segmenter_->Address();
    if (!address.ok()) return Of("segmenter", address.status());
    at->segmenter = *std::move(address);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<PictureServices>> PictureServices::Connect(
    const bulk::ServiceOptions& options, bool wants_masks) {
  std::unique_ptr<PictureServices> services(new PictureServices(wants_masks));
  bulk::ServiceClients::Addresses at{.detector = options.detector};
  if (wants_masks) at.segmenter = options.segmenter;
  absl::Status status = services->StartMissing(options, &at);
  if (!status.ok()) return status;
  auto clients = bulk::ServiceClients::Connect(options, at, services->io_);
  if (!clients.ok()) return clients.status();
  services->clients_ = *std::move(clients);
  status = services->WaitForModels();
  if (!status.ok()) return status;
  if (wants_masks && options.segmenter.empty() && options.segmenter_checkpoint.empty()) {
    std::cerr << "no segmenter is named, so there are no masks but the detector's own; needed: "
                 "--segmenter=host:port, --segmenter_checkpoint=FILE, or --masks=no\n";
  }
  return services;
}

absl::Status PictureServices::WaitForModels() {
  const absl::Time deadline = absl::Now() + kConnectTimeout;
  for (;;) {
    auto heard = clients_.Listen(io_, kListen);
    models_ = std::move(heard.models);
    if (heard.silent.empty()) return absl::OkStatus();
    if (absl::Now() > deadline) {
      return absl::UnavailableError(StrCat("the ", heard.silent, " doesn't answer: ", heard.error));
    }
  }
}

absl::StatusOr<prelabel::ImageObjects> PictureServices::Find(const backends::ImageRef& image,
                                                             const prelabel::Settings& settings) {
  backends::SegmenterClient* const masks_by =
      models_.detector->has_masks ? nullptr : clients_.segmenter();
  return AwaitHere(io_, Ask(*clients_.detector(), masks_by, image, settings, wants_masks_));
}

}  // namespace cli
