#include "bulk/pipeline.h"

#include <absl/time/clock.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <csignal>
#include <exception>
#include <utility>

#include "prelabel/predictor.h"
#include "text/str_cat.h"

namespace bulk {
namespace {

namespace asio = boost::asio;
using asio::awaitable;
using duet::bulk::v1::Failure;
using text::StrCat;

// How often an image fails, while what it needs works, before it is given up.
constexpr int kTries = 3;
constexpr absl::Duration kFirstPause = absl::Milliseconds(250);
constexpr absl::Duration kLongestPause = absl::Seconds(2);
// A service that answers again within this time was busy, not away; and after this time it is known
// whether one that failed is away.
constexpr absl::Duration kUnnoticed = absl::Seconds(2);
constexpr absl::Duration kDiskPause = absl::Seconds(1);
constexpr absl::Duration kSyncEvery = absl::Seconds(2);
constexpr absl::Duration kTellEvery = absl::Milliseconds(200);

Failure ToFailure(const absl::Status& status, const Item& item) {
  Failure failure;
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
      failure.set_kind("damaged");
      break;
    case absl::StatusCode::kNotFound:
      failure.set_kind("missing");
      break;
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnauthenticated:
      failure.set_kind("refused");
      break;
    default:
      failure.set_kind(prelabel::IsRetryable(status) ? "unavailable" : "internal");
  }
  const std::string name = Shown(item.name);
  const std::string message = Shown(text::StdView(status.message()));
  failure.set_message(message.find(name) == std::string::npos ? StrCat(name, ": ", message)
                                                              : message);
  return failure;
}

}  // namespace

Pipeline::Pipeline(const Head& head, Parts parts, ManifestReader manifest, const Options& options)
    : head_(head),
      parts_(parts),
      manifest_(std::move(manifest)),
      options_(options),
      window_(4 * static_cast<std::uint64_t>(options.in_flight)),
      wake_writer_(parts.io, asio::steady_timer::time_point::max()),
      wake_workers_(parts.io, asio::steady_timer::time_point::max()),
      last_sync_(absl::Now()) {
  source_.works = [this] { return SourceWorks(); };
  services_.works = [this] { return ServicesWork(); };
}

absl::Status Pipeline::Run() {
  const auto rethrow = [](const std::exception_ptr& error) {
    if (error) std::rethrow_exception(error);  // a bug: nothing here throws
  };
  asio::signal_set signals(parts_.io, SIGINT, SIGTERM);
  signals.async_wait([this](const boost::system::error_code& error, int) {
    if (!error) End(absl::CancelledError("stopped by a signal"));
  });
  workers_ = options_.in_flight;
  for (int i = 0; i < options_.in_flight; ++i) asio::co_spawn(parts_.io, Worker(), rethrow);
  asio::co_spawn(parts_.io, Writer(), rethrow);
  asio::co_spawn(parts_.io, TellProgress(), rethrow);
  parts_.io.restart();
  while (!ended_) parts_.io.run_one();
  // What is in flight is dropped with its coroutines, when the io_context goes.
  parts_.io.stop();
  const absl::Status synced = parts_.journal.Sync();
  parts_.reporter.Progress(parts_.journal.totals(), head_.listing.images);
  return status_.ok() ? synced : status_;
}

void Pipeline::End(absl::Status status) {
  if (status_.ok()) status_ = std::move(status);
  ended_ = true;
}

awaitable<void> Pipeline::Pause(absl::Duration duration) {
  asio::steady_timer timer(parts_.io, absl::ToChronoMilliseconds(duration));
  boost::system::error_code ignored;
  auto waiting = timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  co_await std::move(waiting);
}

awaitable<void> Pipeline::TellProgress() {
  for (;;) {
    parts_.reporter.Progress(parts_.journal.totals(), head_.listing.images);
    auto pausing = Pause(kTellEvery);
    co_await std::move(pausing);
  }
}

awaitable<void> Pipeline::Worker() {
  for (;;) {
    const ManifestReader::Place begun = manifest_.place();
    if (begun.index - parts_.journal.place().index >= window_) {
      boost::system::error_code ignored;
      auto waiting = wake_workers_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
      co_await std::move(waiting);
      continue;
    }
    absl::StatusOr<std::optional<Item>> item = manifest_.Next();
    if (!item.ok()) {
      End(item.status());
      co_return;
    }
    if (!*item) break;
    Done done{.item = **std::move(item), .record = {}, .next = manifest_.place()};
    auto processing = Process(done.item);
    std::optional<Record> record = co_await std::move(processing);
    if (!record) co_return;
    done.record = *std::move(record);
    done.record.set_index(done.item.index);
    const std::uint64_t index = done.item.index;
    done_.emplace(index, std::move(done));
    wake_writer_.cancel();
  }
  --workers_;
  wake_writer_.cancel();
}

awaitable<void> Pipeline::Writer() {
  for (;;) {
    const auto next = done_.find(parts_.journal.place().index);
    if (next == done_.end()) {
      if (workers_ == 0) break;
      boost::system::error_code ignored;
      auto waiting = wake_writer_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
      co_await std::move(waiting);
      continue;
    }
    const Done done = std::move(next->second);
    done_.erase(next);
    auto writing = Write(done);
    absl::Status status = co_await std::move(writing);
    wake_workers_.cancel();
    if (status.ok() && done.record.has_failure()) {
      parts_.reporter.Failed(done.item, done.record.failure());
      if (parts_.journal.totals().failed() > options_.max_failures) {
        status = absl::ResourceExhaustedError(
            StrCat("more than ", options_.max_failures, " images failed (--max_failures)"));
      }
    }
    if (!status.ok()) {
      End(std::move(status));
      co_return;
    }
  }
  End(absl::OkStatus());
}

