#include "trainer/gate/verdict_json.h"

#include <boost/json/array.hpp>
#include <cmath>
#include <string>
#include <vector>

namespace trainer {

namespace json = boost::json;

json::value ToJson(const std::optional<Difference>& difference) {
  if (!difference) return nullptr;
  return json::object{
      {"old", difference->old_score},
      {"new", difference->new_score},
      {"difference", difference->value()},
      {"standard_error",
       std::isfinite(difference->error) ? json::value(difference->error) : json::value(nullptr)}};
}

json::object ToJson(const Verdict& verdict) {
  const auto names_of = [](const std::vector<std::string>& names) {
    return json::array(names.begin(), names.end());
  };
  return {{"outcome", NameOf(verdict.decision)},
          {"reason", verdict.reason},
          {"images_needed", verdict.images_needed},
          {"fallen", names_of(verdict.fallen)},
          {"perhaps_fallen", names_of(verdict.perhaps_fallen)}};
}

}  // namespace trainer
