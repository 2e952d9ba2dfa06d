#include "gateway/backends/upstream.h"

#include <absl/random/random.h>
#include <absl/strings/str_cat.h>

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <chrono>
#include <exception>
#include <utility>

#include "gateway/backends/tls_diagnosis.h"
#include "serving/log.h"

namespace gateway::backends {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;
using std::chrono::system_clock;

constexpr double kFullBudget = 10;
// Ten successes pay for one repetition.
constexpr double kEarned = 0.1;
// About 100 + 200 + 400 ms for a call that somebody waits for; a patient one rides out a restart.
constexpr int kRounds = 4;
constexpr int kPatientRounds = 10;
constexpr auto kRefresh = std::chrono::seconds(5);

milliseconds PauseLength(int round) {
  return milliseconds(std::min(1000, 100 << std::min(round, 4)));
}

}  // namespace

BackendHealth Upstream::health() const {
  const std::lock_guard lock(mutex_);
  return {.replicas = replicas_->size(), .reachable = reachable_, .error = error_};
}

bool Upstream::MayRepeat(const grpc::Status& status, int round, const CallOptions& options) {
  if (system_clock::now() + PauseLength(round) >= options.deadline) return false;
  if (status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED) return options.patient;
  if (round + 1 >= (options.patient ? kPatientRounds : kRounds)) return false;
  const std::lock_guard lock(mutex_);
  if (repeat_budget_ < 1) return false;
  repeat_budget_ -= 1;
  return true;
}

asio::awaitable<void> Upstream::Pause(int round, const CallOptions&) {
  thread_local absl::InsecureBitGen random;
  const double jitter = absl::Uniform(random, 0.5, 1.0);
  asio::steady_timer timer(co_await asio::this_coro::executor);
  timer.expires_after(std::chrono::duration_cast<milliseconds>(PauseLength(round) * jitter));
  co_await timer.async_wait(asio::use_awaitable);
}

void Upstream::OnSuccess() {
  const std::lock_guard lock(mutex_);
  repeat_budget_ = std::min(kFullBudget, repeat_budget_ + kEarned);
}

absl::Status Upstream::ToStatus(const grpc::Status& status, const std::string& address) const {
  const auto code = static_cast<absl::StatusCode>(status.error_code());
  std::string tls_error;
  {
    const std::lock_guard lock(mutex_);
    tls_error = tls_error_;
  }
  switch (status.error_code()) {
    case grpc::StatusCode::UNAVAILABLE:
      return {code, absl::StrCat("the ", service_, " at ", address, " is away: ",
                                 tls_error.empty() ? status.error_message() : tls_error)};
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
      return {code, absl::StrCat("the ", service_, " is busy: ", status.error_message())};
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return {code, absl::StrCat("the ", service_, " did not answer in time")};
    default:
      return {code, absl::StrCat("the ", service_, " says: ", status.error_message())};
  }
}

void Upstream::Prepare(grpc::ClientContext& context, const CallOptions& options) {
  context.set_deadline(options.deadline);
  if (!options.request_id.empty()) context.AddMetadata("x-request-id", options.request_id);
  if (!options.traceparent.empty()) context.AddMetadata("traceparent", options.traceparent);
}

asio::awaitable<absl::Status> Upstream::Diagnose(absl::Status status) {
  std::string found;
  for (const auto& replica : replicas_->ByLoad()) {
    if (replica->channel->GetState(/*try_to_connect=*/false) == GRPC_CHANNEL_READY) continue;
    try {
      auto pending = DiagnoseTls(replica->address, replica->host, replicas_->options());
      found = co_await std::move(pending);
    } catch (const std::exception&) {
      // It is only to say more: what gRPC said stays.
    }
    if (!found.empty()) {
      status = absl::UnavailableError(
          absl::StrCat("the ", service_, " at ", replica->address, " is away: ", found));
    }
    break;
  }
  const std::lock_guard lock(mutex_);
  tls_error_ = std::move(found);
  co_return status;
}

void Upstream::Note(const absl::Status& status) {
  const std::lock_guard lock(mutex_);
  const bool news = reachable_ != status.ok() || error_ != status.message();
  reachable_ = status.ok();
  error_ = std::string(status.message());
  if (status.ok()) tls_error_.clear();
  if (!news) return;
  serving::LogLine line(status.ok() ? "backend.found" : "backend.away",
                        status.ok() ? serving::LogLevel::kInfo : serving::LogLevel::kWarning);
  line.Str("service", service_).Str("targets", replicas_->targets());
  if (!status.ok()) line.Status(status);
}

asio::awaitable<void> Upstream::KeepFresh(std::function<asio::awaitable<absl::Status>()> look) {
  asio::steady_timer timer(co_await asio::this_coro::executor);
  milliseconds retry(100);
  while (true) {
    co_await replicas_->Resolve();
    absl::Status status = co_await look();
    if (absl::IsUnavailable(status)) status = co_await Diagnose(std::move(status));
    Note(status);
    retry = status.ok() ? milliseconds(100)
                        : std::min<milliseconds>(retry * 2, std::chrono::seconds(2));
    timer.expires_after(status.ok() ? milliseconds(kRefresh) : retry);
    co_await timer.async_wait(asio::use_awaitable);
  }
}

}  // namespace gateway::backends