awaitable<absl::Status> Pipeline::Write(const Done& done) {
  bool appended = false;
  for (;;) {
    absl::Status status;
    if (!appended) status = parts_.journal.Append(done.record, done.next);
    appended = status.ok();
    if (appended && absl::Now() - last_sync_ >= kSyncEvery) status = parts_.journal.Sync();
    if (!absl::IsResourceExhausted(status)) {
      if (status.ok()) Back(disk_);
      if (absl::Now() - last_sync_ >= kSyncEvery) last_sync_ = absl::Now();
      co_return status;
    }
    Away(disk_, status);
    auto pausing = Pause(kDiskPause);
    co_await std::move(pausing);
  }
}

void Pipeline::Away(Need& need, const absl::Status& status) {
  const absl::Time now = absl::Now();
  if (!need.away_since) need.away_since = now;
  const absl::Duration away = now - *need.away_since;
  if (!need.told && away >= kUnnoticed) {
    need.told = true;
    parts_.reporter.Waits(Shown(text::StdView(status.message())));
  }
  if (away > options_.patience) {
    End(absl::UnavailableError(
        StrCat("waited for ", absl::FormatDuration(away), " in vain: ", status.message())));
  }
}

void Pipeline::Back(Need& need) {
  if (!need.away_since) return;
  if (need.told) parts_.reporter.GoesOn(absl::Now() - *need.away_since);
  need.away_since.reset();
  need.told = false;
}

awaitable<bool> Pipeline::SourceWorks() {
  if (!last_loaded_) co_return false;
  const Item item = *last_loaded_;
  auto loading = parts_.images.Load(item);
  const absl::StatusOr<backends::ImageRef> image = co_await std::move(loading);
  co_return image.ok();
}

awaitable<bool> Pipeline::ServicesWork() {
  // They are asked once a second.
  co_return parts_.work.ServicesWork();
}

template <typename T>
awaitable<absl::StatusOr<T>> Pipeline::Patiently(
    Need& need, std::function<awaitable<absl::StatusOr<T>>()> attempt) {
  absl::Duration pause = kFirstPause;
  bool known = false;  // whether what failed would be known to be away by now
  for (int tries = 0;;) {
    // What failed although all was there may itself be what ends a service, and those in flight
    // beside it fail with it.
    const bool alone = tries > 0;
    while (alone && need.one_alone) {
      auto queueing = Pause(kFirstPause);
      co_await std::move(queueing);
    }
    if (alone) need.one_alone = true;
    bool works = false;
    if (known) {
      auto asking = need.works();
      works = co_await std::move(asking);
    }
    // Even if nothing works: of a source that was away from the beginning, nothing else than this
    // tells that it is back.
    auto trying = attempt();
    absl::StatusOr<T> result = co_await std::move(trying);
    // An answer that isn't what was hoped for is an answer.
    const bool answered = result.ok() || !prelabel::IsRetryable(result.status());
    // Aborted: it isn't the image that is at fault.
    const bool its_own = !answered && works && !absl::IsAborted(result.status());
    const bool given_up = its_own && ++tries == kTries;
    if (answered) Back(need);
    if (answered || given_up) {
      if (alone) need.one_alone = false;
      co_return result;
    }
    Away(need, result.status());
    auto pausing = Pause(pause);
    co_await std::move(pausing);
    if (alone) need.one_alone = false;
    known = pause >= kUnnoticed;
    pause = std::min(2 * pause, kLongestPause);
  }
}

awaitable<std::optional<Pipeline::Record>> Pipeline::Process(const Item& item) {
  const auto failed = [&item](const absl::Status& status) {
    Record record;
    *record.mutable_failure() = ToFailure(status, item);
    return record;
  };
  std::function<awaitable<absl::StatusOr<backends::ImageRef>>()> load = [this, &item] {
    return parts_.images.Load(item);
  };
  auto loading = Patiently<backends::ImageRef>(source_, std::move(load));
  const absl::StatusOr<backends::ImageRef> image = co_await std::move(loading);
  if (absl::IsFailedPrecondition(image.status())) End(image.status());
  if (ended_) co_return std::nullopt;
  if (!image.ok()) co_return failed(image.status());
  last_loaded_ = item;
  std::function<awaitable<absl::StatusOr<Record>>()> work = [this, &image] { return Do(*image); };
  auto working = Patiently<Record>(services_, std::move(work));
  absl::StatusOr<Record> record = co_await std::move(working);
  if (ended_) co_return std::nullopt;
  if (!record.ok()) co_return failed(record.status());
  co_return *std::move(record);
}

awaitable<absl::StatusOr<Pipeline::Record>> Pipeline::Do(backends::ImageRef image) {
  auto working = parts_.work.Do(std::move(image));
  absl::StatusOr<Record> record = co_await std::move(working);
  if (absl::IsAborted(record.status())) {
    if (absl::Status other = parts_.work.Check(); !other.ok()) End(std::move(other));
  }
  co_return record;
}

}  // namespace bulk
