#include "text/nearest_name.h"

#include <absl/strings/ascii.h>

#include <algorithm>
#include <cstddef>
#include <vector>

#include "text/str_cat.h"

namespace text {
namespace {

constexpr std::size_t kLongest = 100;
constexpr std::size_t kLettersAnError = 4;

std::string Letters(std::string_view name) {
  std::string letters;
  for (const char c : name) {
    if (c != '-' && c != '_' && c != ' ') letters += absl::ascii_tolower(c);
  }
  return letters;
}

// Optimal string alignment distance: each row is the distances of one more letter of `a` to all
// beginnings of `b`.
std::size_t Distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before_last(b.size() + 1);
  std::vector<std::size_t> last(b.size() + 1);
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    before_last.swap(last);
    last.swap(row);
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before_last[j - 2] + 1);
      }
    }
  }
  return row[b.size()];
}

}  // namespace

std::string_view NearestName(std::string_view written, std::span<const std::string_view> names) {
  if (written.size() > kLongest) return "";
  const std::string letters = Letters(written);
  std::string_view nearest;
  std::size_t least = 0;
  for (const std::string_view name : names) {
    const std::string candidate = Letters(name);
    const std::size_t distance = Distance(letters, candidate);
    if (distance * kLettersAnError > std::max(letters.size(), candidate.size())) continue;
    if (!nearest.empty() && distance >= least) continue;
    nearest = name;
    least = distance;
  }
  return nearest;
}

std::string DidYouMean(std::string_view written, std::span<const std::string_view> names,
                       std::string_view before, std::string_view after) {
  const std::string_view name = NearestName(written, names);
  return name.empty() ? "" : StrCat("; did you mean ", before, name, after, "?");
}

}  // namespace text
