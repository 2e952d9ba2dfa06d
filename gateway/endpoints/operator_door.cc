#include "gateway/endpoints/operator_door.h"

#include <string_view>

#include "gateway/endpoints/training_door.h"
#include "text/str_cat.h"

namespace gateway::endpoints {
namespace {

constexpr std::string_view kPassword = "--basic_auth_user opens it to those who have the password.";

}  // namespace

std::optional<http::Response> RefuseElsewhere(const http::Request& request,
                                              const http::Context& context,
                                              const http::OwnNames& own) {
  if (const char* const field = ForwardedBy(request)) {
    return http::ErrorResponse(
        403, text::StrCat("The request came through a proxy (", field,
                          "), and what becomes of people's projects is for this machine alone; ",
                          kPassword));
  }
  if (!IsThisMachine(context.peer)) {
    return http::ErrorResponse(
        403,
        text::StrCat("What becomes of people's projects is for this machine alone; ", kPassword));
  }
  return RefuseOtherName(request, context, own);
}

std::optional<http::Response> RefuseOtherName(const http::Request& request,
                                              const http::Context& context,
                                              const http::OwnNames& own) {
  if (!IsThisMachine(context.peer) || http::IsCalledByOwnName(request, own)) return std::nullopt;
  return http::ErrorResponse(
      403, text::StrCat("The request calls this machine by a name that may be a web page's; "
                        "needed: an IP address, localhost, or a name of --allowed_hosts. ",
                        kPassword));
}

}  // namespace gateway::endpoints
