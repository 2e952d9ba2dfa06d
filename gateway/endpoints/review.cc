// GET /review/{project}: what the project's model contradicts in its annotations.
//
// A page of tasks a request, by id, so that a project of any size is reviewed in pieces and nothing
// is kept between them; `next` says where the next page begins. The models work for it with the
// lowest rank, two tasks at a time, and one review at a time.
#include "prelabel/review.h"

#include <absl/strings/numbers.h>

#include <algorithm>
#include <atomic>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/url/parse_query.hpp>
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "async/concurrency.h"
#include "gateway/endpoints/body.h"
#include "gateway/endpoints/operator_project.h"
#include "gateway/endpoints/routes.h"
#include "text/str_cat.h"
#include "text/utf8.h"

namespace gateway::endpoints {
namespace {

namespace json = boost::json;
using boost::asio::awaitable;
using http::Context;
using http::Request;
using http::Response;
using std::chrono::system_clock;

constexpr std::int64_t kDefaultTasks = 50;
constexpr std::int64_t kMostTasks = 200;
constexpr std::size_t kConcurrency = 2;
// No task of a page is begun later, and none may take longer than the other: clients wait a minute.
constexpr auto kPageTime = std::chrono::seconds(25);
constexpr auto kAnswerTime = std::chrono::seconds(50);
// Below it the model has no opinion worth a look.
constexpr double kLeastSuspicion = 0.1;

struct Page {
  std::int64_t after = 0;  // tasks with a higher id
  std::int64_t tasks = kDefaultTasks;
};

absl::StatusOr<Page> ReadQuery(std::string_view query) {
  const auto parsed = boost::urls::parse_query({query.data(), query.size()});
  Page page;
  if (!parsed) return absl::InvalidArgumentError("the query can't be read");
  for (const auto& field : *parsed) {
    const std::string key = field.key.decode();
    const std::string value = field.value.decode();
    std::int64_t number = 0;
    const bool is_number = absl::SimpleAtoi(value, &number) && number >= 0;
    if (key == "after" && is_number) {
      page.after = number;
    } else if (key == "tasks" && is_number && number >= 1 && number <= kMostTasks) {
      page.tasks = number;
    } else {
      return absl::InvalidArgumentError(text::StrCat(
          "the query has ", text::Utf8Prefix(key, 50), "=", text::Utf8Prefix(value, 50),
          "; needed: after=TASK, the id after which the page begins, or tasks=1 to ", kMostTasks));
    }
  }
  return page;
}

// True for one owner at a time.
class Turn {
 public:
  explicit Turn(std::atomic<bool>& taken) : taken_(taken), mine_(!taken.exchange(true)) {}
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  ~Turn() {
    if (mine_) taken_ = false;
  }
  bool mine() const { return mine_; }

 private:
  std::atomic<bool>& taken_;
  const bool mine_;
};

json::value OrNull(const std::string& text) {
  return text.empty() ? json::value(nullptr) : json::value(text);
}

// In percent of the image, as Label Studio has rectangles.
json::object Percent(const vision::Box& box, vision::Size size) {
  const double width = std::max(1, size.width);
  const double height = std::max(1, size.height);
  return {{"x", 100 * box.x_min / width},
          {"y", 100 * box.y_min / height},
          {"width", 100 * box.width() / width},
          {"height", 100 * box.height() / height}};
}

json::object Describe(const prelabel::TaskReview& review, const prelabel::TaskIssue& issue) {
  const curation::Detection& found = issue.issue.found;
  json::object described = {{"task", review.task_id},
                            {"annotation", OrNull(review.annotation_id)},
                            {"region", OrNull(issue.region_id)},
                            {"to_name", issue.to_name},
                            {"item_index", issue.item_index},
                            {"kind", curation::NameOf(issue.issue.kind)},
                            {"suspicion", issue.issue.suspicion},
                            {"labels", json::array(issue.labels.begin(), issue.labels.end())},
                            {"found", nullptr},
                            {"sentence", curation::Sentence(issue.issue, issue.labels)}};
  if (found.score > 0) {
    json::object box = Percent(found.box, issue.size);
    box["label"] = found.label;
    box["score"] = found.score;
    box["iou"] = issue.issue.iou;
    described["found"] = std::move(box);
  }
  return described;
}

// The tasks of one page. Used on the request's strand.
class PageReview {
 public:
  PageReview(Application& app, label_studio_api::AnnotatedTasks page,
             prelabel::PredictContext& predict)
      : app_(app),
        page_(std::move(page)),
        predict_(predict),
        reviews_(page_.tasks.size()),
        end_(system_clock::now() + kPageTime) {}

  // Reviews as many tasks as there is time for.
  awaitable<void> Work();
  // What is known of the tasks up to the first that there was no time for, or whose model or image
  // was away: those come again with the next page. An error if that is the first one.
  absl::StatusOr<json::object> Answer() const;

 private:
  awaitable<void> ReviewOne(std::size_t i);

