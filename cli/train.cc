// duet train: a training of what is annotated in Label Studio, and how it goes.
#include <absl/time/clock.h>
#include <absl/time/time.h>

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <iostream>
#include <memory>
#include <string>

#include "cli/commands.h"
#include "cli/gateway_client.h"
#include "cli/json_line.h"
#include "serving/flags.h"
#include "text/str_cat.h"

namespace cli {
namespace {

namespace json = boost::json;
using text::StrCat;

constexpr absl::Duration kLook = absl::Seconds(1);

struct Options {
  GatewayOptions gateway;
  int label_studio_project = 0;
  int forget = 0;
  std::string kind;
  bool wait = true;
  bool json = false;
};

void AddFlags(Options* options, serving::FlagTable* flags) {
  flags->Add("label_studio_project", &options->label_studio_project,
             "The number of the project whose annotations are learned from; it is in the address "
             "of its page.",
             serving::InRange(0, 2'000'000'000));
  flags->Add("forget", &options->forget,
             "Instead of training: deletes the copies of images and annotations that trainings of "
             "this project have kept. Models stay.",
             serving::InRange(0, 2'000'000'000));
  flags->Add("kind", &options->kind,
             "Which of the project's models is trained: the detector, or the segmenter, which "
             "learns from brush strokes, polygons and ellipses. Empty: the detector, and behind "
             "it the segmenter, if the project has such masks and the trainer has a segmenter.",
             serving::OneOf({"detector", "segmenter"}));
  flags->Add("wait", &options->wait, "Show how it goes, until it has ended.");
  flags->Add("json", &options->json,
             "How it goes as JSON, an object a line, as GET /train/{project} has it: first the "
             "job, then each step, last what came of it.");
  AddFlags(&options->gateway, flags);
}

std::string Text(const json::object& object, std::string_view field) {
  const json::value* value = object.if_contains(field);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : "";
}

std::string Number(const json::value& value, int digits) {
  std::string text(32, '\0');
  const int size = std::snprintf(text.data(), text.size(), "%.*f", digits,
                                 value.is_number() ? value.to_number<double>() : 0.0);
  text.resize(static_cast<std::size_t>(size));
  return text;
}

bool HasEnded(const json::object& job) {
  const std::string state = Text(job, "state");
  if (state == "failed" || state == "cancelled") return true;
  const json::value* decided = job.if_contains("decided");
  return state == "done" && decided != nullptr && decided->is_bool() && decided->get_bool();
}

// One line of how it goes.
std::string Line(const json::object& job) {
  std::string line = StrCat(Text(job, "state"), ": ", Text(job, "message"));
  // What keeps the verdict from being applied; it is tried again.
  if (const std::string decision = Text(job, "decision"); !decision.empty() && !HasEnded(job)) {
    text::StrAppend(&line, "; ", decision);
  }
  const json::value* value = job.if_contains("progress");
  if (value == nullptr || !value->is_object()) return line;
  const json::object& progress = value->get_object();
  if (const json::value* steps = progress.if_contains("steps");
      steps != nullptr && steps->is_int64() && steps->get_int64() > 0) {
    text::StrAppend(&line, "; step ", json::serialize(progress.at("step")), " of ",
                    steps->get_int64());
  }
  if (const json::value* loss = progress.if_contains("loss"))
    text::StrAppend(&line, ", loss ", Number(*loss, 3));
  if (const json::value* score = progress.if_contains("score"))
    text::StrAppend(&line, ", score ", Number(*score, 3));
  if (const json::value* left = progress.if_contains("remaining_s"))
    text::StrAppend(&line, ", about ", Number(*left, 0), " s left");
  return line;
}

// Follows the project's job until it has ended.
absl::StatusOr<json::object> Follow(GatewayClient& gateway, const Options& options,
                                    const std::string& job_id, std::string_view kind) {
  const std::string path = StrCat("/train/", options.label_studio_project, "?kind=", kind);
  std::string last;
  while (true) {
    auto job = gateway.AskPatiently(path);
    if (!job.ok()) return job;
    if (Text(*job, "job") != job_id) {
      return absl::FailedPreconditionError(
          StrCat("job ", job_id, " is not the last one of the project's ", kind, " any more"));
    }
    if (const std::string line = Line(*job); line != last) {
      if (options.json) {
        PrintJsonLine(*job);
      } else {
        std::cout << line << std::endl;
      }
      last = line;
    }
    if (HasEnded(*job)) return job;
    absl::SleepFor(kLook);
  }
}

// Shows how a job goes, and what came of it. `next` is set to the job that was queued behind it; ""
// if there is none.
absl::Status Show(GatewayClient& gateway, const Options& options, const std::string& job_id,
                  std::string_view kind, std::string* next) {
  const auto job = Follow(gateway, options, job_id, kind);
  if (!job.ok()) return job.status();
  *next = Text(*job, "next");
  const std::string state = Text(*job, "state");
  if (state != "done") return absl::AbortedError(StrCat(state, ": ", Text(*job, "message")));
  if (options.json) return absl::OkStatus();
  if (const std::string decision = Text(*job, "decision"); !decision.empty()) {
    std::cout << decision << "\n";
  }
  const json::value* verdict = job->if_contains("verdict");
  if (verdict == nullptr || !verdict->is_object() ||
      Text(verdict->get_object(), "outcome") != "better") {
    std::cout << "the model that served before serves on\n";
  }
  return absl::OkStatus();
}

absl::Status Train(GatewayClient& gateway, const Options& options) {
  const json::object request = {{"project", StrCat(options.label_studio_project)}};
  const std::string query = options.kind.empty() ? "" : StrCat("?kind=", options.kind);
  auto begun = gateway.Ask(StrCat("/train", query), json::serialize(request));
  if (!begun.ok()) return begun.status();
  const std::string job_id = Text(*begun, "job");
  if (job_id.empty()) return absl::FailedPreconditionError(Text(*begun, "detail"));
  if (options.json) {
    PrintJsonLine(*begun);
  } else {
    std::cout << "job " << job_id << std::endl;
  }
  if (!options.wait) return absl::OkStatus();
  std::string next;
  const absl::Status first =
      Show(gateway, options, job_id, options.kind.empty() ? "detector" : options.kind, &next);
  // A detector that couldn't be trained doesn't keep its segmenter from it.
  if (next.empty() || !options.kind.empty()) return first;
  if (!options.json) {
    if (!first.ok()) std::cout << first.message() << "\n";
    std::cout << "job " << next << ", of the segmenter" << std::endl;
  }
  const absl::Status second = Show(gateway, options, next, "segmenter", &next);
  return first.ok() ? second : first;
}

absl::Status Forget(GatewayClient& gateway, const Options& options) {
  const auto forgotten = gateway.Ask(StrCat("/train/", options.forget, "/forget"), "{}");
  if (!forgotten.ok()) return forgotten.status();
  if (options.json) {
    PrintJsonLine(*forgotten);
    return absl::OkStatus();
  }
  const auto count = [&](std::string_view field) {
    const json::value* value = forgotten->if_contains(field);
    return value == nullptr ? std::string("0") : json::serialize(*value);
  };
  std::cout << "project " << options.forget << ": " << count("jobs") << " jobs and "
            << count("bytes") << " bytes of copies are deleted\n";
  return absl::OkStatus();
}

absl::Status Run(const Options& options) {
  if ((options.label_studio_project == 0) == (options.forget == 0)) {
    return absl::InvalidArgumentError(
        "needed: --label_studio_project=NUMBER to train, or --forget=NUMBER; one of them");
  }
  auto gateway = GatewayClient::Make(options.gateway);
  if (!gateway.ok()) return gateway.status();
  return options.forget != 0 ? Forget(**gateway, options) : Train(**gateway, options);
}

}  // namespace

absl::Status RunTrain(int argc, const char* const* argv) {
  Options options;
  serving::FlagTable flags(
      "duet train",
      "Fine-tunes a project's models on what is annotated in Label Studio, and "
      "says how it goes. Exit code 0: they were trained, whether or not the new "
      "ones are better; 1: one was not; 2: asked wrongly.\n\nExample: duet train "
      "--label_studio_project=7");
  AddFlags(&options, &flags);
  return ParseAndRun(flags, argc, argv, [&] { return Run(options); });
}

}  // namespace cli
