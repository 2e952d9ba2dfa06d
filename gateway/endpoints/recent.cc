#include "gateway/endpoints/recent.h"

#include <utility>

#include "text/str_cat.h"
#include "text/utf8.h"

namespace gateway::endpoints {
namespace {

template <typename One>
void PushBounded(std::deque<One>& all, One one, std::size_t most) {
  all.push_front(std::move(one));
  if (all.size() > most) all.pop_back();
}

}  // namespace

void Recent::Answered(Request request) {
  const std::lock_guard lock(mutex_);
  PushBounded(requests_, std::move(request), kRequests);
}

void Recent::Failed(Failure failure) {
  if (failure.sentence.size() > kMaxSentence) {
    failure.sentence = text::StrCat(text::Utf8Prefix(failure.sentence, kMaxSentence), "…");
  }
  const std::lock_guard lock(mutex_);
  PushBounded(failures_, std::move(failure), kFailures);
}

void Recent::Connected(Project project) {
  const std::string key = text::StrCat(project.profile, "/", project.id);
  const std::size_t bytes = project.project->memory_bytes();
  const std::lock_guard lock(mutex_);
  projects_.Insert(key, std::move(project), bytes);
}

std::vector<Recent::Request> Recent::requests() const {
  const std::lock_guard lock(mutex_);
  return {requests_.begin(), requests_.end()};
}

std::vector<Recent::Failure> Recent::failures() const {
  const std::lock_guard lock(mutex_);
  return {failures_.begin(), failures_.end()};
}

std::vector<Recent::Project> Recent::projects() {
  const std::lock_guard lock(mutex_);
  std::vector<Project> all;
  projects_.ForEach([&all](const Project& project) { all.push_back(project); });
  return all;
}

}  // namespace gateway::endpoints
