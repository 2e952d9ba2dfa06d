// The end of a request's span: what its log line says, the span says as well.
#ifndef DUET_SERVING_REQUEST_SPAN_H_
#define DUET_SERVING_REQUEST_SPAN_H_

#include "serving/request_context.h"
#include "tracing/span.h"

namespace serving {

// Ends it, with the request's id and notes as its attributes: "duet.request_id", "duet.queue_ms".
void EndRequestSpan(tracing::Span span, const RequestContext& request);

}  // namespace serving

#endif  // DUET_SERVING_REQUEST_SPAN_H_
