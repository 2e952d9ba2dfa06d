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
constexpr std::chrono::milliseconds kListen{20};

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

absl::StatusOr<ServiceClients> ServiceClients::Connect(const ServiceOptions& options,
                                                       const Addresses& at, asio::io_context& io) {
  const auto grpc = [&](const std::string& named) {
    backends::GrpcOptions grpc = options.grpc;
    if (named.empty()) grpc.tls = nullptr;
    return grpc;
  };
  ServiceClients clients;
  if (!at.detector.empty()) {
    auto client =
        backends::MakeGrpcDetector(io.get_executor(), at.detector, grpc(options.detector));
    if (!client.ok()) return client.status();
    clients.detector_ = *std::move(client);
  }
  if (!at.segmenter.empty()) {
    auto client =
        backends::MakeGrpcSegmenter(io.get_executor(), at.segmenter, grpc(options.segmenter));
    if (!client.ok()) return client.status();
    clients.segmenter_ = *std::move(client);
  }
  return clients;
}

ServiceClients::Heard ServiceClients::Listen(asio::io_context& io,
                                             std::chrono::milliseconds duration) const {
  io.restart();
  io.run_for(duration);
  Heard heard;
  if (detector_) heard.models.detector = detector_->model();
  if (segmenter_) heard.models.segmenter = segmenter_->model();
  if (detector_ && !heard.models.detector) {
    heard.silent = "detector";
    heard.error = detector_->health().error;
  } else if (segmenter_ && !heard.models.segmenter) {
    heard.silent = "segmenter";
    heard.error = segmenter_->health().error;
  }
  return heard;
}

absl::StatusOr<std::unique_ptr<Services>> Services::Connect(const ServiceOptions& options,
                                                            ServiceNeeds needs,
                                                            const RunFolder& folder,
                                                            asio::io_context& io,
                                                            Reporter& reporter) {
  auto services = std::make_unique<Services>();
  ServiceClients::Addresses at;
  if (needs.detector) at.detector = options.detector;
  if (needs.segmenter) at.segmenter = options.segmenter;
  absl::Status status = services->StartMissing(options, needs, folder, &at);
  if (!status.ok()) return status;
  if (!services->own_.empty()) {
    asio::co_spawn(io, services->KeepAlive(reporter), asio::detached);
  }
  auto clients = ServiceClients::Connect(options, at, io);
  if (!clients.ok()) return clients.status();
  services->clients_ = *std::move(clients);
  return services;
}

absl::StatusOr<prelabel::ServedModels> Services::Wait(asio::io_context& io,
                                                      Reporter& reporter) const {
  const absl::Time begun = absl::Now();
  bool told = false;
  for (;;) {
    const ServiceClients::Heard heard = clients_.Listen(io, kListen);
    const absl::Duration waited = absl::Now() - begun;
    if (heard.silent.empty()) {
      if (told) reporter.GoesOn(waited);
      return heard.models;
    }
    const std::string why = StrCat("the ", heard.silent, ": ", heard.error);
    if (waited > kServicesTimeout) {
      return absl::UnavailableError(StrCat("no answer within five minutes from ", why));
    }
    if (!told && waited > kTellAfter) reporter.Waits(why);
    told = told || waited > kTellAfter;
  }
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
                                    const RunFolder& folder, ServiceClients::Addresses* at) {
  std::vector<std::pair<PrivateService*, std::string*>> waited_for;
  const auto start = [&](const std::string& name, const std::string& checkpoint,
                         const std::vector<std::string>& flags,
                         std::string* address) -> absl::Status {
    auto service = StartPrivately(name, checkpoint, options.kernel_plan, folder, flags);
    if (!service.ok()) return service.status();
    own_.push_back({name, *std::move(service)});
    waited_for.emplace_back(own_.back().service.get(), address);
    return absl::OkStatus();
  };
  absl::Status status;
  if (needs.detector && at->detector.empty()) {
    status = start("detector", options.detector_checkpoint, {}, &at->detector);
  }
  if (status.ok() && needs.segmenter && at->segmenter.empty()) {
    status =
        start("segmenter", options.segmenter_checkpoint, options.segmenter_flags, &at->segmenter);
  }
  if (!status.ok()) return status;
  for (const auto& [service, address] : waited_for) {
    absl::StatusOr<std::string> found = service->Address();
    if (!found.ok()) return found.status();
    *address = *std::move(found);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const backends::SegmenterModel>> AskSegmenter(
    const ServiceOptions& options) {
  asio::io_context io(1);
  const auto clients = ServiceClients::Connect(options, {.segmenter = options.segmenter}, io);
  if (!clients.ok()) return clients.status();
  const absl::Time deadline = absl::Now() + kAskTimeout;
  for (;;) {
    const ServiceClients::Heard heard = clients->Listen(io, kListen);
    if (heard.silent.empty()) return heard.models.segmenter;
    if (absl::Now() > deadline) {
      return absl::UnavailableError(StrCat("the segmenter: ", heard.error));
    }
  }
}

}  // namespace bulk
