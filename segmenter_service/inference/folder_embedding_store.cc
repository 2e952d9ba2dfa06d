#include "segmenter_service/inference/folder_embedding_store.h"

#include <absl/time/clock.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "files/atomic_file.h"
#include "files/text_file.h"
#include "hash/sha256.h"
#include "segmenter_service/inference/embedding_codec.h"
#include "serving/log.h"
#include "text/str_cat.h"

namespace segmenter {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kEnding = ".embedding";
// "abc.embedding.17.0.tmp", as AtomicFile calls a file that isn't complete.
constexpr std::string_view kUnfinished = ".embedding.";
constexpr std::string_view kTemporary = ".tmp";
// What is evicted at once, so that the folder isn't listed for each file.
constexpr double kShareLeft = 0.9;
// A file that nobody finishes is older than this. Other processes may be writing younger ones.
constexpr std::chrono::hours kAbandoned{1};
// What isn't written by then is asked for again.
constexpr absl::Duration kLongestKeep = absl::Minutes(2);

// Both parts of a key are file names: hashes, letters, digits. Any other text is hashed.
std::string FileName(std::string_view part) {
  const bool is_name =
      !part.empty() && part.size() <= 200 && part.front() != '.' &&
      part.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
          std::string_view::npos;
  return is_name ? std::string(part) : hash::Sha256Hex(part);
}

// Reading changes no time that could be relied upon (noatime), so it is set.
void Touch(const std::string& path) { utimensat(AT_FDCWD, path.c_str(), nullptr, 0); }

absl::StatusOr<ImageEmbedding> Read(std::string_view file, const NetworkSpec& spec,
                                    std::int64_t max_pixels) {
  constexpr std::size_t kChecksum = sizeof(hash::Sha256Digest);
  if (file.size() < kChecksum) return absl::DataLossError("it is too short");
  const std::string_view bytes = file.substr(0, file.size() - kChecksum);
  const hash::Sha256Digest digest = hash::Sha256(bytes);
  if (hash::AsBytes(digest) != file.substr(bytes.size())) {
    return absl::DataLossError("its checksum is another");
  }
  return DecodeEmbedding(bytes, spec, max_pixels);
}

// Of the file of this embedding.
std::size_t BytesOf(const ImageEmbedding& embedding) {
  std::vector<FeatureShape> shapes;
  for (const FeatureMap& map : embedding.features.maps) shapes.push_back(map.shape);
  return EncodedBytes(shapes) + sizeof(hash::Sha256Digest);
}

absl::Status TooSlow(const std::string& folder) {
  return absl::AbortedError(
      text::StrCat("the embedding could not be kept in time: ", folder, " is slow"));
}

struct File {
  fs::file_time_type used;
  std::int64_t bytes;
  fs::path path;
};

std::vector<fs::path> FoldersIn(const fs::path& folder) {
  std::vector<fs::path> found;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    std::error_code gone;
    if (at->is_directory(gone) && !at->is_symlink(gone)) found.push_back(at->path());
  }
  return found;
}

// The embeddings in a folder. What somebody has begun to write there and left is removed.
void ListEmbeddings(const fs::path& folder, std::vector<File>* found) {
  const auto now = fs::file_time_type::clock::now();
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    std::error_code gone;  // other processes evict, too
    const std::string name = at->path().filename().native();
    const fs::file_time_type used = at->last_write_time(gone);
    const std::uintmax_t bytes = gone ? 0 : at->file_size(gone);
    if (gone) continue;
    if (name.ends_with(kEnding)) {
      found->push_back({used, static_cast<std::int64_t>(bytes), at->path()});
    } else if (name.ends_with(kTemporary) && name.find(kUnfinished) != std::string::npos &&
               now - used > kAbandoned) {
      fs::remove(at->path(), gone);
    }
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<FolderEmbeddingStore>> FolderEmbeddingStore::Open(
    Options options, serving::Metrics& metrics) {
  std::error_code error;
  fs::create_directory(options.folder, error);
  if (error || !fs::is_directory(options.folder, error)) {
    return absl::InvalidArgumentError(
        text::StrCat(options.folder, ": ", error ? error.message() : "is no folder",
                     "; needed is a folder for embeddings, or a place where it can be made"));
  }
  const std::string probe = text::StrCat(options.folder, "/.writable");
  if (const absl::Status written = files::WriteFile(probe, ""); !written.ok()) {
    return absl::InvalidArgumentError(
        text::StrCat("embeddings can't be kept there: ", text::StdView(written.message())));
  }
  fs::remove(probe, error);
  return std::unique_ptr<FolderEmbeddingStore>(
      new FolderEmbeddingStore(std::move(options), metrics));
}

FolderEmbeddingStore::FolderEmbeddingStore(Options options, serving::Metrics& metrics)
    : options_(std::move(options)), metrics_(metrics), writer_([this] { Write(); }) {}

FolderEmbeddingStore::~FolderEmbeddingStore() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  writer_.join();
}

