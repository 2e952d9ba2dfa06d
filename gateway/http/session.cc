#include "gateway/http/session.h"

#include <absl/strings/str_cat.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/buffers_suffix.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/stream_traits.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/ssl/ssl_stream.hpp>
#include <exception>
#include <limits>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <variant>

#include "gateway/http/answers.h"
#include "gateway/http/budgeted_body.h"
#include "gateway/http/framing.h"
#include "serving/request_span.h"
#include "tracing/span.h"

namespace gateway::http {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
using asio::awaitable;
using std::chrono::steady_clock;

constexpr auto kAsTuple = asio::as_tuple(asio::use_awaitable);
// How often a connection is looked at for its client's hang-up while a handler runs.
constexpr auto kHangUpPoll = std::chrono::milliseconds(250);
constexpr auto kLinger = std::chrono::seconds(2);

// A refused body up to this is read and forgotten, so that its connection can be kept.
constexpr std::uint64_t kForgettableBytes = 64 << 10;

std::string MethodOf(const Request& request) {
  const auto method = beast::http::to_string(request.method);
  return {method.data(), method.size()};
}

// The client has closed its side. Data that has arrived (a pipelined request) is left alone.
bool IsGone(asio::ip::tcp::socket& socket) {
  pollfd poll_fd{.fd = socket.native_handle(), .events = POLLRDHUP};
  return !socket.is_open() || ::poll(&poll_fd, 1, 0) != 0;
}

template <typename Stream>
class Connection : public Session, public std::enable_shared_from_this<Connection<Stream>> {
 public:
  Connection(Stream stream, std::shared_ptr<SessionHost> host)
      : stream_(std::move(stream)),
        host_(std::move(host)),
        buffer_(host_->options.max_header_bytes + (64 << 10)),
        alarm_(stream_.get_executor(), kNever) {}

  // Serves the connection to its end; call once. `on_end` runs on the connection's strand.
  template <typename OnEnd>
  void Run(OnEnd on_end) {
    auto end = [self = this->shared_from_this(), on_end](std::exception_ptr) {
      // An exception (out of memory, a cancelled coroutine) ends this connection, nothing else.
      // The handler of a pending wait holds the connection.
      self->ended_ = true;
      self->alarm_.cancel();
      on_end();
    };
    asio::co_spawn(socket().get_executor(), Serve(),
                   asio::bind_cancellation_slot(abandon_.slot(), std::move(end)));
  }

  void CloseIfIdle() override {
    asio::post(socket().get_executor(), [self = this->shared_from_this()] {
      if (self->idle_) self->CloseNow();
    });
  }

  void Close() override {
    asio::post(socket().get_executor(), [self = this->shared_from_this()] { self->CloseNow(); });
  }

 private:
  using Parser = beast::http::request_parser<BudgetedBody>;
  using AnyHandler = decltype(Route::handler);
  static constexpr bool kTls = !std::is_same_v<Stream, asio::ip::tcp::socket>;
  static constexpr auto kNever = steady_clock::time_point::max();

  asio::ip::tcp::socket& socket() { return beast::get_lowest_layer(stream_); }
  const ServerOptions& options() const { return host_->options; }

  void CloseNow() {
    beast::error_code ignored;
    socket().close(ignored);
    if (handling_) abandon_.emit(asio::cancellation_type::terminal);
  }

  // The connection is closed `after` from now, unless this is called again before; while a handler
  // runs, only if the client is gone. Requests are far more frequent than timeouts, so the alarm is
  // left alone as long as it rings early enough, and looks then.
  void CloseAfter(steady_clock::duration after) {
    deadline_ = steady_clock::now() + after;
    if (deadline_ < alarm_.expiry()) SetAlarm();
  }

  void SetAlarm() {
    alarm_.expires_at(deadline_);
    alarm_.async_wait([self = this->shared_from_this()](const beast::error_code& error) {
      if (error || self->ended_) return;
      const bool due = steady_clock::now() >= self->deadline_;
      if (due && (!self->handling_ || IsGone(self->socket()))) return self->CloseNow();
      if (due) self->deadline_ = steady_clock::now() + kHangUpPoll;
      self->SetAlarm();
    });
  }

