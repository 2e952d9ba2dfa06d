#include "gateway/http/session.h"

#include <absl/strings/str_cat.h>
#include <poll.h>
#include <sys/socket.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <boost/beast/ssl/ssl_stream.hpp>
#include <cerrno>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <variant>

namespace gateway::http {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
using asio::awaitable;
using std::chrono::steady_clock;

constexpr auto kAsTuple = asio::as_tuple(asio::use_awaitable);
// How long, and how often at least, a connection is looked at for its client's hang-up.
constexpr auto kHangUpPoll = std::chrono::milliseconds(500);
constexpr auto kLinger = std::chrono::seconds(2);

// The answer to a request that could not be read, or nothing if there is nobody to answer.
std::optional<Response> RefusalOf(const beast::error_code& failure, const ServerOptions& options) {
  using beast::http::error;
  if (failure == error::header_limit) {
    return ErrorResponse(431, absl::StrCat("The request's header is larger than ",
                                           options.max_header_bytes, " bytes."));
  }
  if (failure == error::body_limit) {
    return ErrorResponse(
        413, absl::StrCat("The request's body is larger than ", options.max_body_bytes, " bytes."));
  }
  // Timeouts, resets and ends of the stream, also in the middle of a message.
  if (failure.category() != beast::http::make_error_code(error::bad_method).category() ||
      failure == error::end_of_stream || failure == error::partial_message) {
    return std::nullopt;
  }
  return ErrorResponse(400, absl::StrCat("This is not an HTTP request: ", failure.message(), "."));
}

// Returns once the client has closed its side, or at cancellation. Data that arrives (a pipelined
// request) is left alone, and then the connection is looked at from time to time.
awaitable<void> ClientGone(asio::ip::tcp::socket& socket) {
  auto [error] = co_await socket.async_wait(asio::socket_base::wait_read, kAsTuple);
  if (error) co_return;
  asio::steady_timer timer(co_await asio::this_coro::executor);
  while (true) {
    pollfd poll_fd{.fd = socket.native_handle(), .events = POLLRDHUP};
    if (::poll(&poll_fd, 1, 0) != 0) co_return;
    timer.expires_after(kHangUpPoll);
    co_await timer.async_wait(asio::use_awaitable);
  }
}

// Exceptions end here.
awaitable<Response> Guarded(const Handler& handler, const Request& request, Context& context) {
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

template <typename Stream>
class Connection : public Session, public std::enable_shared_from_this<Connection<Stream>> {
 public:
  Connection(Stream stream, std::shared_ptr<SessionHost> host)
      : stream_(std::move(stream)),
        host_(std::move(host)),
        buffer_(host_->options.max_header_bytes + (64 << 10)) {}

  awaitable<void> Run() {
    if constexpr (kTls) {
      lowest().expires_after(options().header_timeout);
      auto [error] = co_await stream_.async_handshake(asio::ssl::stream_base::server, kAsTuple);
      if (error) co_return;
    }
    while (co_await ServeOne()) {
    }
    if constexpr (kTls) {
      lowest().expires_after(kLinger);
      co_await stream_.async_shutdown(kAsTuple);
    } else {
      beast::error_code ignored;
      lowest().socket().shutdown(asio::socket_base::shutdown_send, ignored);
    }
  }

  void CloseIfIdle() override {
    asio::post(lowest().get_executor(), [self = this->shared_from_this()] {
      if (self->idle_) self->lowest().close();
    });
  }

  void Close() override {
    asio::post(lowest().get_executor(),
               [self = this->shared_from_this()] { self->lowest().close(); });
  }

 private:
  static constexpr bool kTls = !std::is_same_v<Stream, beast::tcp_stream>;

  beast::tcp_stream& lowest() { return beast::get_lowest_layer(stream_); }
  const ServerOptions& options() const { return host_->options; }

  // False: the connection is to be closed.
  awaitable<bool> ServeOne() {
    if (buffer_.size() == 0 && !co_await WaitForBytes()) co_return false;

    beast::http::request_parser<beast::http::string_body> parser;
    parser.header_limit(static_cast<std::uint32_t>(options().max_header_bytes));
    parser.body_limit(options().max_body_bytes);
    lowest().expires_after(options().header_timeout);
    auto [error, header_bytes] =
        co_await beast::http::async_read_header(stream_, buffer_, parser, kAsTuple);
    const auto started = steady_clock::now();
    if (!error && beast::iequals(parser.get()[beast::http::field::expect], "100-continue")) {
      beast::http::response<beast::http::empty_body> go_on(beast::http::status::continue_, 11);
      std::tie(error, std::ignore) = co_await beast::http::async_write(stream_, go_on, kAsTuple);
    }
    if (!error && !parser.is_done()) {
      lowest().expires_after(options().body_timeout);
      std::tie(error, std::ignore) =
          co_await beast::http::async_read(stream_, buffer_, parser, kAsTuple);
    }
    const std::optional<Response> refusal = error ? RefusalOf(error, options()) : std::nullopt;
    if (error && !refusal) co_return false;

    auto message = parser.release();
    const bool keep_alive = message.keep_alive() && !refusal;
    const unsigned version = message.version() == 10 ? 10 : 11;
    const Request request = TakeRequest(std::move(message));
    Context context(request.Header(serving::kRequestIdHeader),
                    request.Header(serving::kTraceparentHeader));
    context.started = started;

    // Not a conditional expression: gcc 12 destroys the awaited operand twice.
    Response response;
    if (refusal) {
      response = *refusal;
    } else {
      response = co_await Answer(request, context);
    }
    Outcome outcome{.status = response.status,
                    .request_bytes = request.body.size(),
                    .response_bytes = response.body.size()};
    bool written = false;
    if (response.status != 499)
      written = co_await Write(request, context, response, version, keep_alive);
    outcome.elapsed = steady_clock::now() - context.started;
    if (options().on_finished) options().on_finished(request, context, outcome);
    if (refusal && written) co_await DiscardRest();
    co_return written&& keep_alive && !host_->draining;
  }

  // Between two requests.
  awaitable<bool> WaitForBytes() {
    idle_ = true;
    if (host_->draining) co_return false;
    lowest().expires_after(options().idle_timeout);
    auto [error, count] = co_await stream_.async_read_some(buffer_.prepare(8 << 10), kAsTuple);
    idle_ = false;
    if (error) co_return false;
    buffer_.commit(count);
    co_return true;
  }

  static Request TakeRequest(beast::http::request<beast::http::string_body> message) {
    const std::string_view target(message.target().data(), message.target().size());
    const std::size_t mark = target.find('?');
    Request request{.method = message.method(),
                    .path = std::string(target.substr(0, mark)),
                    .query = mark == target.npos ? "" : std::string(target.substr(mark + 1))};
    request.body = std::move(message.body());
    request.headers = std::move(message.base());
    return request;
  }

  awaitable<Response> Answer(const Request& request, Context& context) {
    using asio::experimental::awaitable_operators::operator||;
    auto found = host_->router.Find(request, context);
    if (Response* const refusal = std::get_if<Response>(&found)) co_return std::move(*refusal);
    const auto& handler = std::get<const Route*>(found)->handler;
    if (const auto* quick = std::get_if<QuickHandler>(&handler))
      co_return (*quick)(request, context);
    lowest().expires_never();
    auto first = co_await (Guarded(std::get<Handler>(handler), request, context) ||
                           ClientGone(lowest().socket()));
    if (Response* const response = std::get_if<Response>(&first)) co_return std::move(*response);
    co_return Response{.status = 499};
  }

  awaitable<bool> Write(const Request& request, const Context& context, const Response& response,
                        unsigned version, bool keep_alive) {
    beast::http::response<beast::http::string_body> message;
    message.version(version);
    message.result(static_cast<unsigned>(response.status));
    message.set(beast::http::field::content_type, response.content_type);
    message.set("X-Request-Id", context.request.request_id());
    for (const auto& [name, value] : response.headers) message.set(name, value);
    message.keep_alive(keep_alive && !host_->draining);
    message.content_length(response.body.size());
    lowest().expires_after(options().write_timeout);
    if (request.method != beast::http::verb::head) message.body() = response.body;
    beast::http::response_serializer<beast::http::string_body> serializer(message);
    if (request.method == beast::http::verb::head) {
      auto [error, count] = co_await beast::http::async_write_header(stream_, serializer, kAsTuple);
      co_return !error;
    }
    auto [error, count] = co_await beast::http::async_write(stream_, serializer, kAsTuple);
    co_return !error;
  }

  // Closing a socket with unread data resets it, and the client may then never see the answer that
  // explains why.
  awaitable<void> DiscardRest() {
    beast::error_code error;
    if constexpr (!kTls) lowest().socket().shutdown(asio::socket_base::shutdown_send, error);
    lowest().expires_after(kLinger);
    for (std::size_t total = 0; total < options().max_body_bytes;) {
      buffer_.clear();
      auto [read_error, count] =
          co_await stream_.async_read_some(buffer_.prepare(32 << 10), kAsTuple);
      if (read_error) co_return;
      total += count;
    }
  }

  Stream stream_;
  const std::shared_ptr<SessionHost> host_;
  beast::flat_buffer buffer_;  // holds at most one header and what was read beyond it
  bool idle_ = false;          // no byte of a request has arrived; used on the strand only
};

template <typename Stream>
awaitable<void> Serve(Stream stream, std::shared_ptr<SessionHost> host) {
  auto connection = std::make_shared<Connection<Stream>>(std::move(stream), host);
  {
    const std::lock_guard lock(host->mutex);
    host->sessions.insert(connection);
  }
  try {
    co_await connection->Run();
  } catch (const std::exception&) {
    // An out-of-memory or a cancelled coroutine ends this connection, nothing else.
  }
  const std::lock_guard lock(host->mutex);
  host->sessions.erase(connection);
  host->session_ended.notify_all();
}

}  // namespace

awaitable<void> RunSession(asio::ip::tcp::socket socket, std::shared_ptr<SessionHost> host) {
  beast::error_code ignored;
  socket.set_option(asio::ip::tcp::no_delay(true), ignored);
  beast::tcp_stream stream(std::move(socket));
  if (host->options.tls) {
    co_await Serve(beast::ssl_stream<beast::tcp_stream>(std::move(stream), *host->options.tls),
                   host);
  } else {
    co_await Serve(std::move(stream), host);
  }
}

}  // namespace gateway::http
