// The life of a process, the same for all three: starting → serving → draining → stopped.
//
//   starting → serving    the model is warm: readiness goes on
//   starting → stopped    start-up failed (exit 1), or a stop signal came first (exit 0)
//   serving → draining    SIGTERM or SIGINT: readiness goes off and, for --drain_grace_ms, all work
//                         is still taken, so that load balancers can look away first; then the
//                         listener stops accepting and finishes what is in flight, for at most
//                         --drain_timeout_s
//   draining → stopped    exit 0. A second signal cuts the grace and the waiting short.
//
// A service's main is flags, model, server (this one is whole but for its types):
//
//   int main(int argc, char** argv) {
//     serving::SetUpOpenMp(argv);  // serving/cpu.h; only where LibTorch is used
//     detector::Options options;   // holds ProcessOptions and GrpcServerOptions
//     serving::FlagTable flags("duet-detector", "Finds objects in images.");
//     // Ends with serving::AddFlags(&options.process, &flags).
//     detector::AddFlags(&options, &flags);
//     return serving::RunProcess(
//         flags, argc, argv, options.process, [&](serving::Process& process) -> absl::Status {
//           // A damaged file fails here, before the port opens.
//           auto model = detector::LoadModel(options);
//           if (!model.ok()) return model.status();
//           detector::DetectorService service(*model, process.metrics());
//           auto server =
//               serving::GrpcServer::Start(options.server, {&service}, &process.metrics());
//           if (!server.ok()) return server.status();
//           // The port is open: liveness is SERVING.
//           if (auto warm = (*model)->WarmUp(); !warm.ok()) return warm;
//           return process.Serve(**server);  // readiness is SERVING; returns when drained
//         });
//   }
#ifndef DUET_SERVING_PROCESS_H_
#define DUET_SERVING_PROCESS_H_

#include <absl/status/status.h>
#include <absl/time/time.h>

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>

#include "serving/clock.h"
#include "serving/flags.h"
#include "serving/log.h"
#include "serving/metrics.h"

namespace serving {

enum class ProcessState { kStarting, kServing, kDraining, kStopped };

// "starting", "serving", "draining" or "stopped".
const char* NameOf(ProcessState state);

struct ProcessOptions {
  std::string log_level = "info";
  int drain_grace_ms = 0;
  int drain_timeout_s = 30;
};
void AddFlags(ProcessOptions* options, FlagTable* flags);

// What takes requests from outside: GrpcServer, the gateway's HTTP server.
class Listener {
 public:
  virtual ~Listener() = default;
  // Turns the readiness endpoint on, or off for good: who keeps connections is asked to leave then,
  // if the protocol has words for it. Requests are taken either way.
  virtual void SetReady(bool ready) = 0;
  // Stops accepting, returns when nothing is in flight or at `deadline`, by when it cancels the
  // rest. May be called from another thread a second time with an earlier deadline.
  virtual void Drain(absl::Time deadline) = 0;
  // For the "serving" line: at least the chosen port.
  virtual LogFields Describe() const = 0;
};

// Thread-safe.
class Process {
 public:
  Process(const ProcessOptions& options, Clock& clock);

  // starting → serving; logs "serving" with listener.Describe(). Blocks until Stop and drains. OK,
  // or Cancelled if Stop came before.
  absl::Status Serve(Listener& listener);

  // What a stop signal does. The second call while draining ends the grace and the waiting.
  void Stop();

  ProcessState state() const;
  Metrics& metrics() { return metrics_; }
  Clock& clock() { return clock_; }

 private:
  // REQUIRES: `mutex_` is held. Logs.
  void Enter(ProcessState state);

  const ProcessOptions options_;
  Clock& clock_;
  Metrics metrics_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  ProcessState state_ = ProcessState::kStarting;
  int stops_ = 0;
};

// RunProcess' exit codes, for the purpose of the flags.
inline constexpr char kExitCodes[] =
    "Exit code 0: it was asked to end; 1: it could not start, or go on, and said why; 2: asked "
    "wrongly.";

// Parses flags (a former name is a "flag.renamed" warning), raises the limit of file descriptors
// (serving/descriptors.h), turns SIGTERM and SIGINT into Stop (all threads started by `body` have
// them blocked), runs `body` and returns main's exit code: 0 after a drain or --help, 1 with one
// "startup.failed" line if `body` fails, 2 with one plain line for a bad flag. A signal before
// Serve ends the process at once (exit 0): start-up may take a minute.
int RunProcess(FlagTable& flags, int argc, char** argv, const ProcessOptions& options,
               const std::function<absl::Status(Process&)>& body);

}  // namespace serving

#endif  // DUET_SERVING_PROCESS_H_
