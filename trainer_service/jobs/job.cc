#include "trainer_service/jobs/job.h"

#include <absl/status/status.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <utility>

#include "text/str_cat.h"
#include "text/utf8.h"

namespace trainer_service {
namespace {

namespace json = boost::json;

constexpr std::int64_t kFormat = 1;
constexpr std::array<std::string_view, 7> kStates = {"queued", "freezing", "training", "comparing",
                                                     "done",   "failed",   "cancelled"};
constexpr std::array<std::string_view, 3> kOutcomes = {"better", "not_better", "undecided"};

template <typename Enum, std::size_t kCount>
std::optional<Enum> Named(const std::array<std::string_view, kCount>& names,
                          std::string_view name) {
  const auto at = std::find(names.begin(), names.end(), name);
  if (at == names.end()) return std::nullopt;
  return static_cast<Enum>(at - names.begin());
}

// Reads fields; the first one that is missing or of another kind makes the whole unreadable.
class Reader {
 public:
  explicit Reader(const json::object& object) : object_(object) {}

  std::string Text(std::string_view name) {
    const json::value* value = Find(name);
    if (value != nullptr && value->is_string()) return std::string(value->get_string());
    Note(name);
    return "";
  }
  template <typename Number>
  Number Get(std::string_view name) {
    const json::value* value = Find(name);
    json::error_code error;
    if (value != nullptr) {
      if (const Number number = value->to_number<Number>(error); !error) return number;
    }
    Note(name);
    return {};
  }
  void Note(std::string_view name) {
    if (wrong_.empty()) wrong_ = name;
  }
  const std::string& wrong() const { return wrong_; }

 private:
  const json::value* Find(std::string_view name) const {
    return object_.if_contains({name.data(), name.size()});
  }

  const json::object& object_;
  std::string wrong_;
};

json::object VerdictObject(const Verdict& verdict) {
  const std::string_view outcome = NameOf(verdict.outcome);
  return {{"outcome", json::string_view(outcome.data(), outcome.size())},
          {"version", verdict.version},
          {"old_score", verdict.old_score},
          {"new_score", verdict.new_score},
          {"images_needed", verdict.images_needed},
          {"model_sha256", verdict.model_sha256}};
}

Verdict ReadVerdict(const json::object& object, Reader* outer) {
  Reader read(object);
  Verdict verdict;
  const std::optional<Outcome> outcome = OutcomeOf(read.Text("outcome"));
  if (!outcome) read.Note("outcome");
  verdict.outcome = outcome.value_or(Outcome::kUndecided);
  verdict.version = read.Get<std::uint64_t>("version");
  verdict.old_score = read.Get<double>("old_score");
  verdict.new_score = read.Get<double>("new_score");
  verdict.images_needed = read.Get<std::uint32_t>("images_needed");
  // Records of earlier releases don't have it.
  if (object.contains("model_sha256")) verdict.model_sha256 = read.Text("model_sha256");
  if (!read.wrong().empty()) outer->Note(text::StrCat("verdict.", read.wrong()));
  return verdict;
}

void ReadKind(const json::object& object, Reader* read, Job* job) {
  const std::optional<model_store::Kind> kind = model_store::ParseKind(read->Text("kind"));
  if (!kind) read->Note("kind");
  job->kind = kind.value_or(model_store::Kind::kDetector);
  job->next = read->Text("next");
  const json::value* both = object.if_contains("and_segmenter");
  if (both == nullptr || !both->is_bool()) read->Note("and_segmenter");
  job->and_segmenter = both != nullptr && both->is_bool() && both->get_bool();
}

}  // namespace

std::string_view NameOf(JobState state) { return kStates[static_cast<std::size_t>(state)]; }

std::string_view NameOf(Outcome outcome) { return kOutcomes[static_cast<std::size_t>(outcome)]; }

std::optional<Outcome> OutcomeOf(std::string_view name) { return Named<Outcome>(kOutcomes, name); }

std::string JobText(const Job& job) {
  const std::string_view state = NameOf(job.state);
  const std::string_view kind = model_store::NameOf(job.kind);
  json::object object{{"format", kFormat},
                      {"id", job.id},
                      {"number", job.number},
                      {"project", job.project},
                      {"kind", json::string_view(kind.data(), kind.size())},
                      {"requested_by", text::ToUtf8(job.requested_by)},
                      {"and_segmenter", job.and_segmenter},
                      {"next", job.next},
                      {"state", json::string_view(state.data(), state.size())},
                      {"message", text::ToUtf8(job.message)},
                      {"queued_ms", job.queued_ms},
                      {"started_ms", job.started_ms},
                      {"ended_ms", job.ended_ms},
                      {"images", job.images},
                      {"annotations", job.annotations},
                      {"model", job.model},
                      {"parent", job.parent},
                      {"revision", job.revision},
                      {"project_created", text::ToUtf8(job.project_created)},
                      {"left_out", text::ToUtf8(job.left_out)},
                      {"starts", job.starts},
                      {"looks", job.looks}};
  if (job.verdict) object["verdict"] = VerdictObject(*job.verdict);
  return json::serialize(object) + "\n";
}

absl::StatusOr<Job> ParseJob(std::string_view text) {
  json::error_code error;
  const json::value value = json::parse({text.data(), text.size()}, error);
  const json::object* object = error ? nullptr : value.if_object();
  if (object == nullptr) return absl::DataLossError("is not a job's record: not a JSON object");
  Reader read(*object);
  if (read.Get<std::int64_t>("format") != kFormat) read.Note("format");
  Job job;
  job.id = read.Text("id");
  job.number = read.Get<std::uint64_t>("number");
  job.project = read.Get<std::uint64_t>("project");
  job.requested_by = read.Text("requested_by");
  const std::optional<JobState> state = Named<JobState>(kStates, read.Text("state"));
  if (!state) read.Note("state");
  job.state = state.value_or(JobState::kFailed);
  job.message = read.Text("message");
  job.queued_ms = read.Get<std::int64_t>("queued_ms");
  job.started_ms = read.Get<std::int64_t>("started_ms");
  job.ended_ms = read.Get<std::int64_t>("ended_ms");
  job.images = read.Get<std::uint32_t>("images");
  job.annotations = read.Get<std::uint32_t>("annotations");
  job.model = read.Text("model");
  job.parent = read.Get<std::uint64_t>("parent");
  job.revision = read.Text("revision");
  job.left_out = read.Text("left_out");
  job.starts = read.Get<int>("starts");
  // Earlier releases trained detectors alone.
  if (object->contains("kind")) ReadKind(*object, &read, &job);
  if (object->contains("project_created")) job.project_created = read.Text("project_created");
  if (object->contains("looks")) job.looks = read.Get<double>("looks");
  const json::value* verdict = object->if_contains("verdict");
  if (verdict != nullptr && verdict->is_object()) {
    job.verdict = ReadVerdict(verdict->get_object(), &read);
  } else if (verdict != nullptr || job.state == JobState::kDone) {
    read.Note("verdict");
  }
  if (read.wrong().empty()) return job;
  return absl::DataLossError(
      text::StrCat("is not a job's record: '", read.wrong(), "' is missing or not understood"));
}

}  // namespace trainer_service
