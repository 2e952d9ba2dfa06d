// For TinyHttpServers that answer with JSON.
#ifndef DUET_TESTS_INTEGRATION_GATEWAY_TINY_JSON_H_
#define DUET_TESTS_INTEGRATION_GATEWAY_TINY_JSON_H_

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>
#include <string>

#include "tests/integration/gateway/tiny_http_server.h"

namespace duet_testing {

inline TinyResponse JsonResponse(const boost::json::value& body, int status = 200) {
  return {.status = status,
          .headers = {"Content-Type: application/json"},
          .body = boost::json::serialize(body)};
}

// The value of a parameter of the query; "" if it isn't there.
inline std::string Parameter(const std::string& target, const std::string& name) {
  const auto url = boost::urls::parse_origin_form(target);
  for (const auto& parameter : url->params()) {
    if (parameter.key == name) return parameter.value;
  }
  return "";
}

}  // namespace duet_testing

#endif  // DUET_TESTS_INTEGRATION_GATEWAY_TINY_JSON_H_