  Application& app_;
  const label_studio_api::AnnotatedTasks page_;
  prelabel::PredictContext& predict_;
  std::vector<std::optional<absl::StatusOr<prelabel::TaskReview>>> reviews_;
  const system_clock::time_point end_;
};

awaitable<void> PageReview::ReviewOne(std::size_t i) {
  if (system_clock::now() >= end_) co_return;
  const json::value task = json::parse(page_.tasks[i]);
  auto reviewing = prelabel::ReviewTask(app_.predictor, task.as_object(), predict_);
  reviews_[i] = co_await std::move(reviewing);
}

awaitable<void> PageReview::Work() {
  const std::function<awaitable<void>(std::size_t)> one = [this](std::size_t i) {
    return ReviewOne(i);
  };
  auto all = async::ForEachBounded(reviews_.size(), kConcurrency, one);
  co_await std::move(all);
}

absl::StatusOr<json::object> PageReview::Answer() const {
  json::array failed;
  std::vector<std::pair<double, json::object>> issues;
  std::int64_t tasks = 0;
  std::int64_t objects = 0;
  std::int64_t unknown = 0;
  std::int64_t last = 0;
  for (std::size_t i = 0; i < reviews_.size(); ++i) {
    const auto& review = reviews_[i];
    const bool later = !review || (!review->ok() && prelabel::IsRetryable(review->status()));
    if (later && tasks == 0) {
      return review ? review->status() : absl::UnavailableError("there was no time for a task");
    }
    if (later) break;
    ++tasks;
    last = json::parse(page_.tasks[i]).at("id").to_number<std::int64_t>();
    if (!review->ok()) {
      failed.push_back(
          json::object{{"task", last}, {"error", std::string(review->status().message())}});
      continue;
    }
    objects += (*review)->objects;
    unknown += (*review)->unknown;
    for (const prelabel::TaskIssue& issue : (*review)->issues) {
      if (issue.issue.suspicion < kLeastSuspicion) continue;
      issues.emplace_back(issue.issue.suspicion, Describe(**review, issue));
    }
  }
  std::stable_sort(issues.begin(), issues.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  json::array sorted;
  for (auto& [suspicion, issue] : issues) sorted.push_back(std::move(issue));
  return json::object{{"tasks", tasks},
                      {"objects", objects},
                      {"unknown", unknown},
                      {"issues", std::move(sorted)},
                      {"failed", std::move(failed)},
                      {"next", tasks == 0 ? json::value(nullptr) : json::value(last)}};
}

// Brush strokes of many tasks may be more than an answer of Label Studio's API may have.
awaitable<absl::StatusOr<label_studio_api::AnnotatedTasks>> NextTasks(
    Application& app, const label_studio_api::LabelStudioSite& site, std::string project,
    Page page) {
  for (auto count = static_cast<int>(page.tasks);; count = (count + 9) / 10) {
    auto asking = app.label_studio_api.Annotated(site, project, page.after, count);
    auto tasks = co_await std::move(asking);
    if (count == 1 || !absl::IsInvalidArgument(tasks.status())) co_return tasks;
  }
}

awaitable<absl::StatusOr<json::object>> ReviewPage(Application& app, std::string project_id,
                                                   Page page, Context& context) {
  auto finding = FindOperatorProject(app, std::move(project_id), "annotations are read", context);
  const auto found = co_await std::move(finding);
  if (!found.ok()) co_return found.status();
  prelabel::PredictContext predict{.profile = found->profile,
                                   .project = found->project,
                                   .project_id = found->id,
                                   .project_created = found->info.created,
                                   .model_name = found->setup.model_name,
                                   .model_version = found->project->ModelVersion(found->models),
                                   .label_studio = found->site,
                                   .call = {.deadline = system_clock::now() + kAnswerTime,
                                            .request_id = context.request.request_id(),
                                            .traceparent = context.request.traceparent(),
                                            .priority = serving::Priority::kPrefetch},
                                   .request = context.request};
  auto listing = NextTasks(app, found->site, found->id, page);
  auto tasks = co_await std::move(listing);
  if (!tasks.ok()) co_return ByLabelStudio(tasks.status());
  PageReview review(app, *std::move(tasks), predict);
  auto working = review.Work();
  co_await std::move(working);
  auto answer = review.Answer();
  if (answer.ok()) {
    (*answer)["project"] = found->id;
    (*answer)["model_version"] = predict.model_version;
  }
  co_return answer;
}

awaitable<Response> Review(Application& app, Request& request, Context& context) {
  std::string project = ProjectIn(request);
  NoteProject(project, context.request);
  if (!label_studio_api::IsProjectId(project)) co_return NoProject();
  const auto page = ReadQuery(request.query);
  if (!page.ok()) co_return http::ErrorResponse(page.status());
  const Turn turn(app.reviewing);
  if (!turn.mine()) {
    co_return http::ErrorResponse(
        absl::UnavailableError("Another review is running; one runs at a time."));
  }
  auto reviewing = ReviewPage(app, std::move(project), *page, context);
  auto answer = co_await std::move(reviewing);
  if (!answer.ok()) co_return http::ErrorResponse(answer.status());
  context.request.NoteInt("tasks", answer->at("tasks").get_int64());
  context.request.NoteInt("issues",
                          static_cast<std::int64_t>(answer->at("issues").get_array().size()));
  co_return http::JsonResponse(*std::move(answer));
}

}  // namespace

void AddReview(Application& app, http::Router& router) {
  router.Add(boost::beast::http::verb::get, "/review/{project}", WithApplication(app, Review));
}

}  // namespace gateway::endpoints
