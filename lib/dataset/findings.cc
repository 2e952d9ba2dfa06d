#include "dataset/findings.h"

#include <algorithm>

#include "text/str_cat.h"
#include "text/utf8.h"

namespace dataset {
namespace {

constexpr std::size_t kLongestWhere = 200;  // bytes; names in files may be of any length

}  // namespace

void Findings::Add(std::string_view kind, std::string_view where) {
  const auto known = std::find_if(kinds_.begin(), kinds_.end(),
                                  [kind](const Kind& one) { return one.text == kind; });
  if (known != kinds_.end()) {
    ++known->count;
    return;
  }
  kinds_.push_back({std::string(kind), 1, std::string(text::Utf8Prefix(where, kLongestWhere))});
}

std::size_t Findings::count(std::string_view kind) const {
  for (const Kind& one : kinds_) {
    if (one.text == kind) return one.count;
  }
  return 0;
}

std::vector<std::string> Findings::Lines() const {
  std::vector<std::string> lines;
  for (const Kind& kind : kinds_) {
    lines.push_back(text::StrCat(kind.count, " ", kind.text, "; the first: ", kind.first));
  }
  return lines;
}

}  // namespace dataset
