#include "bulk/services.h"

#include <absl/time/clock.h>
#include <absl/time/time.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <utility>

#include "backends/grpc_clients.h"
#include "serving/program_beside.h"
#include "text/str_cat.h"

namespace bulk {
namespace {

namespace asio = boost::asio;
using text::StrCat;

constexpr absl::Duration kServicesTimeout = absl::Minutes(5);  // they may be starting, too
constexpr absl::Duration kAskTimeout = absl::Seconds(10);
constexpr absl::Duration kTellAfter = absl::Seconds(2);

// Starts a service for the run alone. It has the kernels that the run was begun with, or those of a
// plan that several runs share, so that results don't differ in their last bits.
absl::StatusOr<std::unique_ptr<PrivateService>> StartPrivately(
    const std::string& name, const std::string& checkpoint, const std::string& kernel_plan,
    const RunFolder& folder, const std::vector<std::string>& more_flags) {
  std::vector<std::string> flags = {
      "--checkpoint=" + checkpoint,
      "--kernel_plan=" + (kernel_plan.empty() ? folder.path() + "/kernel_plan" : kernel_plan)};
  flags.insert(flags.end(), more_flags.begin(), more_flags.end());
  auto service = PrivateService::Start(serving::ProgramBeside("duet-" + name), flags,
                                       StrCat(folder.path(), "/", name, ".log"));
  if (service.ok()) return service;
  return absl::Status(service.status().code(),
                      StrCat("the ", name, ": ", service.status().message()));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Services>> Services::Connect(const ServiceOptions& options,
                                                            ServiceNeeds needs,
                                                            const RunFolder& folder,
                                                            asio::io_context& io,
                                                            Reporter& reporter) {
  auto services = std::make_unique<Services>();
  std::string detector = options.detector;
  std::string segmenter = options.segmenter;
  absl::Status status = services->StartMissing(options, needs, folder, &detector, &segmenter);
  if (!status.ok()) return status;
  if (!services->own_.empty()) {
    asio::co_spawn(io, services->KeepAlive(reporter), asio::detached);
  }
  const auto grpc = [&](const std::string& named) {
    backends::GrpcOptions grpc = options.grpc;
    if (named.empty()) grpc.tls = nullptr;
    return grpc;
  };
  if (needs.detector) {
    auto client = backends::MakeGrpcDetector(io.get_executor(), detector, grpc(options.detector));
    if (!client.ok()) return client.status();
    services->detector_ = *std::move(client);
  }
  if (needs.segmenter) {
    auto client =
        backends::MakeGrpcSegmenter(io.get_executor(), segmenter, grpc(options.segmenter));
    if (!client.ok()) return client.status();
    services->segmenter_ = *std::move(client);
  }
  return services;
}

absl::StatusOr<prelabel::ServedModels> Services::Wait(asio::io_context& io,
                                                      Reporter& reporter) const {
  const absl::Time begun = absl::Now();
  bool told = false;
  prelabel::ServedModels models;
  for (;;) {
    io.restart();
    io.run_for(std::chrono::milliseconds(20));
    if (detector_) models.detector = detector_->model();
    if (segmenter_) models.segmenter = segmenter_->model();
    const bool lacks_detector = detector_ && models.detector == nullptr;
    if (!lacks_detector && (!segmenter_ || models.segmenter)) break;
    const absl::Duration waited = absl::Now() - begun;
    const std::string why = lacks_detector ? StrCat("the detector: ", detector_->health().error)
                                           : StrCat("the segmenter: ", segmenter_->health().error);
    if (waited > kServicesTimeout) {
      return absl::UnavailableError(StrCat("no answer within five minutes from ", why));
    }
    if (!told && waited > kTellAfter) reporter.Waits(why);
    told = told || waited > kTellAfter;
  }
  if (told) reporter.GoesOn(absl::Now() - begun);
  return models;
}

asio::awaitable<void> Services::KeepAlive(Reporter& reporter) {
  asio::steady_timer timer(co_await asio::this_coro::executor);
  for (;;) {
    timer.expires_after(std::chrono::seconds(1));
    auto waiting = timer.async_wait(asio::use_awaitable);
    co_await std::move(waiting);
    for (const Own& one : own_) {
      const std::string how = one.service->StartAgainIfEnded();
      if (how.empty()) continue;
      reporter.Waits(StrCat("the ", one.name, " of this run ", how, ", and is started again"));
    }
  }
}

absl::Status Services::StartMissing(const ServiceOptions& options, ServiceNeeds needs,
                                    const RunFolder& folder, std::string* detector_at,
                                    std::string* segmenter_at) {
  std::vector<std::pair<PrivateService*, std::string*>> waited_for;
  const auto start = [&](const std::string& name, const std::string& checkpoint,
                         const std::vector<std::string>& flags, std::string* at) -> absl::Status {
    auto service = StartPrivately(name, checkpoint, options.kernel_plan, folder, flags);
    if (!service.ok()) return service.status();
    own_.push_back({name, *std::move(service)});
    waited_for.emplace_back(own_.back().service.get(), at);
    return absl::OkStatus();
  };
  absl::Status status;
  if (needs.detector && detector_at->empty()) {
    status = start("detector", options.detector_checkpoint, {}, detector_at);
  }
  if (status.ok() && needs.segmenter && segmenter_at->empty()) {
    status =
        start("segmenter", options.segmenter_checkpoint, options.segmenter_flags, segmenter_at);
  }
  if (!status.ok()) return status;
  for (const auto& [service, at] : waited_for) {
    absl::StatusOr<std::string> address = service->Address();
    if (!address.ok()) return address.status();
    *at = *std::move(address);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const backends::SegmenterModel>> AskSegmenter(
    const ServiceOptions& options) {
  asio::io_context io(1);
  auto segmenter = backends::MakeGrpcSegmenter(io.get_executor(), options.segmenter, options.grpc);
  if (!segmenter.ok()) return segmenter.status();
  const absl::Time deadline = absl::Now() + kAskTimeout;
  for (;;) {
    io.run_for(std::chrono::milliseconds(20));
    if (auto model = (*segmenter)->model()) return model;
    if (absl::Now() > deadline) {
      return absl::UnavailableError(StrCat("the segmenter: ", (*segmenter)->health().error));
    }
  }
}

}  // namespace bulk
