// What a session itself answers, and how answers are written. Internal to gateway_http.
#ifndef DUET_GATEWAY_HTTP_ANSWERS_H_
#define DUET_GATEWAY_HTTP_ANSWERS_H_

#include <boost/asio/awaitable.hpp>
#include <boost/beast/core/error.hpp>
#include <cstddef>
#include <optional>
#include <string>

#include "gateway/http/message.h"
#include "gateway/http/router.h"

namespace gateway::http {

// 413. `max_bytes`: that the request's route allows; 0: no body at all.
Response TooLarge(const Context& context, std::size_t max_bytes);

// The answer to a request that could not be read, or nothing if there is nobody to answer. The
// limits are those that held for the request.
std::optional<Response> AnswerToFailure(const boost::beast::error_code& failure,
                                        const Context& context, std::size_t max_header_bytes,
                                        std::size_t max_body_bytes);

// Runs the handler; exceptions end here, as 500, or 499 if the client is gone.
boost::asio::awaitable<Response> RunHandler(const Handler& handler, Request& request,
                                            Context& context);

// Everything of an answer but its body. `version`: 10 or 11, as the request's.
std::string HeaderText(const Context& context, const Response& response, unsigned version,
                       bool keep_alive);

}  // namespace gateway::http

#endif  // DUET_GATEWAY_HTTP_ANSWERS_H_
