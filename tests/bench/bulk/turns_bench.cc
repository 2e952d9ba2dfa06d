// The rate of a detector's DetectBatch, and that of duet prelabel with the same detector and
// images, in turns.
//
// usage: bench_bulk_turns DUET DUET_DETECTOR CHECKPOINT IMAGE COUNT ROUNDS
//
// The images are COUNT copies of IMAGE. Prints two lines a round, in images a second: "batch 81.2",
// which sends images that are in memory, and "prelabel 80.3", the whole command from its start to
// the COCO file.
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include "duet/detector/v1/detector.grpc.pb.h"
#include "tests/testing/subprocess.h"
#include "tests/testing/temp_dir.h"

namespace {

namespace detector = duet::detector::v1;
using Clock = std::chrono::steady_clock;

constexpr int kMaxMessageBytes = 64 << 20;
constexpr double kPatience = 3600;  // seconds

double RateSince(Clock::time_point begun, int count) {
  return count / std::chrono::duration<double>(Clock::now() - begun).count();
}

[[noreturn]] void Die(const std::string& why) {
  std::cerr << "bench_bulk_turns: " << why << "\n";
  std::exit(1);
}

double BatchRate(const std::string& address, const std::string& image, int count) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  const auto stub = detector::Detector::NewStub(
      grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments));
  grpc::ClientContext context;
  const Clock::time_point begun = Clock::now();
  const auto stream = stub->DetectBatch(&context);
  std::thread writer([&] {
    detector::DetectBatchRequest request;
    request.mutable_request()->mutable_image()->set_data(image);
    request.mutable_request()->set_score_threshold(0.5F);
    for (int i = 0; i < count; ++i) {
      request.set_id(std::to_string(i));
      if (!stream->Write(request)) break;
    }
    stream->WritesDone();
  });
  int answered = 0;
  detector::DetectBatchResponse response;
  while (stream->Read(&response)) answered += response.has_response() ? 1 : 0;
  writer.join();
  const grpc::Status status = stream->Finish();
  if (answered != count) Die("the detector: " + status.error_message());
  return RateSince(begun, count);
}

double PrelabelRate(const std::string& duet, const std::string& address, const std::string& folder,
                    const std::string& out, int count) {
  const Clock::time_point begun = Clock::now();
  duet_testing::Subprocess command(
      {duet, "prelabel", folder, "--out=" + out, "--detector=" + address});
  if (command.Wait(kPatience) != 0) Die(command.err());
  return RateSince(begun, count);
}

}  // namespace

int main(int argc, char** argv) {
  int count = 0;
  int rounds = 0;
  if (argc != 7 || !absl::SimpleAtoi(argv[5], &count) || !absl::SimpleAtoi(argv[6], &rounds)) {
    Die("usage: bench_bulk_turns DUET DUET_DETECTOR CHECKPOINT IMAGE COUNT ROUNDS");
  }
  const duet_testing::TempDir folder;
  const std::string image = duet_testing::ReadFile(argv[4]);
  for (int i = 0; i < count; ++i) folder.Write(absl::StrCat("images/", i, ".jpg"), image);
  duet_testing::Subprocess service({argv[2], absl::StrCat("--checkpoint=", argv[3]), "--port=0",
                                    "--metrics_port=0", "--log_level=info"});
  const auto line = service.WaitForLine("\"event\":\"serving\"");
  if (!line.ok()) Die(std::string(line.status().message()));
  const std::string address = absl::StrCat("127.0.0.1:", duet_testing::IntField(*line, "port"));
  BatchRate(address, image, std::min(count, 16));  // warms it
  for (int round = 0; round < rounds; ++round) {
    std::printf("batch %.3f\n", BatchRate(address, image, count));
    std::printf("prelabel %.3f\n",
                PrelabelRate(argv[1], address, folder.path() + "/images",
                             absl::StrCat(folder.path(), "/", round, ".json"), count));
    std::fflush(stdout);
  }
  return 0;
}
