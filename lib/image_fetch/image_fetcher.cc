#include "image_fetch/image_fetcher.h"

#include <absl/status/status.h>
#include <absl/strings/ascii.h>
#include <absl/strings/escaping.h>
#include <absl/strings/match.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <cstdlib>
#include <deque>
#include <exception>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>

#include "hash/sha256.h"
#include "http_client/address_policy.h"
#include "http_client/detached_threads.h"
#include "http_client/network.h"
#include "http_client/transfer.h"
#include "http_client/url.h"
#include "image_fetch/image_cache.h"
#include "image_fetch/image_source.h"
#include "label_studio_api/label_studio_tokens.h"
#include "serving/file_access.h"
#include "text/str_cat.h"
#include "text/url.h"
#include "vision/image_codec.h"

namespace image_fetch {
namespace {

template <typename T>
using Awaitable = boost::asio::awaitable<T>;

// What stays wrong for a while whoever asks.
bool IsLasting(const absl::Status& status) {
  return absl::IsNotFound(status) || absl::IsInvalidArgument(status);
}

bool IsRedirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

// A file below `root` (canonical), by a path from outside.
absl::StatusOr<std::string> ReadLocalFile(const std::string& root, const std::string& path,
                                          std::int64_t max_bytes) {
  const std::string shown = text::StrCat("local file '", http_client::RedactUri(path), "'");
  const absl::Status outside = absl::PermissionDeniedError(
      text::StrCat(shown, " leads out of --local_files_root, where nothing is read"));
  if (path.find('\0') != std::string::npos) {
    return absl::InvalidArgumentError(text::StrCat(shown, " has a zero byte in its name"));
  }
  for (std::size_t at = 0; at <= path.size();) {
    const std::size_t end = std::min(path.find('/', at), path.size());
    if (path.substr(at, end - at) == "..") return outside;
    at = end + 1;
  }
  // Also a name with a slash in front is one below the root.
  const std::size_t start = std::min(path.find_first_not_of('/'), path.size());
  const absl::StatusOr<serving::FileBelow> file =
      serving::FileBelow::Open(root, path.substr(start));
  const absl::StatusOr<std::string> bytes =
      file.ok() ? file->Read(max_bytes) : absl::StatusOr<std::string>(file.status());
  switch (bytes.status().code()) {
    case absl::StatusCode::kOk:
      return bytes;
    case absl::StatusCode::kOutOfRange:
      return outside;
    case absl::StatusCode::kNotFound:
      return absl::NotFoundError(text::StrCat(shown, " is not below --local_files_root"));
    default:
      return absl::Status(bytes.status().code(),
                          text::StrCat(shown, ": ", text::StdView(bytes.status().message())));
  }
}

// `uri`: whose bytes these are, for errors.
absl::StatusOr<std::shared_ptr<const FetchedImage>> MakeImage(const std::string& uri,
                                                              std::string bytes,
                                                              const vision::ImageLimits& limits) {
  const absl::StatusOr<vision::ImageHeader> header = vision::ReadImageHeader(bytes, limits);
  if (!header.ok()) {
    return absl::Status(
        header.status().code(),
        text::StrCat(http_client::RedactUri(uri), ": ", text::StdView(header.status().message())));
  }
  auto image = std::make_shared<FetchedImage>();
  image->bytes = std::move(bytes);
  image->image_id = hash::Sha256Hex(image->bytes);
  image->size = header->size;
  return std::shared_ptr<const FetchedImage>(std::move(image));
}

// "https://bucket.s3.region.amazonaws.com/a%20b.jpg", or below the custom endpoint.
absl::StatusOr<std::string> S3Url(const http_client::S3Access& s3, std::string_view uri) {
  const std::string_view rest = uri.substr(uri.find("://") + 3);
  const std::size_t slash = rest.find('/');
  const std::string_view bucket = rest.substr(0, slash);
  const std::string_view key = slash == std::string_view::npos ? "" : rest.substr(slash + 1);
  const bool plain = !bucket.empty() && std::all_of(bucket.begin(), bucket.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '.' || c == '_';
  });
  if (!plain || key.empty()) {
    return absl::InvalidArgumentError(
        text::StrCat("'", http_client::RedactUri(uri), "' is not of the form s3://bucket/key"));
  }
  const std::string escaped = text::PercentEncode(key, "/");
  if (!s3.endpoint.empty()) {
    return text::StrCat(text::WithoutTrailingSlashes(s3.endpoint), "/", bucket, "/", escaped);
  }
  // A dot in the name would not match the certificate's wildcard.
  const bool as_host = bucket.find_first_of("._") == std::string_view::npos &&
                       absl::AsciiStrToLower(text::View(bucket)) == text::View(bucket);
  if (as_host) {
    return text::StrCat("https://", bucket, ".s3.", s3.region, ".amazonaws.com/", escaped);
  }
  return text::StrCat("https://s3.", s3.region, ".amazonaws.com/", bucket, "/", escaped);
}

// One image on its way; everybody who asked for it meanwhile waits for it.
struct Flight {
  struct Waiter {
    ImageFetcher::Callback done;
    absl::Time deadline;
  };
  std::string key;
  ImageSource source;
  ImageRequest request;                    // of the first who asked
  std::optional<ImageCache::Entry> stale;  // what the cache has, to be asked about
  std::unordered_map<ImageFetcher::FetchId, Waiter> waiters;  // none left: the fetch is given up
  bool started = false;
  std::string lane;     // whose delay it shares: the host's that is asked
  absl::Time deadline;  // set at the start
  http_client::TransferLoop::TransferId exchange = 0;  // the one that runs just now
};
using FlightPtr = std::shared_ptr<Flight>;

// What a server or a file gave. `not_modified`: the cached one still holds.
struct Loaded {
  std::string bytes;
  std::shared_ptr<const FetchedImage> image;  // null: yet to be made of `bytes`
  Validators validators;
  bool not_modified = false;
};

class CurlImageFetcher : public ImageFetcher {
 public:
  CurlImageFetcher(Options options, http_client::AddressPolicy policy)
      : options_(std::move(options)),
        policy_(std::move(policy)),
        cache_(options_.cache_bytes, options_.fresh_for, options_.negative_ttl),
        reading_(2 * options_.max_concurrent),
        hashing_(2 * options_.max_concurrent),
        tokens_(loop_, options_.clock),
        loop_(policy_, options_.network) {
    limits_.max_bytes = options_.max_bytes;
    limits_.max_pixels = options_.max_pixels;
    loop_.Post([this] { loop_.SetTick([this] { return ExpireWaiters(); }); });
  }

