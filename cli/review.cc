// duet review: what a project's model contradicts in its annotations, the most suspicious first.
#include <absl/strings/str_format.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <cstdint>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "cli/commands.h"
#include "cli/gateway_client.h"
#include "cli/json_line.h"
#include "serving/flags.h"
#include "text/str_cat.h"

namespace cli {
namespace {

namespace json = boost::json;
using text::StrCat;

struct Options {
  GatewayOptions gateway;
  int label_studio_project = 0;
  int top = 50;
  double min_suspicion = 0.1;
  bool json = false;
};

void AddFlags(Options* options, serving::FlagTable* flags) {
  flags->Add("label_studio_project", &options->label_studio_project,
             "The number of the project; it is in the address of its page.",
             serving::InRange(0, 2'000'000'000));
  flags->Add("top", &options->top, "How many issues are listed; 0: all.",
             serving::InRange(0, 1'000'000));
  flags->Add("min_suspicion", &options->min_suspicion,
             "Issues that are less suspicious, from 0 to 1, aren't listed.",
             serving::InRange(0.0, 1.0));
  flags->Add("json", &options->json,
             "Print each issue as a JSON object on a line, as GET /review/{project} has it.");
  AddFlags(&options->gateway, flags);
}

struct Review {
  std::int64_t tasks = 0;
  std::int64_t objects = 0;
  std::int64_t unknown = 0;
  std::vector<std::pair<double, json::object>> issues;  // by suspicion
};

std::int64_t Count(const json::object& object, std::string_view field) {
  const json::value* value = object.if_contains(field);
  return value != nullptr && value->is_int64() ? value->get_int64() : 0;
}

const json::array& List(const json::object& object, std::string_view field) {
  static const json::array kNone;
  const json::value* value = object.if_contains(field);
  return value != nullptr && value->is_array() ? value->get_array() : kNone;
}

double SuspicionOf(const json::object& issue) {
  const json::value* value = issue.if_contains("suspicion");
  return value != nullptr && value->is_number() ? value->to_number<double>() : 0;
}

std::string Text(const json::object& object, std::string_view field) {
  const json::value* value = object.if_contains(field);
  if (value == nullptr || value->is_null()) return "-";
  return value->is_string() ? std::string(value->get_string()) : json::serialize(*value);
}

// Adds the page's issues; of all, the best `top` stay, so that memory has a bound.
void Add(const json::object& page, const Options& options, Review* review) {
  review->tasks += Count(page, "tasks");
  review->objects += Count(page, "objects");
  review->unknown += Count(page, "unknown");
  for (const json::value& issue : List(page, "issues")) {
    if (!issue.is_object()) continue;
    const double suspicion = SuspicionOf(issue.get_object());
    if (suspicion >= options.min_suspicion) {
      review->issues.emplace_back(suspicion, issue.get_object());
    }
  }
  std::stable_sort(review->issues.begin(), review->issues.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  const auto top = static_cast<std::size_t>(options.top);
  if (top > 0 && review->issues.size() > top) review->issues.resize(top);
  for (const json::value& failed : List(page, "failed")) {
    if (!failed.is_object()) continue;
    std::cerr << "task " << Text(failed.get_object(), "task")
              << " left out: " << Text(failed.get_object(), "error") << "\n";
  }
}

void Print(const Review& review, const Options& options) {
  if (!options.json && !review.issues.empty()) {
    std::cout << "suspicion  task      region      what\n";
  }
  for (const auto& [suspicion, issue] : review.issues) {
    if (options.json) {
      PrintJsonLine(issue);
    } else {
      std::cout << absl::StrFormat("%9.2f  %-8s  %-10s  %s\n", suspicion, Text(issue, "task"),
                                   Text(issue, "region"), Text(issue, "sentence"));
    }
  }
  if (options.json) return;
  std::cout << review.tasks << " annotated tasks with " << review.objects
            << " objects; listed: " << review.issues.size() << "\n";
  if (review.unknown > 0) {
    std::cout << review.unknown << " objects are of classes that the model can't find\n";
  }
}

absl::Status Run(const Options& options) {
  if (options.label_studio_project == 0) {
    return absl::InvalidArgumentError("needed: --label_studio_project=NUMBER");
  }
  auto gateway = GatewayClient::Make(options.gateway);
  if (!gateway.ok()) return gateway.status();
  Review review;
  for (std::int64_t after = 0;;) {
    const auto page = (*gateway)->AskPatiently(
        StrCat("/review/", options.label_studio_project, "?after=", after));
    if (!page.ok()) return page.status();
    Add(*page, options, &review);
    const std::int64_t next = Count(*page, "next");
    if (next <= after) break;
    after = next;
  }
  Print(review, options);
  return absl::OkStatus();
}

}  // namespace

absl::Status RunReview(int argc, const char* const* argv) {
  Options options;
  serving::FlagTable flags(
      "duet review",
      "Lists the annotations of a project that its model contradicts, and "
      "objects that nobody annotated, the most suspicious first. Exit code 0: listed, "
      "whether or not there are any; 1: the gateway could not say; 2: asked "
      "wrongly.\n\n"
      "Example: duet review --label_studio_project=7");
  AddFlags(&options, &flags);
  return ParseAndRun(flags, argc, argv, [&] { return Run(options); });
}

}  // namespace cli
