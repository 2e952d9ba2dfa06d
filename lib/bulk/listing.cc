#include "bulk/listing.h"

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/numbers.h>
#include <fnmatch.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <set>
#include <system_error>
#include <tuple>

#include "bulk/label_studio_project.h"
#include "bulk/prepared_manifest.h"
#include "bulk/s3_listing.h"
#include "dataset/json_elements.h"
#include "files/mapped_file.h"
#include "label_studio/json_fields.h"
#include "text/str_cat.h"

namespace bulk {
namespace {

namespace fs = std::filesystem;
using text::StrCat;

constexpr std::array<std::string_view, 8> kImageEndings = {".jpg", ".jpeg", ".png", ".webp",
                                                           ".gif", ".bmp",  ".tif", ".tiff"};

std::string LowerEnding(std::string_view name) {
  return absl::AsciiStrToLower(fs::path(name).extension().native());
}

bool IsImageName(std::string_view name) {
  const std::string ending = LowerEnding(name);
  return std::find(kImageEndings.begin(), kImageEndings.end(), ending) != kImageEndings.end();
}

bool IsPattern(std::string_view source) {
  return source.find_first_of("*?[") != std::string_view::npos;
}

// The parts of a path between its slashes.
std::vector<std::string> PartsOf(const fs::path& path) {
  std::vector<std::string> parts;
  for (const fs::path& part : path) {
    if (!part.empty()) parts.push_back(part.native());
  }
  return parts;
}

absl::Status CannotRead(std::string_view path, const std::error_code& error) {
  return absl::Status(error == std::errc::permission_denied ? absl::StatusCode::kPermissionDenied
                                                            : absl::StatusCode::kNotFound,
                      StrCat(Shown(path), ": cannot be read: ", error.message()));
}

// Cuts off a byte order mark at the beginning of a text; InvalidArgument for that of UTF-16.
absl::Status CheckEncoding(std::string_view name, std::string_view* text) {
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  if (text->starts_with("\xff\xfe") || text->starts_with("\xfe\xff")) {
    return absl::InvalidArgumentError(
        StrCat(name, " is in UTF-16; needed: UTF-8, as `iconv -f UTF-16 -t UTF-8` makes it"));
  }
  if (text->starts_with(kByteOrderMark)) text->remove_prefix(kByteOrderMark.size());
  return absl::OkStatus();
}

// Walks through folders, in each of them by the names' bytes.
class Walk {
 public:
  // `add` gets the path of each image below the folder that the walk begins in; `listing` what is
  // left out.
  Walk(AddImage add, Listing* listing) : add_(add), listing_(*listing) {}

  // All images below `folder`; they are called `prefix` and their path below it.
  absl::Status All(const fs::path& folder, const std::string& prefix) {
    const auto entries = Entries(folder);
    if (!entries.ok()) return LeftOut(folder, entries.status());
    const Visit visit(this, folder);
    if (!visit.is_new()) return absl::OkStatus();  // a link to a folder that it lies in
    for (const std::string& name : *entries) {
      const fs::path path = folder / name;
      if (IsFolder(path)) {
        if (absl::Status status = All(path, prefix + name + "/"); !status.ok()) return status;
      } else if (IsImageName(name)) {
        add_(prefix + name, "");
      } else {
        ++listing_.left_out;
      }
    }
    return absl::OkStatus();
  }

