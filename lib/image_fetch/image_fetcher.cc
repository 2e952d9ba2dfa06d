#include "image_fetch/image_fetcher.h"

#include <absl/status/status.h>
#include <sys/stat.h>

#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <cstdlib>
#include <exception>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>

#include "http_client/address_policy.h"
#include "http_client/detached_threads.h"
#include "http_client/network.h"
#include "http_client/transfer.h"
#include "http_client/url.h"
#include "image_fetch/download.h"
#include "image_fetch/fetch_queue.h"
#include "image_fetch/image_cache.h"
#include "image_fetch/read_image.h"
#include "image_fetch/sources.h"
#include "label_studio_api/label_studio_tokens.h"
#include "text/str_cat.h"

namespace image_fetch {
namespace {

using boost::asio::awaitable;
using DownloadPtr = std::shared_ptr<Download>;

// How long a failure is the same whoever asks; zero if the next request may fare better.
absl::Duration RememberedFor(const absl::Status& status, const ImageFetcher::Options& options) {
  if (absl::IsNotFound(status)) return options.missing_for;
  if (absl::IsInvalidArgument(status)) return options.unusable_for;
  return absl::ZeroDuration();
}

// The cache, and who waits for which download. What to get and how is the sources' business, when
// is the queue's.
class CachingImageFetcher : public ImageFetcher {
 public:
  CachingImageFetcher(Options options, http_client::AddressPolicy policy)
      : options_(std::move(options)),
        policy_(std::move(policy)),
        sources_(MakeImageSources(options_)),
        cache_(options_.cache_bytes, options_.fresh_for),
        queue_(options_.max_concurrent),
        file_threads_(2 * options_.max_concurrent),
        image_threads_(2 * options_.max_concurrent),
        tokens_(loop_, options_.clock),
        loop_(policy_, options_.network) {
    loop_.Post([this] { loop_.SetTick([this] { return ExpireWaiters(); }); });
  }

  ~CachingImageFetcher() override {
    loop_.Post([this] {
      closed_ = true;
      while (!waiting_.empty()) {
        EndWaiter(waiting_.begin()->first, absl::CancelledError("the gateway is stopping"));
      }
    });
    // Then loop_, the last member, ends what runs and joins its thread.
  }

  FetchId Fetch(ImageRequest request, Callback done) override {
    const FetchId id = next_id_.fetch_add(1);
    loop_.Post([this, id, request = std::move(request), done = std::move(done)]() mutable {
      Start(id, std::move(request), std::move(done));
    });
    return id;
  }

  std::shared_ptr<const FetchedImage> Find(const ImageRequest& request) override {
    const absl::StatusOr<ImageLocation> location = Locate(sources_, request);
    if (!location.ok() || location->cache_key.empty()) return nullptr;
    std::optional<ImageCache::Entry> cached = cache_.Find(location->cache_key, options_.clock());
    if (!cached || !cached->fresh) return nullptr;
    ++cache_hits_;
    return std::move(cached->image);
  }

  void Cancel(FetchId id) override {
    loop_.Post([this, id] { EndWaiter(id, absl::CancelledError("the fetch was cancelled")); });
  }

  Stats stats() const override {
    Stats stats;
    stats.cache_hits = cache_hits_;
    stats.cache_misses = cache_misses_;
    stats.negative_hits = negative_hits_;
    stats.revalidated = revalidated_;
    stats.cache_bytes = cache_bytes_;
    stats.transfers = loop_.transfers();
    stats.in_flight = in_flight_;
    return stats;
  }

 private:
  // All of these run on the loop's thread.

  void Start(FetchId id, ImageRequest request, Callback done);
  void StartNext();
  void EndWaiter(FetchId id, absl::Status status);
  // Called on every turn of the loop; the next deadline.
  absl::Time ExpireWaiters();
  awaitable<void> Run(DownloadPtr download);
  void Finish(const DownloadPtr& download, absl::StatusOr<LoadedImage> loaded);

  const Options options_;
  const http_client::AddressPolicy policy_;
  const ImageSources sources_;
  std::atomic<FetchId> next_id_{1};
  std::atomic<std::int64_t> cache_hits_{0}, cache_misses_{0}, negative_hits_{0}, revalidated_{0},
      cache_bytes_{0}, in_flight_{0};

