// What gRPC's library says, as lines of our log ("grpc.message") instead of its own on stderr.
#ifndef DUET_SERVING_GRPC_LOG_H_
#define DUET_SERVING_GRPC_LOG_H_

#include "serving/log.h"

namespace serving {

// For the whole process; the last call counts. `errors`: the level of what gRPC calls an error,
// which is often about one connection of another process. The rest is kDebug. Thread-safe.
void RouteGrpcLog(LogLevel errors);

}  // namespace serving

#endif  // DUET_SERVING_GRPC_LOG_H_
