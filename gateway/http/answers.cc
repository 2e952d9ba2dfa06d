#include "gateway/http/answers.h"

#include <absl/strings/str_cat.h>

#include <boost/asio/error.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/status.hpp>
#include <boost/system/errc.hpp>
#include <boost/system/system_error.hpp>
#include <exception>

namespace gateway::http {

namespace asio = boost::asio;
namespace beast = boost::beast;

Response TooLarge(const Context& context, std::size_t max_bytes) {
  if (max_bytes == 0) return ErrorResponse(413, absl::StrCat(context.route, " takes no body."));
  return ErrorResponse(413,
                       absl::StrCat("The request's body is larger than ", max_bytes, " bytes."));
}

std::optional<Response> AnswerToFailure(const beast::error_code& failure, const Context& context,
                                        std::size_t max_header_bytes, std::size_t max_body_bytes) {
  using beast::http::error;
  if (failure == error::header_limit) {
    return ErrorResponse(
        431, absl::StrCat("The request's header is larger than ", max_header_bytes, " bytes."));
  }
  if (failure == error::body_limit) return TooLarge(context, max_body_bytes);
  if (failure == boost::system::errc::not_enough_memory) {
    return ErrorResponse(absl::UnavailableError(
        "The requests that are being answered take all the memory that there is for requests."));
  }
  // Timeouts, resets and ends of the stream, also in the middle of a message.
  if (failure.category() != beast::http::make_error_code(error::bad_method).category() ||
      failure == error::end_of_stream || failure == error::partial_message) {
    return std::nullopt;
  }
  return ErrorResponse(400, absl::StrCat("This is not an HTTP request: ", failure.message(), "."));
}

asio::awaitable<Response> RunHandler(const Handler& handler, Request& request, Context& context) {
  try {
    co_return co_await handler(request, context);
  } catch (const boost::system::system_error& error) {
    if (error.code() == asio::error::operation_aborted) co_return Response{.status = 499};
    context.request.NoteStr("exception", error.what());
  } catch (const std::exception& error) {
    context.request.NoteStr("exception", error.what());
  }
  co_return ErrorResponse(
      500, "The gateway failed; its log has the reason under this answer's X-Request-Id.");
}

std::string HeaderText(const Context& context, const Response& response, unsigned version,
                       bool keep_alive) {
  const auto reason =
      beast::http::obsolete_reason(static_cast<beast::http::status>(response.status));
  std::string text = absl::StrCat(version == 10 ? "HTTP/1.0 " : "HTTP/1.1 ", response.status, " ",
                                  absl::string_view(reason.data(), reason.size()),
                                  "\r\nContent-Type: ", response.content_type,
                                  "\r\nX-Request-Id: ", context.request.request_id(), "\r\n");
  for (const auto& [name, value] : response.headers) {
    absl::StrAppend(&text, name, ": ", value, "\r\n");
  }
  if (!keep_alive) {
    text += "Connection: close\r\n";
  } else if (version == 10) {
    text += "Connection: keep-alive\r\n";
  }
  // An answer 304 has no body, and a length would be that of what it stands for (RFC 9110, 8.6).
  if (response.status != 304) {
    absl::StrAppend(&text, "Content-Length: ", response.body.size(), "\r\n");
  }
  text += "\r\n";
  return text;
}

}  // namespace gateway::http
