#include "gateway/http/message.h"

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <utility>

#include "text/json_numbers.h"
#include "text/utf8.h"

namespace gateway::http {

std::string_view Request::Header(std::string_view name) const {
  const auto value = headers[boost::beast::string_view(name.data(), name.size())];
  return {value.data(), value.size()};
}

void Request::DropBody() {
  std::string().swap(body);  // an assignment of an empty string keeps the memory
  memory.Shrink(memory.bytes());
}

Response JsonResponse(const boost::json::value& body, int status) {
  // Bytes that aren't UTF-8 can only stand inside strings, which end up here as they are.
  std::string text = text::WithPlainNumbers(boost::json::serialize(body));
  if (!text::IsUtf8(text)) text = text::ToUtf8(text);
  return Response{.status = status, .body = std::move(text)};
}

Response ErrorResponse(int status, std::string_view sentence) {
  Response response =
      JsonResponse(boost::json::object{{"error", boost::json::string_view(sentence)}}, status);
  response.error = std::string(sentence);
  return response;
}

namespace {

int HttpStatusOf(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kFailedPrecondition:
      return 400;
    case absl::StatusCode::kUnauthenticated:  // an upstream refused us, not we the client
    case absl::StatusCode::kPermissionDenied:
      return 403;
    case absl::StatusCode::kNotFound:
      return 404;
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kAborted:
      return 409;
    case absl::StatusCode::kCancelled:
      return 499;  // nginx's number for a client that went away; nobody reads it
    case absl::StatusCode::kUnimplemented:
      return 501;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kResourceExhausted:
      return 503;
    case absl::StatusCode::kDeadlineExceeded:
      return 504;
    default:
      return 500;
  }
}

}  // namespace

Response ErrorResponse(const absl::Status& status) {
  Response response = ErrorResponse(HttpStatusOf(status.code()), std::string(status.message()));
  if (response.status == 503) response.headers.emplace_back("Retry-After", "2");
  return response;
}

}  // namespace gateway::http