  awaitable<void> Serve() {
    if constexpr (kTls) {
      CloseAfter(options().header_timeout);
      auto [error] = co_await stream_.async_handshake(asio::ssl::stream_base::server, kAsTuple);
      if (error) co_return;
    }
    while (co_await ServeOne()) {
    }
    if constexpr (kTls) {
      CloseAfter(kLinger);
      co_await stream_.async_shutdown(kAsTuple);
    } else {
      beast::error_code ignored;
      socket().shutdown(asio::socket_base::shutdown_send, ignored);
    }
  }

  // False: the connection is to be closed.
  awaitable<bool> ServeOne() {
    if (buffer_.size() == 0 && !co_await WaitForBytes()) co_return false;

    Parser parser;
    auto reading_header = ReadHeader(parser);
    beast::error_code error = co_await std::move(reading_header);
    const auto started = steady_clock::now();
    const unsigned version = !error && parser.get().version() == 10 ? 10 : 11;
    Request request = error ? Request() : TakeRequest(parser.get());
    tracing::Span span = BeginSpan(request, error.failed());
    Context context(request.Header(serving::kRequestIdHeader), span.traceparent());
    context.started = started;
    beast::error_code unknown;
    context.peer = socket().remote_endpoint(unknown).address();

    Admission admission;
    if (error) {
      admission.is_framed = false;
      admission.refusal = AnswerToFailure(error, context, options().max_header_bytes, 0);
      if (!admission.refusal) co_return false;
    } else {
      admission = Admit(parser, request, context, version);
    }
    std::optional<Response>& refusal = admission.refusal;
    const bool waits =
        version == 11 && !error && beast::iequals(request.Header("Expect"), "100-continue");
    bool forget = false;  // the body comes after the answer, and nobody wants it
    // Scanners and probes would soon be most of what is recorded.
    if (refusal || std::holds_alternative<QuickHandler>(*admission.handler)) span.Discard();
    if (!refusal && !parser.is_done()) {
      parser.body_limit(admission.max_body_bytes);
      parser.get().body().memory =
          ByteLease(admission.from_anybody ? host_->memory_for_anybody : host_->memory);
      auto reading = ReadBody(parser, waits);
      error = co_await std::move(reading);
      request.body = std::move(parser.get().body().text);
      request.memory = std::move(parser.get().body().memory);
      if (error) {
        request.DropBody();
        admission.is_framed = false;
        refusal =
            AnswerToFailure(error, context, options().max_header_bytes, admission.max_body_bytes);
        span.Discard();
        if (!refusal) co_return false;
      }
    } else if (refusal && admission.is_framed && !parser.is_done()) {
      const auto length = parser.content_length();
      forget = parser.keep_alive() && !waits && length && *length <= kForgettableBytes;
    }
    const bool rest_is_unread = !admission.is_framed || (!forget && !parser.is_done());
    const std::size_t request_bytes = request.body.size();

    // Not a conditional expression: gcc 12 destroys the awaited operand twice.
    Response response;
    if (refusal) {
      response = *std::move(refusal);
    } else {
      response = co_await Answer(*admission.handler, request, context);
    }
    request.DropBody();
    AccessRecord record{.status = response.status,
                        .error = response.error,
                        .request_bytes = request_bytes,
                        .response_bytes = response.body.size()};
    // Decided once: a client that is told so sends its next request.
    const bool keep_alive =
        !error && parser.keep_alive() && !rest_is_unread && host_->keeps_connections;
    bool written = false;
    if (response.status != 499)
      written = co_await Write(request, context, response, version, keep_alive);
    record.elapsed = steady_clock::now() - context.started;
    if (options().on_finished) options().on_finished(request, context, record);
    EndSpan(std::move(span), request, context, record);
    if (written && forget) {
      parser.get().body().forget = true;
      auto reading = ReadBody(parser, /*waits=*/false);
      error = co_await std::move(reading);
      co_return !error && keep_alive;
    }
    if (written && rest_is_unread) co_await DiscardRest();
    co_return written&& keep_alive;
  }

