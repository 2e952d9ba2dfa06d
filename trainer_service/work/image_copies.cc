#include "trainer_service/work/image_copies.h"

#include <absl/strings/numbers.h>

#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <memory>
#include <mutex>
#include <system_error>
#include <utility>

#include "files/atomic_file.h"
#include "files/folder.h"
#include "files/text_file.h"
#include "hash/sha256.h"
#include "text/str_cat.h"

namespace trainer_service {
namespace {

using image_fetch::ImageFetcher;
using text::StrCat;

constexpr std::size_t kAtOnce = 8;
constexpr int kTries = 3;
constexpr std::size_t kMaxImageBytes = std::size_t{1} << 31;  // the fetcher's limit is lower

// "17" of "17" and of "17/2".
std::int64_t TaskIdOf(const dataset::Sample& sample) {
  std::int64_t id = 0;
  return absl::SimpleAtoi(sample.id.substr(0, sample.id.find('/')), &id) ? id : 0;
}

// Whether the fault may be that of a moment.
bool MayPass(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) ||
         absl::IsUnauthenticated(status);
}

// What the fetcher's thread has brought, by the sample's index.
struct Arrivals {
  std::mutex mutex;
  std::condition_variable arrived;
  std::vector<std::pair<std::size_t, ImageFetcher::Result>> results;  // guarded by mutex
};

// The fetches of some samples, a few at a time. Those that are left when it goes are cancelled.
class Fetches {
 public:
  explicit Fetches(ImageFetcher& fetcher) : fetcher_(fetcher) {}
  ~Fetches() {
    for (const auto& [index, id] : running_) fetcher_.Cancel(id);
  }

  std::size_t running() const { return running_.size(); }
  void Start(std::size_t index, image_fetch::ImageRequest request) {
    running_.emplace(index,
                     fetcher_.Fetch(std::move(request), [arrivals = arrivals_, index](auto result) {
                       const std::lock_guard lock(arrivals->mutex);
                       arrivals->results.emplace_back(index, std::move(result));
                       arrivals->arrived.notify_all();
                     }));
  }
  // What has come; waits a moment for it.
  std::vector<std::pair<std::size_t, ImageFetcher::Result>> Wait() {
    std::unique_lock lock(arrivals_->mutex);
    arrivals_->arrived.wait_for(lock, std::chrono::milliseconds(100),
                                [this] { return !arrivals_->results.empty(); });
    auto results = std::move(arrivals_->results);
    arrivals_->results.clear();
    for (const auto& [index, result] : results) running_.erase(index);
    return results;
  }

 private:
  ImageFetcher& fetcher_;
  const std::shared_ptr<Arrivals> arrivals_ = std::make_shared<Arrivals>();
  std::map<std::size_t, ImageFetcher::FetchId> running_;
};

}  // namespace

std::string ImageCopies::PathOf(const dataset::Sample& sample) const {
  return StrCat(folder_, "/", hash::Sha256Hex(sample.id));
}

absl::Status ImageCopies::Take(const dataset::Sample& sample, ImageFetcher::Result fetched) {
  const std::string path = PathOf(sample);
  failures_.erase(path);
  if (fetched.ok()) return files::WriteFile(path, (*fetched)->bytes);
  failures_[path] = fetched.status();
  return absl::OkStatus();
}

absl::Status ImageCopies::CopyAll(const std::vector<dataset::Sample>& samples,
                                  JobControl& control) {
  if (absl::Status status = files::MakeFolder(folder_); !status.ok()) return status;
  std::error_code error;
  files::RemoveAbandonedFiles(folder_);
  std::vector<std::size_t> wanted;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    if (!std::filesystem::exists(PathOf(samples[i]), error)) wanted.push_back(i);
  }
  for (int attempt = 1; !wanted.empty(); ++attempt) {
    std::vector<std::size_t> again;
    Fetches fetches(fetcher_);
    std::size_t done = 0;
    for (std::size_t next = 0; done < wanted.size();) {
      for (; next < wanted.size() && fetches.running() < kAtOnce; ++next) {
        const dataset::Sample& sample = samples[wanted[next]];
        fetches.Start(wanted[next],
                      {.uri = sample.image, .task_id = TaskIdOf(sample), .label_studio = site_});
      }
      for (auto& [index, result] : fetches.Wait()) {
        ++done;
        if (MayPass(result.status())) again.push_back(index);
        if (absl::Status s = Take(samples[index], std::move(result)); !s.ok()) return s;
      }
      if (absl::Status go_on = GoOn(control); !go_on.ok()) return go_on;
      control.Say(
          StrCat("copies images: ", samples.size() - wanted.size() + done, " of ", samples.size()));
    }
    wanted = std::move(again);
    if (wanted.empty() || attempt == kTries) break;
    // Is it this image's host that is away, or Label Studio?
    if (absl::Status away = is_away_(); !away.ok()) return away;
    control.Pause(absl::Seconds(attempt));
    if (absl::Status go_on = GoOn(control); !go_on.ok()) return go_on;
  }
  return wanted.empty() ? absl::OkStatus() : is_away_();
}

absl::StatusOr<std::string> ImageCopies::Read(const dataset::Sample& sample) const {
  const std::string path = PathOf(sample);
  const auto failure = failures_.find(path);
  if (failure != failures_.end()) return failure->second;
  return files::ReadText(path, kMaxImageBytes);
}

}  // namespace trainer_service