  // The files that match parts[at]… below `folder`.
  absl::Status Matching(const fs::path& folder, const std::vector<std::string>& parts,
                        std::size_t at) {
    const std::string& part = parts[at];
    const bool last = at + 1 == parts.size();
    if (part == "**" && !last) {
      // No folder at all, or one more.
      if (absl::Status status = Matching(folder, parts, at + 1); !status.ok()) return status;
    }
    if (!IsPattern(part)) {
      const fs::path path = folder / part;
      std::error_code ignored;
      if (!last) return IsFolder(path) ? Matching(path, parts, at + 1) : absl::OkStatus();
      if (fs::is_regular_file(path, ignored)) add_(path.native(), "");
      return absl::OkStatus();
    }
    const auto entries = Entries(folder.empty() ? fs::path(".") : folder);
    if (!entries.ok()) return LeftOut(folder, entries.status());
    const Visit visit(this, folder.empty() ? fs::path(".") : folder);
    for (const std::string& name : *entries) {
      const fs::path path = folder / name;
      const bool matches = part == "**" || fnmatch(part.c_str(), name.c_str(), FNM_PERIOD) == 0;
      if (!matches) continue;
      if (IsFolder(path)) {
        if (part == "**" ? !visit.is_new() : last) continue;
        const std::size_t next = part == "**" ? at : at + 1;
        if (absl::Status status = Matching(path, parts, next); !status.ok()) return status;
      } else if (last && (part != "**" || IsImageName(name))) {
        add_(path.native(), "");
      }
    }
    return absl::OkStatus();
  }

 private:
  using Identity = std::pair<std::uint64_t, std::uint64_t>;

  // A folder that is being walked through: a link may lead back to it.
  class Visit {
   public:
    Visit(Walk* walk, const fs::path& folder) : walk_(*walk) {
      struct stat info = {};
      if (stat(folder.c_str(), &info) != 0) return;
      std::tie(at_, is_new_) = walk_.open_.insert(Identity(info.st_dev, info.st_ino));
    }
    ~Visit() {
      if (is_new_) walk_.open_.erase(at_);
    }
    bool is_new() const { return is_new_; }

   private:
    Walk& walk_;
    std::set<Identity>::iterator at_;
    bool is_new_ = false;
  };

  // What isn't ours to read, below the folder that was named, is left out and said. Anything else,
  // such as a disk that fails, would make a list that lacks images by chance.
  absl::Status LeftOut(const fs::path& folder, const absl::Status& status) {
    if (open_.empty() || !absl::IsPermissionDenied(status)) return status;
    // A pattern with ** looks into a folder twice.
    if (!closed_.insert(folder.native()).second) return absl::OkStatus();
    if (listing_.closed_folders++ == 0) listing_.first_closed = folder.native();
    return absl::OkStatus();
  }

  static bool IsFolder(const fs::path& path) {
    std::error_code ignored;
    return fs::is_directory(path, ignored);
  }

  static absl::StatusOr<std::vector<std::string>> Entries(const fs::path& folder) {
    std::vector<std::string> names;
    std::error_code error;
    for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
      std::string name = it->path().filename().native();
      if (!name.starts_with('.')) names.push_back(std::move(name));
    }
    if (error) return CannotRead(folder.native(), error);
    std::sort(names.begin(), names.end());
    return names;
  }

  AddImage add_;
  Listing& listing_;
  std::set<Identity> open_;
  std::set<std::string> closed_;
};

class Lister {
 public:
  Lister(const ListingOptions& options, AddImage add) : options_(options), add_(add) {}

  absl::StatusOr<Listing> List() {
    listing_.root =
        fs::absolute(options_.images.empty() ? "." : options_.images).lexically_normal();
    for (const std::string& source : options_.sources) {
      if (absl::Status status = ListSource(source); !status.ok()) return status;
    }
    if (listing_.images > 0) return listing_;
    return absl::NotFoundError(
        StrCat(Shown(options_.sources.front()),
               options_.sources.size() > 1 ? " and the others" : "", ": no image in it",
               listing_.left_out > 0
                   ? StrCat("; ", listing_.left_out, " files have names that end in none of .jpg, ",
                            ".jpeg, .png, .webp, .gif, .bmp, .tif, .tiff")
                   : ""));
  }

 private:
  void Add(std::string_view name, std::string_view id) {
    ++listing_.images;
    add_(name, id);
  }