std::string FolderEmbeddingStore::PathOf(const std::string& key) const {
  const std::size_t slash = key.rfind('/');
  const std::string_view all = key;
  const std::string encoder =
      FileName(slash == std::string::npos ? std::string_view() : all.substr(0, slash));
  const std::string image = FileName(slash == std::string::npos ? all : all.substr(slash + 1));
  return text::StrCat(options_.folder, "/", encoder, "/", image.substr(0, 2), "/", image, kEnding);
}

std::size_t FolderEmbeddingStore::FileBytes(const NetworkSpec& spec) {
  return EncodedBytes(spec.embedding) + sizeof(hash::Sha256Digest);
}

std::shared_ptr<const ImageEmbedding> FolderEmbeddingStore::Find(const std::string& key,
                                                                 const NetworkSpec& spec) {
  const std::string path = PathOf(key);
  const absl::StatusOr<std::string> file = files::ReadText(path, FileBytes(spec));
  if (absl::IsNotFound(file.status())) return nullptr;
  // A file that is too large was looked at, too; any other error of reading may pass.
  if (!file.ok() && !absl::IsInvalidArgument(file.status())) {
    Count("unreadable");
    return nullptr;
  }
  absl::StatusOr<ImageEmbedding> embedding =
      file.ok() ? Read(*file, spec, options_.max_pixels) : file.status();
  if (!embedding.ok()) {
    Count("damaged");
    serving::LogLine("embedding_store.refused", serving::LogLevel::kWarning)
        .Str("file", path)
        .Status(embedding.status());
    std::error_code ignored;
    fs::remove(path, ignored);
    return nullptr;
  }
  Touch(path);
  Count("read");
  return std::make_shared<const ImageEmbedding>(*std::move(embedding));
}

FolderEmbeddingStore::Waiting FolderEmbeddingStore::ToFile(std::string path,
                                                           const ImageEmbedding& embedding) {
  Waiting waiting{std::move(path), EncodeEmbedding(embedding)};
  const hash::Sha256Digest digest = hash::Sha256(waiting.bytes);
  waiting.bytes.append(hash::AsBytes(digest));
  return waiting;
}

bool FolderEmbeddingStore::HasRoomFor(const Waiting& waiting) const {
  return waiting_.empty() || waiting_bytes_ + waiting.bytes.size() <= options_.most_waiting_bytes;
}

void FolderEmbeddingStore::Enqueue(Waiting waiting) {
  waiting_bytes_ += waiting.bytes.size();
  waiting_.push_back(std::move(waiting));
  changed_.notify_all();
}

void FolderEmbeddingStore::Insert(const std::string& key, const ImageEmbedding& embedding) {
  Waiting waiting = ToFile(PathOf(key), embedding);
  const std::lock_guard lock(mutex_);
  if (!HasRoomFor(waiting)) {
    Count("dropped");
    return;
  }
  Enqueue(std::move(waiting));
}

