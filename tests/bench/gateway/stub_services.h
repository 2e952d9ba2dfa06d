// A detector and a segmenter over real gRPC that answer the same to everything, after a pause: what
// is left of a request's time is the gateway's. They answer on gRPC's own threads, which costs the
// least of what gRPC offers.
#ifndef DUET_TESTS_BENCH_GATEWAY_STUB_SERVICES_H_
#define DUET_TESTS_BENCH_GATEWAY_STUB_SERVICES_H_

#include <grpcpp/server.h>
#include <grpcpp/server_context.h>

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <thread>

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
  grpc::ServerUnaryReactor* FinishLater(grpc::CallbackServerContext* call);

  std::atomic<std::int64_t> pause_ms_{0};
  boost::asio::io_context io_{1};  // for pauses
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{
      io_.get_executor()};
  std::unique_ptr<Detector> detector_;
  std::unique_ptr<Segmenter> segmenter_;
  std::unique_ptr<grpc::Server> server_;
  int port_ = 0;
  std::thread clock_;  // runs io_
};

}  // namespace gateway::bench

#endif  // DUET_TESTS_BENCH_GATEWAY_STUB_SERVICES_H_
