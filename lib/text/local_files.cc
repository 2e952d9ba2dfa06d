#include "text/local_files.h"

#include <algorithm>

#include "text/url.h"

namespace text {

bool IsLocalFilesPath(std::string_view path) {
  constexpr std::string_view kPath = "/data/local-files";
  if (path.ends_with('/')) path.remove_suffix(1);
  return path.ends_with(kPath);
}

std::optional<std::string> LocalFileOf(std::string_view address) {
  address = address.substr(0, address.find('#'));
  const std::size_t mark = address.find('?');
  if (mark == std::string_view::npos || !IsLocalFilesPath(address.substr(0, mark))) {
    return std::nullopt;
  }
  std::optional<std::string> file;
  for (std::string_view rest = address.substr(mark + 1); !rest.empty();) {
    const std::string_view field = rest.substr(0, rest.find('&'));
    if (field.starts_with("d=")) file = PercentDecode(field.substr(2), /*plus_is_space=*/true);
    rest.remove_prefix(std::min(rest.size(), field.size() + 1));
  }
  return file;
}

}  // namespace text
