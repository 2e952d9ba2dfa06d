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
  } else if (*name == "finding") {
    const boost::json::value* const images = event.if_contains("images");
    if (images == nullptr || !images->is_object()) return;
    for (const auto& [image, why] : images->get_object()) {
      if (why.is_string()) unloadable.emplace(image, why.get_string());
    }
  } else if (*name == "evaluation") {
    const boost::json::value* const ap = event.if_contains("ap");
    if (ap == nullptr || ap->is_null()) return;
    evaluations.push_back(
        {NumberOf(event, "step"), NumberOf(event, "ap"), NumberOf(event, "ap50")});
  }
}

}  // namespace trainer
