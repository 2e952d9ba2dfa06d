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

#include "text/str_cat.h"

namespace gateway::endpoints {
namespace {

namespace asio = boost::asio;
using asio::ip::address;

// A Label Studio that is moved is known again soon.
constexpr auto kLookUpAgain = std::chrono::seconds(10);

// What proxies add.
constexpr const char* kForwarded[] = {"Forwarded",         "X-Forwarded-For", "X-Forwarded-Host",
                                      "X-Forwarded-Proto", "X-Real-IP",       "Via"};

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

TrainingDoor::TrainingDoor(asio::any_io_executor executor, const std::string& label_studio_url,
                           std::shared_ptr<const BasicAuth> auth)
    : strand_(asio::make_strand(std::move(executor))), auth_(std::move(auth)), timer_(strand_) {
  const auto url = boost::urls::parse_uri(label_studio_url);
  if (!url) return;
  host_ = url->host_address();
  port_ = url->has_port() ? std::string(url->port()) : url->scheme() == "https" ? "443" : "80";
  boost::system::error_code error;
  const address literal = asio::ip::make_address(host_, error);
  if (!error) addresses_.insert(Plain(literal));
}

void TrainingDoor::Begin() {
  if (host_.empty() || !addresses_.empty()) return;
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
  if (auth_ != nullptr) {
    if (auth_->Accepts(request.Header("Authorization"))) return std::nullopt;
    return MissingCredentials();
  }
  for (const char* field : kForwarded) {
    if (request.headers.find(field) == request.headers.end()) continue;
    return http::ErrorResponse(403,
                               text::StrCat("The request came through a proxy (", field,
                                            "), so it isn't known whose it is, and trainings need "
                                            "--basic_auth_user and its password."));
  }
  if (Plain(context.peer).is_loopback() || IsLabelStudio(context.peer)) return std::nullopt;
  return http::ErrorResponse(
      403, text::StrCat("A request from ", context.peer.to_string(),
                        " may not start or stop trainings: it comes neither from this machine nor "
                        "from --label_studio_url. --basic_auth_user lets those who have the "
                        "password."));
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