  ImageCache cache_;  // used by any thread; what follows, by the loop's
  bool closed_ = false;
  FetchQueue queue_;
  std::unordered_map<std::string, DownloadPtr> downloads_;  // by key; those with waiters
  std::unordered_map<FetchId, DownloadPtr> waiting_;        // what each waits for
  std::set<std::pair<absl::Time, FetchId>> deadlines_;      // of all in waiting_
  http_client::DetachedThreads file_threads_;
  http_client::DetachedThreads image_threads_;
  label_studio_api::LabelStudioTokens tokens_;
  FetchContext context_{options_, loop_, tokens_, file_threads_, image_threads_};
  http_client::TransferLoop loop_;  // last: its thread uses all the others
};

void CachingImageFetcher::Start(FetchId id, ImageRequest request, Callback done) {
  if (closed_) return std::move(done)(absl::CancelledError("the gateway is stopping"));
  absl::StatusOr<ImageLocation> location = Locate(sources_, request);
  if (!location.ok()) return std::move(done)(location.status());
  const bool is_cached = !location->cache_key.empty();
  std::optional<ImageCache::Entry> cached;
  if (is_cached) {
    const absl::Time now = options_.clock();
    if (const std::optional<absl::Status> failure = cache_.FindFailure(location->cache_key, now)) {
      ++negative_hits_;
      return std::move(done)(*failure);
    }
    cached = cache_.Find(location->cache_key, now);
    if (cached && cached->fresh) {
      ++cache_hits_;
      return std::move(done)(std::move(cached->image));
    }
  }

  const std::string key = is_cached ? location->cache_key : text::StrCat("alone\n", id);
  DownloadPtr& slot = downloads_[key];
  const bool is_new = slot == nullptr;
  if (is_new) {
    if (is_cached) ++cache_misses_;
    slot = std::make_shared<Download>();
    slot->key = key;
    slot->location = *std::move(location);
    slot->request = request;
    slot->stale = std::move(cached);
  }
  const DownloadPtr download = slot;
  download->waiters.emplace(id, Download::Waiter{std::move(done), request.deadline});
  waiting_[id] = download;
  deadlines_.emplace(request.deadline, id);
  if (is_new) queue_.Add(download);
  StartNext();
}

void CachingImageFetcher::StartNext() {
  while (const DownloadPtr download = queue_.TakeNext()) {
    download->deadline = absl::Now() + options_.timeout;
    in_flight_ = queue_.running();
    boost::asio::co_spawn(loop_.context(), Run(download), [](const std::exception_ptr& error) {
      if (error) std::rethrow_exception(error);  // a bug: nothing in Run throws
    });
  }
}

void CachingImageFetcher::EndWaiter(FetchId id, absl::Status status) {
  const auto it = waiting_.find(id);
  if (it == waiting_.end()) return;
  const DownloadPtr download = std::move(it->second);
  waiting_.erase(it);
  const auto waiter = download->waiters.find(id);
  Callback done = std::move(waiter->second.done);
  deadlines_.erase({waiter->second.deadline, id});
  download->waiters.erase(waiter);
  if (download->abandoned()) {
    // Whoever asks next starts anew.
    downloads_.erase(download->key);
    queue_.Remove(download);
    if (download->exchange != 0) loop_.Abort(download->exchange);
  }
  std::move(done)(std::move(status));
}

absl::Time CachingImageFetcher::ExpireWaiters() {
  while (!deadlines_.empty() && deadlines_.begin()->first <= absl::Now()) {
    const FetchId id = deadlines_.begin()->second;
    const std::string uri = http_client::RedactUri(waiting_.at(id)->request.uri);
    EndWaiter(id, absl::DeadlineExceededError(text::StrCat(uri, " did not arrive in time")));
  }
  return deadlines_.empty() ? absl::InfiniteFuture() : deadlines_.begin()->first;
}

awaitable<void> CachingImageFetcher::Run(DownloadPtr download) {
  auto loading = download->location.source->Load(download, context_);
  absl::StatusOr<LoadedImage> loaded = co_await std::move(loading);
  if (loaded.ok() && !loaded->not_modified && loaded->image == nullptr) {
    absl::AnyInvocable<absl::StatusOr<std::string>()&&> read =
        [bytes = std::move(loaded->bytes)]() mutable -> absl::StatusOr<std::string> {
      return std::move(bytes);
    };
    auto reading = ReadImage(download, context_, image_threads_, std::move(read));
    Result image = co_await std::move(reading);
    if (image.ok()) {
      loaded->image = *std::move(image);
    } else {
      loaded = image.status();
    }
  }
  Finish(download, std::move(loaded));
  queue_.Finish(*download);
  in_flight_ = queue_.running();
  StartNext();
}

void CachingImageFetcher::Finish(const DownloadPtr& download, absl::StatusOr<LoadedImage> loaded) {
  const std::string& cache_key = download->location.cache_key;
  Result result = std::shared_ptr<const FetchedImage>();
  if (!loaded.ok()) {
    result = loaded.status();
  } else if (loaded->not_modified) {
    ++revalidated_;
    cache_.Refresh(cache_key, options_.clock());
    result = download->stale->image;
  } else {
    result = std::move(loaded->image);
    if (!cache_key.empty()) {
      cache_.Insert(cache_key, *result, std::move(loaded->validators), options_.clock());
    }
  }
  const absl::Duration remembered_for = RememberedFor(result.status(), options_);
  if (remembered_for > absl::ZeroDuration() && !cache_key.empty() &&
      download->location.failures_last) {
    cache_.InsertFailure(cache_key, result.status(), options_.clock() + remembered_for);
  }
  cache_bytes_ = cache_.bytes();
  if (download->abandoned()) return;
  downloads_.erase(download->key);
  for (auto& [id, waiter] : download->waiters) {
    waiting_.erase(id);
    deadlines_.erase({waiter.deadline, id});
    std::move(waiter.done)(result);
  }
  download->waiters.clear();
}

}  // namespace

absl::StatusOr<std::unique_ptr<ImageFetcher>> ImageFetcher::Create(Options options) {
  if (!options.local_files_root.empty()) {
    const std::unique_ptr<char, decltype(&std::free)> real(
        realpath(options.local_files_root.c_str(), nullptr), &std::free);
    struct stat info;
    if (real == nullptr || stat(real.get(), &info) != 0 || !S_ISDIR(info.st_mode)) {
      return absl::InvalidArgumentError(text::StrCat(
          "--local_files_root=", options.local_files_root, " is not a folder that can be read"));
    }
    options.local_files_root = real.get();
  }
  absl::StatusOr<http_client::AddressPolicy> policy =
      http_client::AddressPolicy::Make(options.allowed_private, options.allow_all_private);
  if (!policy.ok()) return policy.status();
  return std::make_unique<CachingImageFetcher>(std::move(options), *std::move(policy));
}

}  // namespace image_fetch