  static tracing::Span BeginSpan(const Request& request, bool is_none) {
    if (is_none) return tracing::Span(/*parent=*/"", "");
    return tracing::StartRequest(request.Header(serving::kTraceparentHeader), MethodOf(request));
  }

  // Says what the request was, by OpenTelemetry's conventions.
  static void EndSpan(tracing::Span span, const Request& request, const Context& context,
                      const AccessRecord& record) {
    if (!span.recording()) return;
    const std::string method = MethodOf(request);
    span.SetName(method + " " + context.route);
    span.SetStr("http.request.method", method);
    span.SetStr("http.route", context.route);
    span.SetInt("http.response.status_code", record.status);
    if (record.status >= 500) span.SetStatus(absl::InternalError(record.error));
    serving::EndRequestSpan(std::move(span), context.request);
  }

  awaitable<beast::error_code> ReadHeader(Parser& parser) {
    parser.header_limit(static_cast<std::uint32_t>(options().max_header_bytes));
    parser.body_limit(boost::none);  // depends on the route
    CloseAfter(options().header_timeout);
    beast::error_code error = TakeArrived(parser);
    if (error == beast::http::error::need_more) {
      std::tie(error, std::ignore) =
          co_await beast::http::async_read_header(stream_, buffer_, parser, kAsTuple);
    }
    co_return error;
  }

  // What a header decides.
  struct Admission {
    const AnyHandler* handler = nullptr;  // unless it is refused
    std::size_t max_body_bytes = 0;
    bool from_anybody = false;  // BodyLimits::from_anybody
    std::optional<Response> refusal = {};
    bool is_framed = true;  // it is known where the request ends
  };

  // Decides all that the header decides, before a byte of the body is read.
  Admission Admit(const Parser& parser, const Request& request, Context& context,
                  unsigned version) const {
    if (const auto fault = FramingFault(request.headers, version)) {
      return {
          .refusal = ErrorResponse(400, absl::StrCat("This is not an HTTP request: ", *fault, ".")),
          .is_framed = false};
    }
    auto found = host_->router.Find(request, context);
    if (Response* const refused = std::get_if<Response>(&found)) {
      return {.refusal = std::move(*refused)};
    }
    const Route& route = *std::get<const Route*>(found);
    Admission admission{.handler = &route.handler,
                        .max_body_bytes = std::min(route.body.max_bytes, options().max_body_bytes),
                        .from_anybody = route.body.from_anybody};
    if (parser.content_length().value_or(0) > admission.max_body_bytes) {
      admission.refusal = TooLarge(context, admission.max_body_bytes);
    }
    return admission;
  }

  // Into the parser's body; first tells a client that waits for it to go on.
  awaitable<beast::error_code> ReadBody(Parser& parser, bool waits) {
    beast::error_code error;
    if (waits) {
      constexpr std::string_view kGoOn = "HTTP/1.1 100 Continue\r\n\r\n";
      std::tie(error, std::ignore) =
          co_await asio::async_write(stream_, asio::buffer(kGoOn), kAsTuple);
      if (error) co_return error;
    }
    parser.eager(true);
    error = TakeArrived(parser);
    if (error == beast::http::error::need_more || (!error && !parser.is_done())) {
      CloseAfter(options().body_timeout);
      std::tie(error, std::ignore) =
          co_await beast::http::async_read(stream_, buffer_, parser, kAsTuple);
    }
    co_return error;
  }

  // Parses what has arrived, without a turn through the scheduler as Beast's operations take it;
  // need_more if that isn't all.
  beast::error_code TakeArrived(Parser& parser) {
    beast::error_code error;
    buffer_.consume(parser.put(buffer_.data(), error));
    return error;
  }

  // Between two requests.
  awaitable<bool> WaitForBytes() {
    idle_ = true;
    if (host_->draining) co_return false;
    CloseAfter(options().idle_timeout);
    auto [error, count] = co_await stream_.async_read_some(buffer_.prepare(8 << 10), kAsTuple);
    idle_ = false;
    if (error) co_return false;
    buffer_.commit(count);
    co_return true;
  }

