#include "bulk/item.h"

#include <algorithm>

#include "http_client/url.h"
#include "text/utf8.h"

namespace bulk {
namespace {

bool IsSchemeCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+' ||
         c == '.' || c == '-';
}

}  // namespace

bool IsAddress(std::string_view name) {
  if (name.starts_with("data:")) return true;
  const auto end = name.find("://");
  return end != std::string_view::npos && end > 0 &&
         std::all_of(name.begin(), name.begin() + static_cast<std::ptrdiff_t>(end),
                     IsSchemeCharacter);
}

std::string WithoutSlashes(std::string path) {
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return path;
}

std::string Shown(std::string_view name) {
  std::string shown =
      text::ToUtf8(IsAddress(name) ? http_client::RedactUri(std::string(name)) : std::string(name));
  std::replace_if(
      shown.begin(), shown.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, '?');
  return shown;
}

}  // namespace bulk
