// The body of a request as Beast's parser fills it, in memory of a budget. Internal to
// gateway_http.
#ifndef DUET_GATEWAY_HTTP_BUDGETED_BODY_H_
#define DUET_GATEWAY_HTTP_BUDGETED_BODY_H_

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/beast/core/error.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/optional/optional.hpp>
#include <boost/system/errc.hpp>
#include <cstddef>
#include <cstdint>
#include <string>

#include "gateway/http/byte_budget.h"

namespace gateway::http {

// A Body in Beast's sense. Its memory is taken from the budget as its bytes arrive; beyond the
// budget, reading fails with not_enough_memory. What a Content-Length announces is reserved at
// once, which takes addresses and no memory.
struct BudgetedBody {
  struct value_type {
    std::string text;
    ByteLease memory;
    bool forget = false;  // nothing is kept
  };

  class reader {
   public:
    template <bool isRequest, typename Fields>
    reader(boost::beast::http::header<isRequest, Fields>&, value_type& body) : body_(body) {}

    void init(const boost::optional<std::uint64_t>& length, boost::beast::error_code& error) {
      announced_ = length.has_value();
      if (announced_ && !body_.forget) body_.text.reserve(static_cast<std::size_t>(*length));
      error = {};
    }

    template <typename Buffers>
    std::size_t put(const Buffers& buffers, boost::beast::error_code& error) {
      const std::size_t count = boost::asio::buffer_size(buffers);
      if (body_.forget) return count;
      if (!MakeRoom(count)) {
        error = make_error_code(boost::system::errc::not_enough_memory);
        return 0;
      }
      for (auto at = boost::asio::buffer_sequence_begin(buffers);
           at != boost::asio::buffer_sequence_end(buffers); ++at) {
        const boost::asio::const_buffer part(*at);
        body_.text.append(static_cast<const char*>(part.data()), part.size());
      }
      error = {};
      return count;
    }

    void finish(boost::beast::error_code& error) { error = {}; }

   private:
    bool MakeRoom(std::size_t count) {
      if (announced_) return body_.memory.Grow(count);
      if (body_.text.size() + count <= body_.text.capacity()) return true;
      // For a moment there are two.
      const std::size_t room = std::max(body_.text.size() + count, 2 * body_.text.capacity());
      if (!body_.memory.Grow(room)) return false;
      std::string larger;
      larger.reserve(room);
      larger.append(body_.text);
      body_.text.swap(larger);
      body_.memory.Shrink(body_.memory.bytes() - room);
      return true;
    }

    value_type& body_;
    bool announced_ = false;
  };
};

}  // namespace gateway::http

#endif  // DUET_GATEWAY_HTTP_BUDGETED_BODY_H_
