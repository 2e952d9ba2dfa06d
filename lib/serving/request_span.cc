#include "serving/request_span.h"

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <string>
#include <string_view>

#include "text/str_cat.h"

namespace serving {

void EndRequestSpan(tracing::Span span, const RequestContext& request) {
  if (!span.recording()) return;
  span.SetStr("duet.request_id", request.request_id());
  // Notes are kept as they will be written.
  boost::json::error_code error;
  const boost::json::value notes = boost::json::parse("{" + request.notes().text() + "}", error);
  if (error || !notes.is_object()) return;
  for (const auto& [name, value] : notes.get_object()) {
    const std::string key = text::StrCat("duet.", std::string_view(name.data(), name.size()));
    if (const auto* text = value.if_string()) {
      span.SetStr(key, {text->data(), text->size()});
    } else if (const auto* yes = value.if_bool()) {
      span.SetBool(key, *yes);
    } else if (const auto* whole = value.if_int64()) {
      span.SetInt(key, *whole);
    } else if (const auto* number = value.if_double()) {
      span.SetNum(key, *number);
    }
  }
}

}  // namespace serving
