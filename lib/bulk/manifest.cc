#include "bulk/manifest.h"

#include <cerrno>
#include <utility>

#include "text/str_cat.h"
#include "text/url.h"

namespace bulk {
namespace {

constexpr std::size_t kBufferBytes = std::size_t{1} << 20;

void AppendEncoded(std::string_view bytes, std::string* line) {
  for (const char c : bytes) {
    switch (c) {
      case '%':
        line->append("%25");
        break;
      case '\n':
        line->append("%0A");
        break;
      case '\r':
        line->append("%0D");
        break;
      case '\t':
        line->append("%09");
        break;
      default:
        line->push_back(c);
    }
  }
}

std::string Decoded(std::string_view bytes) {
  if (bytes.find('%') == std::string_view::npos) return std::string(bytes);
  return text::PercentDecode(bytes, /*plus_is_space=*/false);
}

}  // namespace

void AppendManifestLine(std::string_view name, std::string_view id, std::string* lines) {
  AppendEncoded(name, lines);
  if (!id.empty()) {
    lines->push_back('\t');
    AppendEncoded(id, lines);
  }
  lines->push_back('\n');
}

Item ParseManifestLine(std::string_view line) {
  const auto tab = line.find('\t');
  Item item{.name = Decoded(line.substr(0, tab))};
  if (tab != std::string_view::npos) item.id = Decoded(line.substr(tab + 1));
  return item;
}

absl::StatusOr<ManifestWriter> ManifestWriter::Create(const std::string& path) {
  absl::StatusOr<files::AtomicFile> file = files::AtomicFile::Create(path);
  if (!file.ok()) return file.status();
  return ManifestWriter(*std::move(file));
}

void ManifestWriter::Add(std::string_view name, std::string_view id) {
  AppendManifestLine(name, id, &buffer_);
  ++count_;
  if (buffer_.size() < kBufferBytes) return;
  file_.Append(buffer_);
  buffer_.clear();
}

absl::Status ManifestWriter::Commit() {
  file_.Append(buffer_);
  return file_.Commit();
}

absl::StatusOr<ManifestReader> ManifestReader::Open(const std::string& path, Place place) {
  std::unique_ptr<std::FILE, Close> file(std::fopen(path.c_str(), "rbe"));
  if (file == nullptr || std::fseek(file.get(), static_cast<long>(place.offset), SEEK_SET) != 0) {
    return absl::ErrnoToStatus(errno, text::StrCat(path, ": cannot read"));
  }
  std::setvbuf(file.get(), nullptr, _IOFBF, kBufferBytes);
  return ManifestReader(path, std::move(file), place);
}

absl::StatusOr<std::optional<Item>> ManifestReader::Next() {
  line_.clear();
  int c = 0;
  while ((c = getc_unlocked(file_.get())) != EOF && c != '\n')
    line_.push_back(static_cast<char>(c));
  if (std::ferror(file_.get()) != 0) {
    return absl::UnavailableError(text::StrCat(path_, ": cannot be read"));
  }
  if (c == EOF && line_.empty()) return std::nullopt;
  if (c == EOF || line_.empty()) {
    return absl::DataLossError(text::StrCat(path_, ": line ", place_.index + 1,
                                            " is damaged; needed: the name of an image"));
  }
  Item item = ParseManifestLine(line_);
  item.index = place_.index;
  place_.offset += line_.size() + 1;
  ++place_.index;
  return item;
}

}  // namespace bulk
