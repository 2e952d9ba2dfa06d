// A load generator: one thread, many connections, one request over and over. Against 127.0.0.1
// only, and never for longer or more often than it was told.
#ifndef DUET_TESTS_BENCH_GATEWAY_LOAD_H_
#define DUET_TESTS_BENCH_GATEWAY_LOAD_H_

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace gateway::bench {

// A POST with this JSON, or a GET if it is "".
std::string HttpRequest(const std::string& path, const std::string& json);

struct LoadReport {
  std::int64_t answered = 0;  // with status 200
  std::int64_t failed = 0;    // any other status, or a connection that broke
  double seconds = 0;
  std::vector<double> latencies_ms;  // of the answered ones, sorted

  double per_second() const { return answered / seconds; }
  // REQUIRES: something was answered.
  double Quantile(double q) const;
};

// `connections` ask again as soon as they have their answer.
LoadReport Saturate(std::uint16_t port, const std::string& request, int connections,
                    std::chrono::milliseconds duration, std::int64_t max_requests);

// A request every 1/rate seconds, whether or not earlier ones have been answered; a latency counts
// from when its request was due. At most 256 are under way at once: what would be the 257th failed.
LoadReport OpenLoop(std::uint16_t port, const std::string& request, double rate,
                    std::chrono::milliseconds duration);

}  // namespace gateway::bench

#endif  // DUET_TESTS_BENCH_GATEWAY_LOAD_H_
