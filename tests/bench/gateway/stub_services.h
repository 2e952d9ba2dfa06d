// A detector and a segmenter over real gRPC that answer the same to everything, after a pause: what
// is left of a request's time is the gateway's.
#ifndef DUET_TESTS_BENCH_GATEWAY_STUB_SERVICES_H_
#define DUET_TESTS_BENCH_GATEWAY_STUB_SERVICES_H_

#include <grpcpp/server.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>

namespace gateway::bench {

class StubServices {
 public:
  StubServices();
  ~StubServices();

  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  // Of every call from now on. Any thread.
  void set_pause(std::chrono::milliseconds pause) { pause_ms_ = pause.count(); }

 private:
  class Detector;
  class Segmenter;
  void Pause() const;

  std::atomic<std::int64_t> pause_ms_{0};
  std::unique_ptr<Detector> detector_;
  std::unique_ptr<Segmenter> segmenter_;
  std::unique_ptr<grpc::Server> server_;
  int port_ = 0;
};

}  // namespace gateway::bench

#endif  // DUET_TESTS_BENCH_GATEWAY_STUB_SERVICES_H_
