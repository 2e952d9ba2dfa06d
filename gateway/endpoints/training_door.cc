#include "gateway/endpoints/training_door.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>
#include <chrono>
#include <exception>
#include <utility>

#include "serving/log.h"
#include "text/str_cat.h"

namespace gateway::endpoints {
namespace {

namespace asio = boost::asio;
using asio::ip::address;

// A Label Studio that is moved is known again soon.
constexpr auto kLookUpAgain = std::chrono::seconds(10);

// What proxies add.
constexpr const char* kForwarded[] = {"Forwarded",
                                      "X-Forwarded",
                                      "X-Forwarded-For",
                                      "X-Forwarded-Host",
                                      "X-Forwarded-Proto",
                                      "X-Forwarded-Port",
                                      "X-Forwarded-Server",
                                      "X-Real-IP",
                                      "X-Client-IP",
                                      "X-Cluster-Client-IP",
                                      "X-Original-Forwarded-For",
                                      "X-Envoy-External-Address",
                                      "X-Envoy-Internal",
                                      "X-Request-Start",
                                      "CF-Connecting-IP",
                                      "True-Client-IP",
                                      "Fastly-Client-IP",
                                      "Via"};
// What browsers add, and neither Label Studio nor `duet` does: a web page whose name leads to this
// machine would otherwise speak with this machine's voice.
constexpr const char* kBrowsers[] = {"Origin", "Sec-Fetch-Site"};

// ::ffff:10.0.0.7 is 10.0.0.7.
address Plain(const address& peer) {
  if (peer.is_v6() && peer.to_v6().is_v4_mapped()) {
    return asio::ip::make_address_v4(asio::ip::v4_mapped, peer.to_v6());
  }
  return peer;
}

}  // namespace

http::Response MissingCredentials() {
  http::Response refusal = http::ErrorResponse(401, "User name and password are missing or wrong.");
  refusal.headers.emplace_back("WWW-Authenticate", "Basic realm=\"duet\", charset=\"UTF-8\"");
  return refusal;
}

const char* ForwardedBy(const http::Request& request) {
  for (const char* field : kForwarded) {
    if (request.headers.find(field) != request.headers.end()) return field;
  }
  return nullptr;
}

bool IsThisMachine(const address& peer) { return Plain(peer).is_loopback(); }

TrainingDoor::TrainingDoor(asio::any_io_executor executor, const std::string& label_studio_url,
                           std::shared_ptr<const BasicAuth> auth)
    : strand_(asio::make_strand(std::move(executor))), auth_(std::move(auth)), timer_(strand_) {
  const auto url = boost::urls::parse_uri(label_studio_url);
  if (!url) return;
  host_ = url->host_address();
  port_ = url->has_port() ? std::string(url->port()) : url->scheme() == "https" ? "443" : "80";
  boost::system::error_code error;
  const address literal = asio::ip::make_address(host_, error);
  if (error) return;
  addresses_.insert(Plain(literal));
  looked_up_ = true;
}

void TrainingDoor::Begin() {
  if (host_.empty() || looked_up_) return;
  asio::co_spawn(strand_, LookUpForever(), [](const std::exception_ptr& error) {
    if (error) std::rethrow_exception(error);  // a bug: nothing in it throws
  });
}

void TrainingDoor::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  asio::post(strand_, [this] { timer_.cancel(); });
}

asio::awaitable<void> TrainingDoor::LookUpForever() {
  asio::ip::tcp::resolver resolver(strand_);
  while (true) {
    const auto [error, results] =
        co_await resolver.async_resolve(host_, port_, asio::as_tuple(asio::use_awaitable));
    {
      const std::lock_guard lock(mutex_);
      if (stopping_) co_return;
      // What was known stays while a name server is away.
      if (!error) addresses_.clear();
      looked_up_ = true;
      for (const auto& entry : results) addresses_.insert(Plain(entry.endpoint().address()));
    }
    timer_.expires_after(kLookUpAgain);
    co_await timer_.async_wait(asio::as_tuple(asio::use_awaitable));
  }
}

bool TrainingDoor::IsLabelStudio(const address& peer) const {
  const std::lock_guard lock(mutex_);
  return addresses_.contains(Plain(peer));
}

std::optional<http::Response> TrainingDoor::Refuse(const http::Request& request,
                                                   const http::Context& context) const {
  std::string why;
  const int status = Judge(request, context, &why);
  if (status == 0) return std::nullopt;
  // Label Studio shows nothing of it to whoever pressed its button.
  serving::LogLine("audit.refused", serving::LogLevel::kWarning)
      .Str("who", Plain(context.peer).to_string())
      .Str("request_id", context.request.request_id())
      .Str("route", context.route)
      .Int("status", status)
      .Str("why", why);
  if (status == 401) return MissingCredentials();
  return http::ErrorResponse(status, why);
}

int TrainingDoor::Judge(const http::Request& request, const http::Context& context,
                        std::string* why) const {
  if (auth_ != nullptr) {
    if (auth_->Accepts(request.Header("Authorization"))) return 0;
    *why = "user name and password are missing or wrong";
    return 401;
  }
  const auto has = [&](const char* field) {
    return request.headers.find(field) != request.headers.end();
  };
  if (const char* const field = ForwardedBy(request)) {
    *why =
        text::StrCat("The request came through a proxy (", field,
                     "), so it isn't known whose it is, and trainings, reviews and embedding need "
                     "--basic_auth_user and its password.");
    return 403;
  }
  for (const char* field : kBrowsers) {
    if (!has(field)) continue;
    *why = text::StrCat(
        "The request is a browser's (", field,
        "), which any web page may have caused, and trainings, reviews and embedding need "
        "--basic_auth_user and its password.");
    return 403;
  }
  if (Plain(context.peer).is_loopback() || IsLabelStudio(context.peer)) return 0;
  {
    const std::lock_guard lock(mutex_);
    if (!looked_up_ && !host_.empty()) {
      *why = text::StrCat("The addresses of ", host_, " aren't looked up yet; try again.");
      return 503;
    }
  }
  *why = text::StrCat(
      "A request from ", context.peer.to_string(),
      " may neither train nor review nor embed: it comes neither from this machine nor from "
      "--label_studio_url. --basic_auth_user lets those who have the "
      "password.");
  return 403;
}

std::string TrainingDoor::NameOf(const http::Context& context) const {
  const std::string peer = Plain(context.peer).to_string();
  if (auth_ != nullptr) return text::StrCat("the user of --basic_auth_user at ", peer);
  const bool studio = IsLabelStudio(context.peer);
  if (Plain(context.peer).is_loopback()) {
    return studio ? "loopback, where Label Studio is, too" : "loopback";
  }
  return text::StrCat("Label Studio at ", peer);
}

}  // namespace gateway::endpoints
