#include "backends/served_version.h"

#include <map>

namespace backends {

std::string ChooseVersion(const std::string& current, const std::vector<std::string>& served) {
  std::map<std::string, int> counts;
  for (const std::string& version : served) ++counts[version];
  if (counts.empty() || counts.contains(current)) return current;
  auto most = counts.begin();
  for (auto it = counts.begin(); it != counts.end(); ++it) {
    if (it->second > most->second) most = it;
  }
  return most->first;
}

}  // namespace backends
