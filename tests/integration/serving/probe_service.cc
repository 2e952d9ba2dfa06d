// The smallest process that serving/ can carry: no model, one RPC that waits. For process_test.cc.
#include <absl/time/clock.h>
#include <grpcpp/server_context.h>

#include <stdexcept>
#include <string>

#include "duet/detector/v1/detector.grpc.pb.h"
#include "serving/cpu.h"
#include "serving/grpc_server.h"
#include "serving/process.h"

namespace {

// Detect runs until its caller goes away, or for as long as `score_threshold` says, seconds.
class ProbeService final : public duet::detector::v1::Detector::Service {
 public:
  grpc::Status Detect(grpc::ServerContext* call, const duet::detector::v1::DetectRequest* request,
                      duet::detector::v1::DetectResponse*) override {
    serving::LogLine("probe.entered");
    const absl::Time end = absl::Now() + absl::Seconds(request->score_threshold());
    while (absl::Now() < end) {
      if (call->IsCancelled()) return grpc::Status::CANCELLED;
      absl::SleepFor(absl::Milliseconds(1));
    }
    return grpc::Status::OK;
  }
};

struct ProbeOptions {
  std::string fail;
  serving::ProcessOptions process;
  serving::GrpcServerOptions server;
};

}  // namespace

int main(int argc, char** argv) {
  serving::SetUpOpenMp(argv);
  ProbeOptions options;
  serving::FlagTable flags("probe", "Does nothing, properly.");
  flags.Add("fail", &options.fail,
            "Fail at start-up with this message; 'throw': with an exception.");
  flags.Renamed("die", "fail");
  serving::AddFlags(&options.server, &flags);
  serving::AddFlags(&options.process, &flags);
  return serving::RunProcess(
      flags, argc, argv, options.process, [&](serving::Process& process) -> absl::Status {
        if (options.fail == "throw") throw std::runtime_error("thrown");
        if (!options.fail.empty()) return absl::InvalidArgumentError(options.fail);
        ProbeService service;
        auto server = serving::GrpcServer::Start(options.server, {&service}, &process.metrics());
        if (!server.ok()) return server.status();
        return process.Serve(**server);
      });
}