  ~CurlImageFetcher() override {
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
    const absl::StatusOr<ImageSource> source = Classify(request);
    if (!source.ok() || source->kind == SourceKind::kData) return nullptr;
    std::optional<ImageCache::Entry> cached =
        cache_.Find(KeyOf(request, *source), options_.clock());
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
  // These four on any thread.
  absl::StatusOr<ImageSource> Classify(const ImageRequest& request) const;
  // Label Studio is asked where it is, not the store.
  bool IsPresigned(const ImageSource& source) const;
  // Of all that the answer depends on; a digest, so that it is short and no token lies about.
  std::string KeyOf(const ImageRequest& request, const ImageSource& source) const;
  std::string LaneOf(const ImageRequest& request, const ImageSource& source) const;

  // All of these run on the loop's thread.

  void Start(FetchId id, ImageRequest request, Callback done);
  void StartNext();
  void EndWaiter(FetchId id, absl::Status status);
  // Called on every turn of the loop; the next deadline.
  absl::Time ExpireWaiters();
  void Land(const FlightPtr& flight, absl::StatusOr<Loaded> loaded);

  Awaitable<void> Run(FlightPtr flight);
  Awaitable<absl::StatusOr<Loaded>> Load(FlightPtr flight);
  // Makes the image of what `read` returns, on one of `threads`. `read` owns what it uses.
  Awaitable<Result> MakeElsewhere(FlightPtr flight, http_client::DetachedThreads& threads,
                                  absl::AnyInvocable<absl::StatusOr<std::string>() &&> read);
  // From `url`, through redirects; with Label Studio's trust and token as long as they stay there.
  Awaitable<absl::StatusOr<Loaded>> Get(FlightPtr flight, std::string url);
  Awaitable<absl::StatusOr<Loaded>> GetSigned(FlightPtr flight);

  http_client::HttpRequest MakeRequest(const Flight& flight, const std::string& url) const;
  absl::StatusOr<std::string> PresignUrl(const ImageRequest& request) const;
  absl::Status StatusOf(const Flight& flight, const std::string& url, bool with_token,
                        const http_client::HttpResponse& response) const;

  const Options options_;
  const http_client::AddressPolicy policy_;
  std::atomic<FetchId> next_id_{1};
  std::atomic<std::int64_t> cache_hits_{0}, cache_misses_{0}, negative_hits_{0}, revalidated_{0},
      cache_bytes_{0}, in_flight_{0};

  ImageCache cache_;  // used by any thread; what follows, by the loop's
  bool closed_ = false;
  std::unordered_map<std::string, FlightPtr> flights_;  // by key; those with waiters
  std::unordered_map<FetchId, FlightPtr> waiting_;      // whom each waits for
  std::set<std::pair<absl::Time, FetchId>> deadlines_;  // of all in waiting_
  std::deque<FlightPtr> queue_;                         // not started
  int running_ = 0;                                     // started flights
  std::unordered_map<std::string, int> lanes_;          // how many of these are in each lane
  vision::ImageLimits limits_;
  http_client::DetachedThreads reading_;  // local files; some of them may hang
  http_client::DetachedThreads hashing_;  // and decoding of data URIs
  label_studio_api::LabelStudioTokens tokens_;
  http_client::TransferLoop loop_;  // last: its thread uses all the others
};

absl::StatusOr<ImageSource> CurlImageFetcher::Classify(const ImageRequest& request) const {
  return ClassifyUri(request.uri, request.label_studio, !options_.local_files_root.empty());
}

bool CurlImageFetcher::IsPresigned(const ImageSource& source) const {
  return source.kind == SourceKind::kObjectStore &&
         !(options_.s3.enabled() && absl::StartsWithIgnoreCase(source.location, "s3:"));
}

std::string CurlImageFetcher::KeyOf(const ImageRequest& request, const ImageSource& source) const {
  std::string all = text::StrCat(static_cast<int>(source.kind), "\n", source.location);
  const bool presigned = IsPresigned(source);
  // What one token may see, another may not, and a site that the operator didn't name may not be at
  // every address. URLs are escaped, so that no part has a line break in it but for a store's,
  // whose length tells where it ends.
  if (presigned || source.kind == SourceKind::kLabelStudio) {
    const label_studio_api::LabelStudioSite& site = request.label_studio;
    text::StrAppend(&all, "\n", source.location.size(), "\n", site.url, "\n",
                    site.trusted ? "1" : "0", "\n", presigned ? request.task_id : 0, "\n",
                    site.Token());
  }
  return hash::Sha256Hex(all);
}

std::string CurlImageFetcher::LaneOf(const ImageRequest& request, const ImageSource& source) const {
  switch (source.kind) {
    case SourceKind::kData:
      return "data";
    case SourceKind::kLocalFile:
      return "file";
    case SourceKind::kObjectStore:
      return IsPresigned(source) ? http_client::Origin(request.label_studio.url) : "s3";
    case SourceKind::kHttp:
    case SourceKind::kLabelStudio:
      break;
  }
  return http_client::Origin(source.location);
}

void CurlImageFetcher::Start(FetchId id, ImageRequest request, Callback done) {
  if (closed_) return std::move(done)(absl::CancelledError("the gateway is stopping"));
  absl::StatusOr<ImageSource> source = Classify(request);
  if (!source.ok()) return std::move(done)(source.status());
  // The image in a data URI is as close as a cache's, and comes once.
  const bool is_data = source->kind == SourceKind::kData;
  const std::string key = is_data ? text::StrCat("data\n", id) : KeyOf(request, *source);
  const absl::Time now = options_.clock();
  if (const std::optional<absl::Status> failure = cache_.FindFailure(key, now)) {
    ++negative_hits_;
    return std::move(done)(*failure);
  }
  std::optional<ImageCache::Entry> cached = cache_.Find(key, now);
  if (cached && cached->fresh) {
    ++cache_hits_;
    return std::move(done)(std::move(cached->image));
  }

  FlightPtr& slot = flights_[key];
  const bool is_new = slot == nullptr;
  if (is_new) {
    if (!is_data) ++cache_misses_;
    slot = std::make_shared<Flight>();
    slot->key = key;
    slot->lane = LaneOf(request, *source);
    slot->source = *std::move(source);
    slot->request = request;
    slot->stale = std::move(cached);
  }
  const FlightPtr flight = slot;
  flight->waiters.emplace(id, Flight::Waiter{std::move(done), request.deadline});
  waiting_[id] = flight;
  deadlines_.emplace(request.deadline, id);
  if (is_new) queue_.push_back(flight);
  StartNext();
}

void CurlImageFetcher::StartNext() {
  // A lane takes no more places than it leaves free, so that however many hosts hang, the next one
  // finds a place.
  const auto has_room = [this](const FlightPtr& flight) {
    const auto lane = lanes_.find(flight->lane);
    return (lane == lanes_.end() ? 0 : lane->second) < options_.max_concurrent - running_;
  };
  for (;;) {
    const auto next = running_ < options_.max_concurrent
                          ? std::find_if(queue_.begin(), queue_.end(), has_room)
                          : queue_.end();
    if (next == queue_.end()) return;
    const FlightPtr flight = *next;
    queue_.erase(next);
    flight->started = true;
    ++lanes_[flight->lane];
    flight->deadline = absl::Now() + options_.timeout;
    ++running_;
    in_flight_ = running_;
    boost::asio::co_spawn(loop_.context(), Run(flight), [](const std::exception_ptr& error) {
      if (error) std::rethrow_exception(error);  // a bug: nothing in Run throws
    });
  }
}

void CurlImageFetcher::EndWaiter(FetchId id, absl::Status status) {
  const auto it = waiting_.find(id);
  if (it == waiting_.end()) return;
  const FlightPtr flight = std::move(it->second);
  waiting_.erase(it);
  const auto waiter = flight->waiters.find(id);
  Callback done = std::move(waiter->second.done);
  deadlines_.erase({waiter->second.deadline, id});
  flight->waiters.erase(waiter);
  if (flight->waiters.empty()) {
    // Whoever asks next starts anew.
    flights_.erase(flight->key);
    queue_.erase(std::remove(queue_.begin(), queue_.end(), flight), queue_.end());
    if (flight->exchange != 0) loop_.Abort(flight->exchange);
  }
  std::move(done)(std::move(status));
}

absl::Time CurlImageFetcher::ExpireWaiters() {
  while (!deadlines_.empty() && deadlines_.begin()->first <= absl::Now()) {
    const FetchId id = deadlines_.begin()->second;
    const std::string uri = http_client::RedactUri(waiting_.at(id)->request.uri);
    EndWaiter(id, absl::DeadlineExceededError(text::StrCat(uri, " did not arrive in time")));
  }
  return deadlines_.empty() ? absl::InfiniteFuture() : deadlines_.begin()->first;
}

Awaitable<void> CurlImageFetcher::Run(FlightPtr flight) {
  absl::StatusOr<Loaded> loaded = co_await Load(flight);
  if (loaded.ok() && !loaded->not_modified && loaded->image == nullptr) {
    absl::AnyInvocable<absl::StatusOr<std::string>()&&> read =
        [bytes = std::move(loaded->bytes)]() mutable -> absl::StatusOr<std::string> {
      return std::move(bytes);
    };
    Result image = co_await MakeElsewhere(flight, hashing_, std::move(read));
    if (image.ok()) {
      loaded->image = *std::move(image);
    } else {
      loaded = image.status();
    }
  }
  Land(flight, std::move(loaded));
  if (--lanes_[flight->lane] == 0) lanes_.erase(flight->lane);
  --running_;
  in_flight_ = running_;
  StartNext();
}

void CurlImageFetcher::Land(const FlightPtr& flight, absl::StatusOr<Loaded> loaded) {
  Result result = std::shared_ptr<const FetchedImage>();
  if (!loaded.ok()) {
    result = loaded.status();
  } else if (loaded->not_modified) {
    ++revalidated_;
    cache_.Refresh(flight->key, options_.clock());
    result = flight->stale->image;
  } else {
    result = std::move(loaded->image);
    if (flight->source.kind != SourceKind::kData) {
      cache_.Insert(flight->key, *result, std::move(loaded->validators), options_.clock());
    }
  }
  // A local file can be put right at any moment, and costs nothing to look for.
  if (IsLasting(result.status()) && flight->source.kind != SourceKind::kLocalFile &&
      flight->source.kind != SourceKind::kData) {
    cache_.InsertFailure(flight->key, result.status(), options_.clock());
  }
  cache_bytes_ = cache_.bytes();
  if (flight->waiters.empty()) return;
  flights_.erase(flight->key);
  for (auto& [id, waiter] : flight->waiters) {
    waiting_.erase(id);
    deadlines_.erase({waiter.deadline, id});
    std::move(waiter.done)(result);
  }
  flight->waiters.clear();
}

Awaitable<absl::StatusOr<Loaded>> CurlImageFetcher::Load(FlightPtr flight) {
  switch (flight->source.kind) {
    case SourceKind::kLocalFile:
    case SourceKind::kData: {
      const bool is_file = flight->source.kind == SourceKind::kLocalFile;
      absl::AnyInvocable<absl::StatusOr<std::string>()&&> read =
          [is_file, root = options_.local_files_root, location = flight->source.location,
           max_bytes = options_.max_bytes]() -> absl::StatusOr<std::string> {
        return is_file ? ReadLocalFile(root, location, max_bytes)
                       : DecodeDataUri(location, max_bytes);
      };
      Result image = co_await MakeElsewhere(flight, is_file ? reading_ : hashing_, std::move(read));
      if (!image.ok()) co_return image.status();
      Loaded loaded;
      loaded.image = *std::move(image);
      co_return loaded;
    }
    case SourceKind::kObjectStore: {
      if (!IsPresigned(flight->source)) {
        absl::StatusOr<Loaded> loaded = co_await GetSigned(flight);
        co_return loaded;
      }
      const absl::StatusOr<std::string> url = PresignUrl(flight->request);
      if (!url.ok()) co_return url.status();
      absl::StatusOr<Loaded> loaded = co_await Get(flight, *url);
      co_return loaded;
    }
    case SourceKind::kHttp:
    case SourceKind::kLabelStudio: {
      absl::StatusOr<Loaded> loaded = co_await Get(flight, flight->source.location);
      co_return loaded;
    }
  }
  co_return absl::InternalError("unreachable");
}

Awaitable<ImageFetcher::Result> CurlImageFetcher::MakeElsewhere(
    FlightPtr flight, http_client::DetachedThreads& threads,
    absl::AnyInvocable<absl::StatusOr<std::string>() &&> read) {
  const auto made = std::make_shared<Result>(absl::InternalError("not made"));
  absl::AnyInvocable<void()&&> work = [made, uri = flight->request.uri, limits = limits_,
                                       read = std::move(read)]() mutable {
    absl::StatusOr<std::string> bytes = std::move(read)();
    *made = bytes.ok() ? MakeImage(uri, *std::move(bytes), limits) : bytes.status();
  };
  absl::Status ran =
      co_await loop_.Offload(threads, std::move(work), flight->deadline, &flight->exchange);
  const std::string shown = http_client::RedactUri(flight->request.uri);
  if (absl::IsDeadlineExceeded(ran)) {
    co_return absl::DeadlineExceededError(text::StrCat(shown, " was not read in time"));
  }
  if (absl::IsResourceExhausted(ran)) {
    co_return absl::UnavailableError(
        text::StrCat(shown, " is not read now: too many reads have not come back"));
  }
  if (!ran.ok()) co_return ran;
  co_return *made;
}

http_client::HttpRequest CurlImageFetcher::MakeRequest(const Flight& flight,
                                                       const std::string& url) const {
  http_client::HttpRequest request;
  request.url = url;
  request.deadline = flight.deadline;
  request.connect_timeout = options_.connect_timeout;
  request.max_bytes = options_.max_bytes;
  if (flight.stale) {
    const Validators& validators = flight.stale->validators;
    if (!validators.etag.empty()) {
      request.headers.push_back("If-None-Match: " + validators.etag);
    } else if (!validators.last_modified.empty()) {
      request.headers.push_back("If-Modified-Since: " + validators.last_modified);
    }
  }
  return request;
}

Awaitable<absl::StatusOr<Loaded>> CurlImageFetcher::Get(FlightPtr flight, std::string url) {
  const label_studio_api::LabelStudioSite& site = flight->request.label_studio;
  bool at_home = flight->source.kind != SourceKind::kHttp;
  for (int redirects = 0; redirects <= options_.max_redirects; ++redirects) {
    if (flight->waiters.empty()) co_return absl::CancelledError("the fetch was cancelled");
    http_client::HttpRequest request = MakeRequest(*flight, url);
    const label_studio_api::Permit permit =
        at_home ? label_studio_api::PermitFor(site, url) : label_studio_api::Permit{};
    at_home = permit.on_site;
    request.trusted = permit.trusted;
    auto exchange = permit.token ? tokens_.Perform(site, std::move(request), &flight->exchange)
                                 : loop_.Perform(std::move(request), &flight->exchange);
    absl::StatusOr<http_client::HttpResponse> response = co_await std::move(exchange);
    if (absl::IsPermissionDenied(response.status()) && at_home)
      co_return label_studio_api::NotNamed(site);
    if (!response.ok()) co_return response.status();
    if (IsRedirect(response->status) && !response->redirect_url.empty()) {
      if (permit.token && absl::StrContains(response->redirect_url, "/user/login")) {
        response->status = 401;
        co_return StatusOf(*flight, url, permit.token, *response);
      }
      absl::StatusOr<std::string> next = http_client::NormalizeUrl(response->redirect_url);
      if (!next.ok()) {
        co_return absl::InvalidArgumentError(text::StrCat(
            http_client::RedactUri(flight->request.uri), " redirects to '",
            http_client::RedactUri(response->redirect_url), "', which is not a valid URL"));
      }
      url = *std::move(next);
      if (const std::optional<std::string> path = label_studio_api::PathOnSite(site, url);
          at_home && path) {
        url = text::StrCat(site.url, *path);  // Label Studio may redirect to an alias of its own
      }
      continue;
    }
    if (response->status != 200 && !(response->status == 304 && flight->stale)) {
      co_return StatusOf(*flight, url, permit.token, *response);
    }
    Loaded loaded;
    loaded.not_modified = response->status == 304;
    loaded.bytes = std::move(response->body);
    loaded.validators = {std::move(response->etag), std::move(response->last_modified)};
    co_return loaded;
  }
  co_return absl::InvalidArgumentError(text::StrCat(http_client::RedactUri(flight->request.uri),
                                                    " redirects more than ", options_.max_redirects,
                                                    " times"));
}

Awaitable<absl::StatusOr<Loaded>> CurlImageFetcher::GetSigned(FlightPtr flight) {
  const absl::StatusOr<std::string> url = S3Url(options_.s3, flight->source.location);
  if (!url.ok()) co_return url.status();
  http_client::HttpRequest request = MakeRequest(*flight, *url);
  request.trusted = !options_.s3.endpoint.empty();  // the operator's own choice
  request.sign_for = &options_.s3;
  absl::StatusOr<http_client::HttpResponse> response =
      co_await loop_.Perform(std::move(request), &flight->exchange);
  if (!response.ok()) co_return response.status();
  const std::string shown = http_client::RedactUri(flight->request.uri);
  if (IsRedirect(response->status) || response->status == 400) {
    if (!response->bucket_region.empty() && response->bucket_region != options_.s3.region) {
      co_return absl::FailedPreconditionError(
          text::StrCat(shown, " is in the region ", response->bucket_region,
                       ", the gateway asks in ", options_.s3.region, "; set AWS_REGION"));
    }
  }
  if (response->status == 401 || response->status == 403) {
    co_return absl::PermissionDeniedError(
        text::StrCat(shown, ": the storage refuses the gateway's keys with ", response->status,
                     "; check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and the bucket's policy"));
  }
  if (response->status != 200 && !(response->status == 304 && flight->stale)) {
    co_return StatusOf(*flight, flight->request.uri, /*with_token=*/false, *response);
  }
  Loaded loaded;
  loaded.not_modified = response->status == 304;
  loaded.bytes = std::move(response->body);
  loaded.validators = {std::move(response->etag), std::move(response->last_modified)};
  co_return loaded;
}

absl::StatusOr<std::string> CurlImageFetcher::PresignUrl(const ImageRequest& request) const {
  const std::string shown = http_client::RedactUri(request.uri);
  if (request.label_studio.url.empty()) {
    return absl::FailedPreconditionError(
        text::StrCat(shown,
                     " is in an object store; start the gateway with --label_studio_url (and a "
                     "token), or for s3:// with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"));
  }
  if (request.task_id == 0) {
    return absl::FailedPreconditionError(
        text::StrCat(shown, " can only be had through Label Studio, which needs the task's id"));
  }
  // Label Studio wants the URL-safe alphabet with padding.
  std::string encoded = absl::Base64Escape(absl::StripAsciiWhitespace(request.uri));
  std::replace(encoded.begin(), encoded.end(), '+', '-');
  std::replace(encoded.begin(), encoded.end(), '/', '_');
  return text::StrCat(request.label_studio.url, "/tasks/", request.task_id,
                      "/presign/?fileuri=", text::PercentEncode(encoded, ""));
}

absl::Status CurlImageFetcher::StatusOf(const Flight& flight, const std::string& url,
                                        bool with_token,
                                        const http_client::HttpResponse& response) const {
  const int status = response.status;
  const std::string shown = http_client::RedactUri(flight.request.uri);
  // Where the answer came from, if that isn't where the task pointed.
  const std::string where = http_client::Origin(url) == http_client::Origin(flight.request.uri) ||
                                    http_client::Origin(url).empty()
                                ? ""
                                : text::StrCat(" (asked at ", http_client::Origin(url), ")");
  const bool object_store = flight.source.kind == SourceKind::kObjectStore;
  if (with_token && status == 401) {
    const label_studio_api::LabelStudioSite& site = flight.request.label_studio;
    // A token needs the address of which the operator says that it may go there.
    const std::string_view flags =
        site.trusted ? "--label_studio_api_key" : "--label_studio_url and --label_studio_api_key";
    switch (label_studio_api::ClassifyToken(site.Token())) {
      case label_studio_api::TokenKind::kNone:
        return absl::UnauthenticatedError(text::StrCat(shown, ": Label Studio wants a token", where,
                                                       "; start the gateway with ", flags));
      case label_studio_api::TokenKind::kLegacy:
        return absl::UnauthenticatedError(
            text::StrCat(shown, ": Label Studio refused the legacy token", where,
                         "; these are off by default: make a personal access token under Account & "
                         "Settings and set ",
                         flags));
      default:
        return absl::UnauthenticatedError(
            text::StrCat(shown, ": Label Studio refused the token", where,
                         "; make a new one under Account & Settings and set ", flags));
    }
  }
  if (status == 401 || status == 403) {
    return absl::PermissionDeniedError(text::StrCat(shown, " is not accessible: ", status, where));
  }
  if (status == 404 || status == 410) {
    return absl::NotFoundError(
        text::StrCat(shown, " was not found: ", status, where,
                     with_token && object_store
                         ? "; connect a storage that has it to the project in Label Studio"
                         : ""));
  }
  if (status == 408 || status == 425 || status == 429 || status >= 500) {
    return absl::UnavailableError(text::StrCat(
        shown, " can't be had now: ", status, where,
        with_token && status == 500 ? "; Label Studio says so for a missing upload too" : ""));
  }
  return absl::InvalidArgumentError(text::StrCat(shown, " can't be fetched: ", status, where));
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
  return std::make_unique<CurlImageFetcher>(std::move(options), *std::move(policy));
}

}  // namespace image_fetch
