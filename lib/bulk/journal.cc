#include "bulk/journal.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <cerrno>
#include <cstring>
#include <limits>
#include <string_view>

#include "files/atomic_file.h"
#include "files/text_file.h"
#include "hash/fnv.h"
#include "text/str_cat.h"

namespace bulk {
namespace {

namespace json = boost::json;
using duet::bulk::v1::Record;
using text::StrCat;

constexpr std::size_t kHeadBytes = 4 + 8;
// More than any image's objects with their masks.
constexpr std::uint32_t kMaxPayloadBytes = std::uint32_t{1} << 30;
constexpr std::size_t kBufferBytes = std::size_t{1} << 20;
// Of records that are kept in memory until they are on the disk.
constexpr std::size_t kMaxUnsyncedBytes = std::size_t{64} << 20;

std::string JournalPath(const std::string& folder) { return folder + "/journal"; }
std::string CheckpointPath(const std::string& folder) { return folder + "/checkpoint"; }

template <typename Number>
void PutNumber(Number number, char* bytes) {
  for (std::size_t i = 0; i < sizeof number; ++i) bytes[i] = static_cast<char>(number >> (8 * i));
}
template <typename Number>
Number GetNumber(const char* bytes) {
  Number number = 0;
  for (std::size_t i = 0; i < sizeof number; ++i) {
    number |= static_cast<Number>(static_cast<unsigned char>(bytes[i])) << (8 * i);
  }
  return number;
}

absl::Status WriteError(int error, const std::string& path) {
  if (error == ENOSPC || error == EDQUOT) {
    return absl::ResourceExhaustedError(StrCat(path, ": the disk is full"));
  }
  return absl::ErrnoToStatus(error, StrCat(path, ": cannot write"));
}

std::uint64_t NumberOf(const json::object& object, std::string_view name) {
  const json::value* const value = object.if_contains(name);
  if (value == nullptr) return 0;
  json::error_code error;
  const auto number = value->to_number<std::uint64_t>(error);
  return error ? std::numeric_limits<std::uint64_t>::max() : number;  // fits no journal
}

}  // namespace

std::uint64_t Totals::failed() const {
  std::uint64_t sum = 0;
  for (const auto& [kind, count] : failures) sum += count;
  return sum;
}

absl::StatusOr<Journal> Journal::Open(const std::string& folder, const std::string& manifest) {
  const std::string path = JournalPath(folder);
  const int file = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (file < 0) return absl::ErrnoToStatus(errno, StrCat(path, ": cannot open"));
  Journal journal(folder, file);
  if (absl::Status status = journal.ReadCheckpoint(); !status.ok()) return status;
  const std::uint64_t synced = journal.size_;
  if (absl::Status status = journal.CatchUp(manifest); !status.ok()) return status;
  if (absl::Status status = journal.WriteAgain(synced); !status.ok()) return status;
  return journal;
}

Journal::Journal(Journal&& other) noexcept
    : folder_(other.folder_),
      file_(std::exchange(other.file_, -1)),
      size_(other.size_),
      unsynced_(std::move(other.unsynced_)),
      may_be_lost_(other.may_be_lost_),
      place_(other.place_),
      totals_(std::move(other.totals_)) {}

Journal::~Journal() {
  if (file_ >= 0) close(file_);
}

absl::Status Journal::ReadCheckpoint() {
  const std::string path = CheckpointPath(folder_);
  const absl::StatusOr<std::string> text = files::ReadText(path, 1 << 20);
  if (absl::IsNotFound(text.status())) return absl::OkStatus();
  if (!text.ok()) return text.status();
  json::error_code error;
  const json::value value = json::parse(*text, error);
  const json::object* const object = error ? nullptr : value.if_object();
  struct stat info = {};
  if (object == nullptr || fstat(file_, &info) != 0 ||
      NumberOf(*object, "journal_bytes") > static_cast<std::uint64_t>(info.st_size)) {
    return absl::DataLossError(StrCat(
        path, " doesn't fit the journal beside it: the folder was changed by something else; ",
        "delete ", folder_, " to begin anew"));
  }
  size_ = NumberOf(*object, "journal_bytes");
  place_ = {.offset = NumberOf(*object, "manifest_bytes"), .index = NumberOf(*object, "images")};
  totals_.images = place_.index;
  totals_.objects = NumberOf(*object, "objects");
  totals_.kept_bytes = NumberOf(*object, "kept_bytes");
  if (const json::value* const failures = object->if_contains("failures");
      failures != nullptr && failures->is_object()) {
    for (const auto& [kind, count] : failures->get_object()) {
      totals_.failures[std::string(kind)] = NumberOf(failures->get_object(), kind);
    }
  }
  return absl::OkStatus();
}

absl::Status Journal::CatchUp(const std::string& manifest) {
  absl::StatusOr<JournalReader> records = JournalReader::Open(folder_, size_);
  if (!records.ok()) return records.status();
  absl::StatusOr<ManifestReader> images = ManifestReader::Open(manifest, place_);
  if (!images.ok()) return images.status();
  for (;;) {
    const absl::StatusOr<std::optional<Record>> record = records->Next();
    if (!record.ok()) return record.status();
    if (!*record || (*record)->index() != place_.index) break;
    const absl::StatusOr<std::optional<Item>> image = images->Next();
    if (!image.ok()) return image.status();
    if (!*image) break;
    size_ = records->offset();
    place_ = images->place();
    Count(**record);
  }
  if (ftruncate(file_, static_cast<off_t>(size_)) != 0) {
    return absl::ErrnoToStatus(errno, StrCat(JournalPath(folder_), ": cannot write"));
  }
  return absl::OkStatus();
}

void Journal::Count(const Record& record) {
  ++totals_.images;
  if (record.has_failure()) {
    ++totals_.failures[record.failure().kind()];
  } else {
    totals_.objects += static_cast<std::uint64_t>(record.found().objects_size());
    totals_.kept_bytes += record.embedded().bytes();
  }
}

absl::Status Journal::Append(const Record& record, ManifestReader::Place next) {
  std::string bytes(kHeadBytes, '\0');
  record.AppendToString(&bytes);
  const std::string_view payload = std::string_view(bytes).substr(kHeadBytes);
  PutNumber(static_cast<std::uint32_t>(payload.size()), bytes.data());
  PutNumber(hash::Fnv1a(payload), bytes.data() + 4);
  if (unsynced_.size() > kMaxUnsyncedBytes) {
    if (absl::Status status = Sync(); !status.ok()) return status;
  }
  if (absl::Status status = WriteAt(size_, bytes); !status.ok()) return status;
  size_ += bytes.size();
  unsynced_ += bytes;
  place_ = next;
  Count(record);
  return absl::OkStatus();
}

absl::Status Journal::WriteAt(std::uint64_t offset, std::string_view bytes) const {
  while (!bytes.empty()) {
    const ssize_t count = pwrite(file_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (count > 0) {
      bytes.remove_prefix(static_cast<std::size_t>(count));
      offset += static_cast<std::uint64_t>(count);
    } else if (errno != EINTR) {
      return WriteError(errno, JournalPath(folder_));
    }
  }
  return absl::OkStatus();
}

absl::Status Journal::WriteAgain(std::uint64_t from) const {
  std::string bytes;
  for (; from < size_; from += bytes.size()) {
    bytes.resize(std::min<std::uint64_t>(kBufferBytes, size_ - from));
    if (pread(file_, bytes.data(), bytes.size(), static_cast<off_t>(from)) !=
        static_cast<ssize_t>(bytes.size())) {
      return absl::UnavailableError(StrCat(JournalPath(folder_), ": cannot be read"));
    }
    if (absl::Status status = WriteAt(from, bytes); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status Journal::Sync() {
  if (may_be_lost_) {
    absl::Status status = WriteAt(size_ - unsynced_.size(), unsynced_);
    if (!status.ok()) return status;
  }
  may_be_lost_ = fdatasync(file_) != 0;
  if (may_be_lost_) return WriteError(errno, JournalPath(folder_));
  unsynced_.clear();
  json::object failures;
  for (const auto& [kind, count] : totals_.failures) failures[kind] = count;
  const json::object checkpoint = {
      {"journal_bytes", size_},           {"manifest_bytes", place_.offset},
      {"images", place_.index},           {"objects", totals_.objects},
      {"kept_bytes", totals_.kept_bytes}, {"failures", std::move(failures)}};
  const std::string path = CheckpointPath(folder_);
  absl::Status status = files::WriteFile(path, json::serialize(checkpoint) + "\n");
  return absl::IsResourceExhausted(status) ? WriteError(ENOSPC, path) : status;
}

bool ReadRecord(absl::FunctionRef<bool(char*, std::size_t)> read, std::string* payload,
                Record* record) {
  std::array<char, kHeadBytes> head;
  if (!read(head.data(), head.size())) return false;
  const auto payload_bytes = GetNumber<std::uint32_t>(head.data());
  if (payload_bytes > kMaxPayloadBytes) return false;
  // A damaged length takes no more memory than there are bytes.
  payload->clear();
  while (payload->size() < payload_bytes) {
    const std::size_t have = payload->size();
    payload->resize(have + std::min<std::size_t>(kBufferBytes, payload_bytes - have));
    if (!read(payload->data() + have, payload->size() - have)) return false;
  }
  return hash::Fnv1a(*payload) == GetNumber<std::uint64_t>(head.data() + 4) &&
         record->ParseFromString(*payload);
}

absl::StatusOr<JournalReader> JournalReader::Open(const std::string& folder, std::uint64_t offset) {
  const std::string path = JournalPath(folder);
  std::unique_ptr<std::FILE, Close> file(std::fopen(path.c_str(), "rbe"));
  if (file == nullptr || std::fseek(file.get(), static_cast<long>(offset), SEEK_SET) != 0) {
    return absl::ErrnoToStatus(errno, StrCat(path, ": cannot read"));
  }
  std::setvbuf(file.get(), nullptr, _IOFBF, kBufferBytes);
  return JournalReader(std::move(file), offset);
}

absl::StatusOr<std::optional<Record>> JournalReader::Next() {
  std::optional<Record> record(std::in_place);
  const bool whole = ReadRecord(
      [this](char* to, std::size_t bytes) {
        return std::fread(to, 1, bytes, file_.get()) == bytes;
      },
      &payload_, &*record);
  if (std::ferror(file_.get()) != 0) return absl::UnavailableError("the journal cannot be read");
  if (!whole) return std::nullopt;
  offset_ += kHeadBytes + payload_.size();
  return record;
}

}  // namespace bulk