absl::Status FolderEmbeddingStore::Keep(const std::string& key, const ImageEmbedding& embedding,
                                        absl::Time deadline) {
  std::string path = PathOf(key);
  std::error_code error;
  if (fs::file_size(path, error) == BytesOf(embedding) && !error) {
    Touch(path);
    return absl::OkStatus();
  }
  Waiting waiting = ToFile(std::move(path), embedding);
  const auto outcome = std::make_shared<Outcome>();
  waiting.outcome = outcome;
  std::unique_lock lock(mutex_);
  const auto until = absl::ToChronoTime(std::min(deadline, absl::Now() + kLongestKeep));
  if (!changed_.wait_until(lock, until, [&] { return HasRoomFor(waiting); })) {
    return TooSlow(options_.folder);
  }
  Enqueue(std::move(waiting));
  if (!changed_.wait_until(lock, until, [&] { return outcome->known; })) {
    return TooSlow(options_.folder);
  }
  if (outcome->status.ok()) return absl::OkStatus();
  return absl::AbortedError(
      text::StrCat("the embedding could not be kept: ", text::StdView(outcome->status.message())));
}

void FolderEmbeddingStore::Flush() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return waiting_.empty() && !writing_; });
}

void FolderEmbeddingStore::Write() {
  TakeStock();
  std::unique_lock lock(mutex_);
  while (true) {
    writing_ = false;
    changed_.notify_all();
    changed_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
    if (waiting_.empty()) return;
    const Waiting next = std::move(waiting_.front());
    waiting_.pop_front();
    waiting_bytes_ -= next.bytes.size();
    writing_ = true;
    changed_.notify_all();  // there is room
    lock.unlock();
    const absl::Status written = WriteOne(next);
    Count(written.ok() ? "written" : "failed");
    // A full disk is one line, not one an embedding.
    if (!written.ok() && !failing_) {
      serving::LogLine("embedding_store.down", serving::LogLevel::kWarning).Status(written);
    } else if (written.ok() && failing_) {
      serving::LogLine("embedding_store.up").Str("folder", options_.folder);
    }
    failing_ = !written.ok();
    if (held_bytes_ > options_.budget_bytes) TakeStock();
    lock.lock();
    if (next.outcome != nullptr) *next.outcome = {.known = true, .status = written};
  }
}

absl::Status FolderEmbeddingStore::WriteOne(const Waiting& waiting) {
  std::error_code error;
  const std::uintmax_t there = fs::file_size(waiting.path, error);
  if (!error && there == waiting.bytes.size()) {  // another replica was faster
    Touch(waiting.path);
    return absl::OkStatus();
  }
  const std::int64_t before = error ? 0 : static_cast<std::int64_t>(there);
  fs::create_directories(fs::path(waiting.path).parent_path(), error);
  if (absl::Status status = files::WriteFile(waiting.path, waiting.bytes); !status.ok()) {
    return status;
  }
  held_bytes_ += static_cast<std::int64_t>(waiting.bytes.size()) - before;
  metrics_.Get(kEmbeddingFolderBytes).Set(static_cast<double>(held_bytes_));
  return absl::OkStatus();
}

void FolderEmbeddingStore::TakeStock() {
  std::vector<File> found;
  held_bytes_ = 0;
  // ENCODER/12/: what lies elsewhere isn't ours, whatever it is called. An error in one folder,
  // which another process may have removed, ends the look into that one.
  for (const fs::path& encoder : FoldersIn(options_.folder)) {
    for (const fs::path& part : FoldersIn(encoder)) {
      if (part.filename().native().size() <= 2) ListEmbeddings(part, &found);
    }
  }
  for (const File& file : found) held_bytes_ += file.bytes;
  if (held_bytes_ > options_.budget_bytes) {
    std::sort(found.begin(), found.end(),
              [](const File& a, const File& b) { return a.used < b.used; });
    const double wanted = kShareLeft * static_cast<double>(options_.budget_bytes);
    for (const File& file : found) {
      if (static_cast<double>(held_bytes_) <= wanted) break;
      std::error_code gone;
      if (fs::remove(file.path, gone)) Count("evicted");
      if (!gone) held_bytes_ -= file.bytes;
    }
  }
  metrics_.Get(kEmbeddingFolderBytes).Set(static_cast<double>(held_bytes_));
}

}  // namespace segmenter
