#include "serving/grpc_log.h"

#include <grpc/support/log.h>

#include <atomic>

namespace serving {
namespace {

std::atomic<LogLevel> error_level = LogLevel::kWarning;

}  // namespace

void RouteGrpcLog(LogLevel errors) {
  error_level = errors;
  gpr_set_log_function([](gpr_log_func_args* args) {
    const LogLevel level =
        args->severity == GPR_LOG_SEVERITY_ERROR ? error_level.load() : LogLevel::kDebug;
    LogLine("grpc.message", level).Str("text", args->message);
  });
}

}  // namespace serving
