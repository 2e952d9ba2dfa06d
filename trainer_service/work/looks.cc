#include "trainer_service/work/looks.h"

#include <absl/status/status.h>

#include <boost/json.hpp>
#include <cstdint>

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

absl::StatusOr<double> CountLook(const std::string& path, const std::vector<std::string>& images) {
  absl::StatusOr<json::object> looks = ReadLooks(path);
  if (!looks.ok()) return looks.status();
  if (images.empty()) return 1;
  double sum = 0;
  for (const std::string& image : images) {
    json::value& count = (*looks)[image];
    const std::int64_t before = count.is_int64() ? count.get_int64() : 0;
    count = before + 1;
    sum += static_cast<double>(before + 1);
  }
  if (absl::Status kept = files::WriteFile(path, json::serialize(*looks)); !kept.ok()) return kept;
  return sum / static_cast<double>(images.size());
}

}  // namespace trainer_service