  // The header's; the body is read later.
  static Request TakeRequest(beast::http::request<BudgetedBody>& message) {
    const std::string_view target(message.target().data(), message.target().size());
    const std::size_t mark = target.find('?');
    Request request{.method = message.method(),
                    .path = std::string(target.substr(0, mark)),
                    .query = mark == target.npos ? "" : std::string(target.substr(mark + 1))};
    // Fields behind a chunked body go where nobody looks.
    request.headers = std::move(static_cast<beast::http::fields&>(message));
    return request;
  }

  awaitable<Response> Answer(const AnyHandler& handler, Request& request, Context& context) {
    if (const auto* quick = std::get_if<QuickHandler>(&handler))
      co_return (*quick)(request, context);
    handling_ = true;
    CloseAfter(kHangUpPoll);
    auto work = RunHandler(std::get<Handler>(handler), request, context);
    Response response = co_await std::move(work);
    handling_ = false;
    const asio::cancellation_state state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() != asio::cancellation_type::none) {
      co_await asio::this_coro::reset_cancellation_state(asio::enable_terminal_cancellation());
    }
    co_return response;
  }

  // Not by Beast's serializer, which takes longer than everything else that a short answer needs.
  awaitable<bool> Write(const Request& request, const Context& context, const Response& response,
                        unsigned version, bool keep_alive) {
    const std::string header = HeaderText(context, response, version, keep_alive);
    CloseAfter(options().write_timeout);
    const bool head_only = request.method == beast::http::verb::head;
    const std::array<asio::const_buffer, 2> parts = {
        asio::buffer(header), head_only ? asio::const_buffer() : asio::buffer(response.body)};
    beast::buffers_suffix<std::array<asio::const_buffer, 2>> rest(parts);
    if constexpr (!kTls) {
      // Nearly every answer fits into the socket's buffer, and then there is nothing to wait for.
      beast::error_code error;
      rest.consume(socket().write_some(rest, error));
      if (error && error != asio::error::would_block) co_return false;
      if (asio::buffer_size(rest) == 0) co_return true;
    }
    auto [error, count] = co_await asio::async_write(stream_, rest, kAsTuple);
    co_return !error;
  }

  // Closing a socket with unread data resets it, and the client may then never see the answer that
  // explains why.
  awaitable<void> DiscardRest() {
    beast::error_code error;
    if constexpr (!kTls) socket().shutdown(asio::socket_base::shutdown_send, error);
    CloseAfter(kLinger);
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
  beast::flat_buffer buffer_;          // holds at most one header and what was read beyond it
  asio::cancellation_signal abandon_;  // ends what the coroutine waits for
  // Used on the strand only, as all that follows.
  bool idle_ = false;      // no byte of a request has arrived
  bool handling_ = false;  // a handler runs that may wait
  bool ended_ = false;
  asio::steady_timer alarm_;
  steady_clock::time_point deadline_ = kNever;
};

template <typename Stream>
void Start(Stream stream, std::shared_ptr<SessionHost> host) {
  auto connection = std::make_shared<Connection<Stream>>(std::move(stream), host);
  if (host->options.on_connection) host->options.on_connection(+1);
  {
    const std::lock_guard lock(host->mutex);
    host->sessions.insert(connection);
  }
  connection->Run([host, key = std::weak_ptr<Session>(connection)] {
    if (host->options.on_connection) host->options.on_connection(-1);
    const std::lock_guard lock(host->mutex);
    host->sessions.erase(key.lock());
    host->session_ended.notify_all();
  });
}

}  // namespace

void StartSession(asio::ip::tcp::socket socket, std::shared_ptr<SessionHost> host) {
  beast::error_code ignored;
  socket.set_option(asio::ip::tcp::no_delay(true), ignored);
  socket.non_blocking(true, ignored);
  if (host->options.tls) {
    // The stream keeps what it needs of the context.
    Start(beast::ssl_stream<asio::ip::tcp::socket>(std::move(socket), *host->options.tls()), host);
  } else {
    Start(std::move(socket), host);
  }
}

}  // namespace gateway::http
