// ./duet bench gateway: the gateway with stub services, beside label-studio-ml under gunicorn with
// a stub model. What each number means is in docs/performance.md.
//
// Everything is on this machine's loopback and ends by itself: the two servers are children of this
// process, on free ports.
#include <absl/flags/flag.h>
#include <absl/flags/parse.h>
#include <absl/flags/usage.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_split.h>
#include <absl/synchronization/mutex.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <optional>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "label_studio/brush_rle.h"
#include "label_studio/json_text.h"
#include "tests/bench/gateway/load.h"
#include "tests/bench/gateway/stub_services.h"
#include "tests/testing/subprocess.h"
#include "tests/testing/temp_dir.h"
#include "vision/mask_rle.h"

ABSL_FLAG(std::string, gateway, "", "The duet-gateway to measure.");
ABSL_FLAG(std::string, picture, "", "The image that every task has.");
ABSL_FLAG(std::string, gunicorn, "",
          "Of an environment with label-studio-ml; none: no comparison.");
ABSL_FLAG(std::string, reference, "", "The folder of the stub model that gunicorn serves.");
ABSL_FLAG(std::string, json, "", "Where to write the numbers.");
ABSL_FLAG(double, seconds, 5, "How long each load lasts.");
ABSL_FLAG(std::int64_t, requests, 50'000, "Requests over which memory is watched.");

namespace gateway::bench {
namespace {

namespace json = boost::json;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr int kConnections = 8;
constexpr double kRate = 200;
constexpr auto kStubPause = milliseconds(20);

constexpr char kRectangles[] =
    R"(<View><Image name="image" value="$image"/><RectangleLabels name="box" toName="image">)"
    R"(<Label value="cat"/></RectangleLabels></View>)";
constexpr char kMasks[] =
    R"(<View><Image name="image" value="$image"/><RectangleLabels name="box" toName="image">)"
    R"(<Label value="cat"/></RectangleLabels><BrushLabels name="mask" toName="image">)"
    R"(<Label value="cat"/></BrushLabels></View>)";

std::string PredictRequest(const char* label_config) {
  return HttpRequest(
      "/predict",
      json::serialize(json::object{
          {"tasks", {{{"id", 1}, {"data", {{"image", "/data/local-files/?d=picture.jpg"}}}}}},
          {"project", "1.1795395253"},
          {"label_config", label_config},
          {"params", {{"login", nullptr}, {"password", nullptr}, {"context", nullptr}}}}));
}

[[noreturn]] void Die(const std::string& sentence) {
  std::cerr << "bench_gateway: " << sentence << '\n';
  std::exit(1);
}

// A server whose stderr goes to a file, as that of a real one does.
class Server {
 public:
  // Waits until a line that contains `serving` is there.
  Server(const std::string& command, const std::string& log, const std::string& serving)
      : process_({"/bin/sh", "-c", absl::StrCat("exec ", command, " 2>'", log, "'")}) {
    for (const auto deadline = steady_clock::now() + std::chrono::seconds(60);
         steady_clock::now() < deadline; std::this_thread::sleep_for(milliseconds(10))) {
      std::ifstream file(log);
      for (std::string line; std::getline(file, line);) {
        if (line.find(serving) != std::string::npos) {
          line_ = line;
          return;
        }
      }
    }
    Die(absl::StrCat("this does not start: ", command));
  }
  ~Server() {
    process_.Signal(SIGTERM);
    process_.Wait();
  }
  const std::string& line() const { return line_; }

  // Resident memory, kB.
  std::int64_t Memory() const {
    std::ifstream file(absl::StrCat("/proc/", process_.pid(), "/status"));
    for (std::string line; std::getline(file, line);) {
      if (line.rfind("VmRSS:", 0) == 0) return std::atoll(line.c_str() + 6);
    }
    Die("the gateway has died");
  }

 private:
  duet_testing::Subprocess process_;
  std::string line_;
};

// Prints a line for people and keeps the numbers for --json.
class Report {
 public:
  void Load(const std::string& name, const LoadReport& load) {
    if (load.latencies_ms.empty()) Die(absl::StrCat(name, ": nothing was answered"));
    std::cout << absl::StrFormat("%-34s %9.0f /s   p50 %7.3f ms   p99 %7.3f ms   failed %d\n", name,
                                 load.per_second(), load.Quantile(0.5), load.Quantile(0.99),
                                 load.failed)
              << std::flush;
    numbers_[name] = json::object{{"per_second", load.per_second()},
                                  {"p50_ms", load.Quantile(0.5)},
                                  {"p99_ms", load.Quantile(0.99)},
                                  {"answered", load.answered},
                                  {"failed", load.failed}};
  }
  void Number(const std::string& name, double value, const std::string& unit) {
    std::cout << absl::StrFormat("%-34s %12.3f %s\n", name, value, unit) << std::flush;
    numbers_[name] = json::object{{"value", value}, {"unit", unit}};
  }
  void Write(const std::string& path) const {
    std::ofstream file(path);
    file << json::serialize(numbers_) << '\n';
    if (!file) Die(absl::StrCat("--json: cannot write ", path));
  }

 private:
  json::object numbers_;
};

// A blob of 4000 × 3000, wavy at its rim, as the segmenter sends it: row-major runs.
vision::Mask Blob() {
  vision::Mask mask;
  mask.size = {4000, 3000};
  for (int y = 0; y < 3000; ++y) {
    const double dy = (y - 1500) / 1300.0;
    if (dy * dy >= 1) continue;
    const double half = 1700 * std::sqrt(1 - dy * dy) + 40 * std::sin(y / 17.0);
    if (half < 1) continue;
    mask.spans.push_back({y, std::max(0, static_cast<int>(2000 - half)),
                          std::min(4000, static_cast<int>(2000 + half))});
  }
  return mask;
}

// The median over `runs`, ms: from the segmenter's runs to the text in the answer.
double BrushMilliseconds(int runs) {
  const vision::Mask mask = Blob();
  const auto counts = vision::EncodeRowRuns(mask);
  std::vector<double> times;
  for (int i = 0; i < runs; ++i) {
    const auto begin = steady_clock::now();
    const auto decoded = vision::DecodeRowRuns(mask.size, counts);
    std::string text;
    label_studio::AppendJsonBytes(label_studio::EncodeBrushRle(*decoded), &text);
    times.push_back(std::chrono::duration<double, std::milli>(steady_clock::now() - begin).count());
    if (text.size() < 100) Die("the brush is empty");
  }
  std::nth_element(times.begin(), times.begin() + runs / 2, times.end());
  return times[static_cast<std::size_t>(runs / 2)];
}

struct Throughput {
  double health = 0;
  double predict = 0;
};

Throughput MeasureSaturated(const std::string& name, std::uint16_t port, milliseconds duration,
                            Report* report) {
  const std::string health = HttpRequest("/health", "");
  const std::string predict = PredictRequest(kRectangles);
  constexpr std::int64_t kMost = 10'000'000;
  Saturate(port, health, kConnections, duration / 5, kMost);  // warm
  const LoadReport healthy = Saturate(port, health, kConnections, duration, kMost);
  report->Load(name + " /health", healthy);
  Saturate(port, predict, kConnections, duration / 5, kMost);
  const LoadReport predicted = Saturate(port, predict, kConnections, duration, kMost);
  report->Load(name + " /predict", predicted);
  return {healthy.per_second(), predicted.per_second()};
}

std::optional<Throughput> MeasureReference(const std::string& log, milliseconds duration,
                                           Report* report) {
  if (absl::GetFlag(FLAGS_gunicorn).empty()) return std::nullopt;
  // As the Dockerfile that label-studio-ml generates starts it.
  const Server server(
      absl::StrCat("'", absl::GetFlag(FLAGS_gunicorn), "' --chdir '",
                   absl::GetFlag(FLAGS_reference),
                   "' --preload --bind 127.0.0.1:0 --workers 1 --threads 8 --timeout 0 wsgi:app"),
      log, "Listening at: http://127.0.0.1:");
  const std::string& line = server.line();
  const int port = std::atoi(line.c_str() + line.find("127.0.0.1:") + 10);
  return MeasureSaturated("label-studio-ml", static_cast<std::uint16_t>(port), duration, report);
}

int Main() {
  const milliseconds duration(static_cast<int>(absl::GetFlag(FLAGS_seconds) * 1000));
  const duet_testing::TempDir folder;
  std::filesystem::copy(absl::GetFlag(FLAGS_picture), folder.path() + "/picture.jpg");
  StubServices stubs;
  Report report;

  const Server gateway(
      absl::StrCat("'", absl::GetFlag(FLAGS_gateway), "' --port=0 --detector=", stubs.address(),
                   " --segmenter=", stubs.address(), " --local_files_root='", folder.path(), "'"),
      folder.path() + "/gateway.log", "\"event\":\"serving\"");
  const auto port = static_cast<std::uint16_t>(duet_testing::IntField(gateway.line(), "port"));
  const std::string ready = HttpRequest("/readyz", "");
  for (int i = 0; Saturate(port, ready, 1, std::chrono::seconds(1), 1).answered == 0; ++i) {
    if (i == 1000) Die("the gateway does not become ready");
    std::this_thread::sleep_for(milliseconds(10));
  }

  std::cout << absl::StrFormat("saturated, %d connections\n", kConnections);
  const Throughput ours = MeasureSaturated("duet-gateway", port, duration, &report);
  report.Load("duet-gateway /predict with masks",
              Saturate(port, PredictRequest(kMasks), kConnections, duration, 10'000'000));
  const auto theirs = MeasureReference(folder.path() + "/gunicorn.log", duration, &report);
  if (theirs) {
    report.Number("/health ratio", ours.health / theirs->health, "x (needed: 15)");
    report.Number("/predict ratio", ours.predict / theirs->predict, "x (needed: 8)");
  }

  std::cout << absl::StrFormat("open loop, %.0f requests/s, stubs that take %d ms\n", kRate,
                               kStubPause.count());
  stubs.set_pause(kStubPause);
  const LoadReport open = OpenLoop(port, PredictRequest(kRectangles), kRate, duration);
  report.Load("duet-gateway /predict, open loop", open);
  report.Number("added at the median", open.Quantile(0.5) - kStubPause.count(), "ms (at most 1)");
  report.Number("added at p99", open.Quantile(0.99) - kStubPause.count(), "ms (at most 5)");
  stubs.set_pause(milliseconds(0));

  report.Number("4000x3000 blob to brush RLE", BrushMilliseconds(21), "ms (at most 8)");

  const std::int64_t requests = absl::GetFlag(FLAGS_requests);
  const auto ask = [&](std::int64_t count) {
    const LoadReport load =
        Saturate(port, PredictRequest(kMasks), kConnections, std::chrono::minutes(5), count);
    if (load.failed > 0) Die(absl::StrCat(load.failed, " requests failed"));
  };
  ask(requests / 10);
  const std::int64_t before = gateway.Memory();
  ask(requests);
  report.Number("memory before", before / 1024.0, "MiB");
  report.Number(absl::StrCat("memory after ", requests, " requests"), gateway.Memory() / 1024.0,
                "MiB");
  if (!absl::GetFlag(FLAGS_json).empty()) report.Write(absl::GetFlag(FLAGS_json));
  return 0;
}

}  // namespace
}  // namespace gateway::bench

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage("Measures duet-gateway; ./duet bench gateway calls it.");
  absl::ParseCommandLine(argc, argv);
  // As serving::RunProcess does: the stubs cost no more than a real service's gRPC.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  return gateway::bench::Main();
}
