// From a request's body to what a parser makes of it.
#ifndef DUET_GATEWAY_ENDPOINTS_BODY_H_
#define DUET_GATEWAY_ENDPOINTS_BODY_H_

#include <boost/asio/awaitable.hpp>
#include <boost/asio/thread_pool.hpp>
#include <cstddef>
#include <string>
#include <string_view>
#include <type_traits>

#include "async/concurrency.h"
#include "gateway/http/message.h"
#include "gateway/http/metered_memory.h"
#include "label_studio/task.h"
#include "serving/request_context.h"

namespace gateway::endpoints {

// What `parse(body, limits)`, a function of task.h, makes of the request's body: on the pool if it
// is large, in memory of the server's budget. The body is dropped.
template <typename Parse>
boost::asio::awaitable<std::invoke_result_t<Parse&, std::string_view, label_studio::RequestLimits>>
ParseBody(boost::asio::thread_pool& pool, http::Request& request, Parse parse) {
  label_studio::RequestLimits limits;
  limits.memory = http::MemoryOf(request.memory.budget());
  const auto work = [&] { return parse(std::string_view(request.body), limits); };
  if (request.body.size() < async::kLargeText) {
    auto parsed = work();
    request.DropBody();
    co_return parsed;
  }
  auto working = async::OnPool(pool, work);
  auto parsed = co_await std::move(working);
  request.DropBody();
  co_return parsed;
}

// Adds the project of Label Studio's to the request's log lines; "": it named none.
inline void NoteProject(const std::string& project_id, serving::RequestContext& request) {
  if (!project_id.empty()) request.NoteStr("project", project_id);
}

// What `work()` makes of a text: on the pool if it is large.
template <typename Work>
boost::asio::awaitable<std::invoke_result_t<Work&>> OnPoolIfLarge(boost::asio::thread_pool& pool,
                                                                  const std::string& text,
                                                                  Work work) {
  if (text.size() < async::kLargeText) co_return work();
  auto working = async::OnPool(pool, work);
  co_return co_await std::move(working);
}

}  // namespace gateway::endpoints

#endif  // DUET_GATEWAY_ENDPOINTS_BODY_H_
