#include "trainer/run/history.h"

#include <boost/json.hpp>

namespace trainer {
namespace {

double NumberOf(const boost::json::object& event, std::string_view key) {
  const boost::json::value* const value = event.if_contains(key);
  if (value == nullptr) return 0;
  boost::system::error_code error;
  const double number = value->to_number<double>(error);
  return error ? 0 : number;
}

}  // namespace

void History::Add(const boost::json::object& event) {
  const boost::json::value* const name = event.if_contains("event");
  if (name == nullptr) return;
  if (*name == "step") {
    Step& step = steps.emplace_back();
    step.step = NumberOf(event, "step");
    step.learning_rate = NumberOf(event, "learning_rate");
    const boost::json::value* const losses = event.if_contains("losses");
    if (losses == nullptr || !losses->is_object()) return;
    for (const auto& [key, value] : losses->get_object()) {
      step.losses[key] = NumberOf(losses->get_object(), key);
    }
  } else if (*name == "evaluation") {
    evaluations.push_back(
        {NumberOf(event, "step"), NumberOf(event, "ap"), NumberOf(event, "ap50")});
  }
}

}  // namespace trainer