  absl::Status ListSource(const std::string& source);
  absl::Status ListFolder(const std::string& source);
  absl::Status ListPattern(const std::string& source);
  absl::Status ListLines(const std::string& name, std::istream& lines);
  absl::Status ListBucket(const std::string& prefix);
  absl::Status ListCoco(const std::string& path);
  absl::Status ListProject(const std::string& source);

  const ListingOptions& options_;
  AddImage add_;
  Listing listing_;
};

absl::Status Lister::ListSource(const std::string& source) {
  if (source == "-") {
    if (options_.standard_input == nullptr) return absl::InternalError("no standard input");
    return ListLines("the list on the standard input", *options_.standard_input);
  }
  if (source.starts_with(kProjectScheme)) return ListProject(source);
  if (source.empty()) return absl::InvalidArgumentError("a source is empty; needed: a path");
  if (source.ends_with(kManifestEnding)) {
    return absl::InvalidArgumentError(
        StrCat(Shown(source), ": needed: a manifest alone, for duet prelabel"));
  }
  if (source.starts_with("s3://") && !IsImageName(source)) return ListBucket(source);
  if (IsAddress(source)) {
    Add(source, "");
    return absl::OkStatus();
  }
  std::error_code error;
  const fs::file_status status = fs::status(source, error);
  if (fs::is_directory(status)) return ListFolder(source);
  if (!fs::exists(status)) {
    if (IsPattern(source)) return ListPattern(source);
    if (error && error != std::errc::no_such_file_or_directory) return CannotRead(source, error);
    return absl::NotFoundError(StrCat(Shown(source), ": there is no such file or folder"));
  }
  const std::string ending = LowerEnding(source);
  if (ending == ".json") return ListCoco(source);
  if (ending == ".txt" || ending == ".list") {
    std::ifstream lines(source, std::ios::binary);
    if (!lines) return CannotRead(source, std::make_error_code(std::errc::permission_denied));
    return ListLines(Shown(source), lines);
  }
  Add(source, "");
  return absl::OkStatus();
}

absl::Status Lister::ListFolder(const std::string& source) {
  const bool alone = options_.sources.size() == 1;
  if (alone) listing_.root = fs::absolute(source).lexically_normal();
  const std::string prefix = alone ? "" : source + (source.ends_with('/') ? "" : "/");
  return Walk([this](std::string_view name, std::string_view id) { Add(name, id); }, &listing_)
      .All(source, prefix);
}

absl::Status Lister::ListPattern(const std::string& source) {
  const std::uint64_t before = listing_.images;
  const fs::path pattern(source);
  const fs::path root = pattern.root_path();
  const auto parts = PartsOf(pattern.relative_path());
  const absl::Status status =
      Walk([this](std::string_view name, std::string_view id) { Add(name, id); }, &listing_)
          .Matching(root, parts, 0);
  if (!status.ok()) return status;
  if (listing_.images > before) return absl::OkStatus();
  return absl::NotFoundError(StrCat(Shown(source), ": no file has a name like that"));
}

absl::Status Lister::ListLines(const std::string& name, std::istream& lines) {
  // The first block tells what ends a name.
  std::string text(std::size_t{64} << 10, '\0');
  char end = '\n';
  bool first = true;
  std::size_t kept = 0;  // the beginning of a name, from the block before
  const auto take = [&](std::string_view line) {
    if (end == '\n' && line.ends_with('\r')) line.remove_suffix(1);
    if (!line.empty()) Add(line, "");
  };
  for (;;) {
    lines.read(text.data() + kept, static_cast<std::streamsize>(text.size() - kept));
    const std::size_t size = kept + static_cast<std::size_t>(lines.gcount());
    std::string_view block(text.data(), size);
    if (first) {
      if (absl::Status status = CheckEncoding(name, &block); !status.ok()) return status;
      if (block.find('\0') != std::string_view::npos) end = '\0';
      first = false;
    }
    for (std::size_t at = 0; (at = block.find(end)) != std::string_view::npos;) {
      take(block.substr(0, at));
      block.remove_prefix(at + 1);
    }
    if (lines.eof() || !lines) {
      take(block);
      break;
    }
    if (block.size() == text.size()) {
      return absl::InvalidArgumentError(StrCat(name, " has a name of more than ", text.size(),
                                               " bytes; needed: one image a line"));
    }
    kept = block.size();
    std::copy(block.begin(), block.end(), text.begin());
  }
  if (lines.bad()) return absl::UnavailableError(StrCat(name, " cannot be read"));
  return absl::OkStatus();
}

absl::Status Lister::ListBucket(const std::string& prefix) {
  return ListObjects(http_client::S3AccessFromEnvironment(), options_.network, prefix,
                     options_.patience, [this](std::string_view address) {
                       if (IsImageName(address)) {
                         Add(address, "");
                       } else {
                         ++listing_.left_out;
                       }
                     });
}

absl::Status Lister::ListProject(const std::string& source) {
  if (options_.sources.size() > 1) {
    return absl::InvalidArgumentError(
        StrCat(source, ": a project can't be mixed with other sources; needed: it alone"));
  }
  if (options_.project == nullptr) {
    return absl::InvalidArgumentError(StrCat(source, ": needed: --label_studio_url and its token"));
  }
  listing_.of_label_studio = true;
  listing_.has_ids = true;
  return options_.project->List(
      options_.patience, [this](std::string_view name, std::string_view id) { Add(name, id); });
}

absl::Status Lister::ListCoco(const std::string& path) {
  if (options_.sources.size() > 1) {
    return absl::InvalidArgumentError(
        StrCat(Shown(path), ": a COCO file can't be mixed with other sources; needed: it alone"));
  }
  const auto file = files::MappedFile::Open(path);
  if (!file.ok()) return file.status();
  if (options_.images.empty()) {
    listing_.root = fs::absolute(path).lexically_normal().parent_path();
  }
  listing_.has_ids = true;
  std::string_view json = (*file)->bytes();
  if (absl::Status encoding = CheckEncoding(Shown(path), &json); !encoding.ok()) return encoding;
  std::uint64_t unnamed = 0;
  absl::Status status =
      dataset::ReadJsonElements(json, [&](const dataset::JsonElement& element) -> absl::Status {
        if (!element.of_list || !element.value.is_object()) return absl::OkStatus();
        const boost::json::object& object = element.value.get_object();
        std::int64_t number = 0;
        const std::string id = dataset::IdField(object, "id");
        const bool is_number = absl::SimpleAtoi(id, &number) && number >= 0;
        if (element.field == "images") {
          const std::string_view name = label_studio::TextField(object, "file_name");
          if (name.empty()) {
            ++unnamed;
            return absl::OkStatus();
          }
          listing_.has_ids = listing_.has_ids && is_number;
          Add(name, id);
        } else if (element.field == "categories" && is_number) {
          listing_.categories.emplace_back(number, label_studio::TextField(object, "name"));
        }
        return absl::OkStatus();
      });
  if (!status.ok()) {
    return absl::Status(status.code(), StrCat(Shown(path), ": ", status.message()));
  }
  if (unnamed > 0) {
    return absl::InvalidArgumentError(
        StrCat(Shown(path), ": ", unnamed, " of its images have no file_name"));
  }
  if (listing_.images == 0) {
    return absl::NotFoundError(StrCat(Shown(path), ": no `images` in it; needed: a COCO file"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Listing> ListImages(const ListingOptions& options, AddImage add) {
  if (options.prepared != nullptr) return options.prepared->List(options.shard, add);
  return Lister(options, add).List();
}

std::string PathOf(const Listing& listing, const Item& item) {
  return (fs::path(listing.root) / item.name).native();
}

}  // namespace bulk
