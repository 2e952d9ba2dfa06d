#include "trainer_service/work/training_child.h"

#include <absl/functional/function_ref.h>
#include <absl/status/status.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>
#include <filesystem>
#include <optional>

#include "label_studio/json_fields.h"
#include "serving/log.h"
#include "text/str_cat.h"
#include "trainer_service/child/child_process.h"

namespace trainer_service {
namespace {

namespace json = boost::json;
using text::StrCat;

// So often may a child be killed without having saved anything new: what runs out of memory does so
// again.
constexpr int kMostStarts = 3;
// So often it may be started anew since this process was killed. A machine may be restarted; but
// where memory runs out in a container, the kernel may kill all of it each time.
constexpr int kMostInterruptedStarts = 10;
// duet-train's exit code where the disk has no room.
constexpr int kFullDisk = 75;
// Longer than evaluating some thousands of images with a large model takes.
constexpr absl::Duration kSilence = absl::Hours(2);
// What is lost at most when it is killed.
constexpr char kSaveMinutes[] = "--save_minutes=1";

std::optional<json::object> ParseObject(std::string_view line) {
  json::error_code error;
  json::value value = json::parse({line.data(), line.size()}, error);
  if (error || !value.is_object()) return std::nullopt;
  return std::move(value.get_object());
}

std::optional<double> Number(const json::object& object, std::string_view name) {
  const json::value* value = object.if_contains({name.data(), name.size()});
  if (value == nullptr || !value->is_number()) return std::nullopt;
  const double number = value->to_number<double>();
  return std::isfinite(number) ? std::optional(number) : std::nullopt;
}

std::uint32_t Count(const json::object& object, std::string_view name) {
  constexpr double kMost = 4294967295.0;
  return static_cast<std::uint32_t>(std::clamp(Number(object, name).value_or(0), 0.0, kMost));
}

void TakeStep(const json::object& event, Progress* progress) {
  progress->step = Count(event, "step");
  progress->steps = Count(event, "steps");
  progress->remaining_s = std::max(0.0, Number(event, "seconds_left").value_or(0));
  const json::value* losses = event.if_contains("losses");
  if (losses == nullptr || !losses->is_object()) return;
  double sum = 0;
  for (const auto& [name, value] : losses->get_object()) {
    if (value.is_number()) sum += value.to_number<double>();
  }
  if (std::isfinite(sum)) progress->loss = sum;
}

absl::Status WhyEnded(std::string_view what, const ChildEnd& end) {
  return absl::AbortedError(StrCat(what, " ", Describe(end)));
}

// What is said of a child.
struct Words {
  std::string_view name;
  std::string_view in_vain;  // until when it is of no use that it ran
  std::string_view next;     // what it does when it is started again
};

// Runs the child, again if it was killed, but not for ever. Errors as Train.
absl::Status RunToTheEnd(const ChildOptions& child, const Words& words,
                         absl::FunctionRef<void(std::string_view)> on_line, JobControl& control) {
  while (true) {
    if (control.job().starts >= kMostInterruptedStarts) {
      return absl::AbortedError(
          StrCat(words.name, " was started ", control.job().starts,
                 " times and each time interrupted, together with the trainer, ", words.in_vain,
                 ", as in a container that runs out of memory; needed: more memory for it, or a "
                 "lower --max_memory_mb"));
    }
    ++control.job().starts;
    if (absl::Status kept = control.Changed(/*durable=*/true); !kept.ok()) {
      --control.job().starts;
      return kept;
    }
    const absl::StatusOr<ChildEnd> end =
        RunChild(child, on_line, [&] { return control.should_end(); });
    if (!end.ok()) return end.status();
    if (end->asked) {
      --control.job().starts;  // no fault of its own
      (void)control.Changed(/*durable=*/true);
      return absl::CancelledError(StrCat(words.name, " was stopped"));
    }
    if (end->ok()) return absl::OkStatus();
    if (end->exit_code == kFullDisk) {
      --control.job().starts;
      return absl::ResourceExhaustedError(WhyEnded(words.name, *end).message());
    }
    if (end->signal == 0 || control.job().starts >= kMostStarts) return WhyEnded(words.name, *end);
    serving::LogLine("job.child_died", serving::LogLevel::kWarning)
        .Str("job", control.job().id)
        .Int("signal", end->signal)
        .Int("starts", control.job().starts);
    control.Say(StrCat(words.name, " ", Describe(*end), "; ", words.next));
  }
}

ChildOptions OptionsOf(const TrainingChildOptions& options, std::vector<std::string> arguments) {
  ChildOptions child{.command = {options.program},
                     .max_memory = options.max_memory,
                     .patience = options.patience,
                     .silence = kSilence};
  child.command.insert(child.command.end(), arguments.begin(), arguments.end());
  return child;
}

void AddLabelConfig(const TrainingFiles& files, std::vector<std::string>* arguments) {
  if (files.label_config.empty()) return;
  arguments->push_back(StrCat("--label_config=", files.label_config));
}

std::vector<std::string> TrainArguments(const TrainingChildOptions& options,
                                        const TrainingFiles& files) {
  std::vector<std::string> arguments;
  if (!files.command.empty()) arguments.push_back(files.command);
  // What the operator says comes first: what the trainer needs counts more.
  arguments.emplace_back(kSaveMinutes);
  arguments.insert(arguments.end(), files.flags.begin(), files.flags.end());
  for (const std::string& argument :
       {StrCat("--data=", files.train), StrCat("--images=", files.images),
        files.validation.empty() ? std::string("--val_share=0")
                                 : StrCat("--validation=", files.validation),
        StrCat("--from=", files.from), StrCat("--out=", files.out),
        StrCat("--threads=", options.threads), std::string("--report_of=last"),
        std::string("--json"), std::string("--resume")}) {
    arguments.push_back(argument);
  }
  AddLabelConfig(files, &arguments);
  return arguments;
}

}  // namespace

bool TakeTrainingLine(std::string_view line, Job* job) {
  const std::optional<json::object> event = ParseObject(line);
  if (!event) return false;
  const std::string_view kind = label_studio::TextField(*event, "event");
  if (kind == "step") {
    TakeStep(*event, &job->progress);
    return true;
  }
  if (kind == "evaluation") {
    // Of a detector, or of a segmenter.
    job->progress.score = Number(*event, event->contains("ap") ? "ap" : "iou");
    return job->progress.score.has_value();
  }
  if (kind == "saved") {
    job->starts = std::min(job->starts, 1);  // it got on
    return true;
  }
  if (kind == "start" || kind == "resumed" || kind == "encoding") {
    job->message = std::string(label_studio::TextField(*event, "message"));
    return true;
  }
  return false;
}

bool TakeComparisonLine(std::string_view line, Job* job) {
  const std::optional<json::object> event = ParseObject(line);
  if (!event || label_studio::TextField(*event, "event") != "compared") return false;
  job->message =
      StrCat("compares the new model with the one that serves: ", Count(*event, "images"), " of ",
             Count(*event, "of"), " images");
  return true;
}

absl::StatusOr<model_store::Verdict> ReadComparison(std::string_view json) {
  const auto wrong = [](std::string_view what) {
    return absl::InvalidArgumentError(
        StrCat("the comparison said no verdict: '", what, "' is missing or not understood"));
  };
  const std::optional<json::object> object = ParseObject(json);
  if (!object) return wrong("a JSON object");
  const std::optional<Outcome> outcome = OutcomeOf(label_studio::TextField(*object, "outcome"));
  if (!outcome) return wrong("outcome");
  const std::string_view reason = label_studio::TextField(*object, "reason");
  if (reason.empty()) return wrong("reason");
  using model_store::Verdict;
  Verdict verdict;
  verdict.outcome = *outcome == Outcome::kBetter      ? Verdict::Outcome::kBetter
                    : *outcome == Outcome::kNotBetter ? Verdict::Outcome::kNotBetter
                                                      : Verdict::Outcome::kUndecided;
  verdict.reason = std::string(reason);
  verdict.old_score = std::clamp(Number(*object, "old_score").value_or(0), 0.0, 1.0);
  verdict.new_score = std::clamp(Number(*object, "new_score").value_or(0), 0.0, 1.0);
  if (*outcome == Outcome::kUndecided) verdict.images_needed = Count(*object, "images_needed");
  return verdict;
}

absl::Status Train(const TrainingChildOptions& options, const TrainingFiles& files,
                   JobControl& control) {
  return RunToTheEnd(
      OptionsOf(options, TrainArguments(options, files)),
      {.name = "duet-train",
       .in_vain = "before it had saved anything new",
       .next = "it goes on from its last save"},
      [&](std::string_view line) {
        if (TakeTrainingLine(line, &control.job())) (void)control.Changed(/*durable=*/false);
      },
      control);
}

absl::StatusOr<model_store::Verdict> Compare(const TrainingChildOptions& options,
                                             const TrainingFiles& files,
                                             const std::string& new_model, double looks,
                                             JobControl& control) {
  std::vector<std::string> arguments = {"compare",
                                        StrCat("--data=", files.validation),
                                        StrCat("--images=", files.images),
                                        StrCat("--old=", files.from),
                                        StrCat("--new=", new_model),
                                        StrCat("--looks=", std::to_string(looks)),
                                        StrCat("--annotated=", files.annotated),
                                        StrCat("--threads=", options.threads),
                                        "--progress",
                                        "--json"};
  AddLabelConfig(files, &arguments);
  std::string last_line;
  const absl::Status compared = RunToTheEnd(
      OptionsOf(options, std::move(arguments)),
      {.name = "the comparison", .in_vain = "before it had ended", .next = "it begins anew"},
      [&](std::string_view line) {
        if (TakeComparisonLine(line, &control.job())) {
          (void)control.Changed(/*durable=*/false);
        } else if (line.starts_with("{")) {
          last_line = std::string(line);
        }
      },
      control);
  if (!compared.ok()) return compared;
  return ReadComparison(last_line);
}

}  // namespace trainer_service
