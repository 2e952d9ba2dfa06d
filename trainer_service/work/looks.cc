#include "trainer_service/work/looks.h"

#include <absl/status/status.h>

#include <boost/json.hpp>
#include <cstdint>
#include <filesystem>

#include "files/atomic_file.h"
#include "files/text_file.h"
#include "text/str_cat.h"

namespace trainer_service {
namespace {

namespace json = boost::json;

constexpr std::size_t kMaxBytes = std::size_t{1} << 30;

absl::StatusOr<json::object> ReadLooks(const std::string& path) {
  const absl::StatusOr<std::string> text = files::ReadText(path, kMaxBytes);
  if (absl::IsNotFound(text.status())) return json::object();
  if (!text.ok()) return text.status();
  json::error_code error;
  json::value value = json::parse(*text, error);
  if (!error && value.is_object()) return std::move(value.get_object());
  return absl::DataLossError(text::StrCat(
      path,
      ": is damaged; without it old and new might be compared on the same images too often. "
      "Whoever removes it begins to count anew"));
}

}  // namespace

absl::StatusOr<double> CountLook(const std::string& project_folder,
                                 const dataset::Revision& revision) {
  const std::string path = project_folder + "/looks.json";
  absl::StatusOr<json::object> looks = ReadLooks(path);
  if (!looks.ok()) return looks.status();
  double sum = 0;
  std::size_t images = 0;
  for (std::size_t i = 0; i < revision.sides.size(); ++i) {
    if (revision.sides[i] != dataset::Side::kValidation) continue;
    // Frozen images are called by their hash.
    const std::string image =
        std::filesystem::path(revision.dataset.samples[i].image).stem().string();
    json::value& count = (*looks)[image];
    const std::int64_t before = count.is_int64() ? count.get_int64() : 0;
    count = before + 1;
    sum += static_cast<double>(before + 1);
    ++images;
  }
  if (images == 0) return 1;
  if (absl::Status kept = files::WriteFile(path, json::serialize(*looks)); !kept.ok()) return kept;
  return sum / static_cast<double>(images);
}

}  // namespace trainer_service
