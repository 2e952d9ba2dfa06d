// The rate of a segmenter's encoder, and that of duet embed with the same segmenter, in turns.
//
// usage: bench_bulk_embed DUET DUET_SEGMENTER CHECKPOINT IMAGE COUNT ROUNDS
//
// The images are COUNT copies of IMAGE, which differ behind its end. Prints two lines a round, in
// images a second: "encode 9.1", of Embed calls whose images are in memory and whose embeddings are
// not kept anywhere, eight at a time, and "embed 9.0", the whole command from its start to its end
// with every embedding in a folder.
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "duet/segmenter/v1/segmenter.grpc.pb.h"
#include "tests/testing/subprocess.h"
#include "tests/testing/temp_dir.h"

namespace {

namespace segmenter = duet::segmenter::v1;
using Clock = std::chrono::steady_clock;

constexpr int kInFlight = 8;
constexpr double kPatience = 3600;  // seconds

double RateSince(Clock::time_point begun, int count) {
  return count / std::chrono::duration<double>(Clock::now() - begun).count();
}

[[noreturn]] void Die(const std::string& why) {
  std::cerr << "bench_bulk_embed: " << why << "\n";
  std::exit(1);
}

// Behind its end a JPEG may have anything; so the images look the same and are not.
std::string Variant(const std::string& image, int round, int number) {
  return absl::StrCat(image, round, "/", number);
}

// A segmenter, and where it is.
struct Service {
  explicit Service(const std::vector<std::string>& command) : process(command) {
    const auto line = process.WaitForLine("\"event\":\"serving\"");
    if (!line.ok()) Die(std::string(line.status().message()));
    address = absl::StrCat("127.0.0.1:", duet_testing::IntField(*line, "port"));
  }

  duet_testing::Subprocess process;
  std::string address;
};

double EncodeRate(const std::string& address, const std::string& image, int round, int count) {
  const auto stub = segmenter::Segmenter::NewStub(
      grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
  std::atomic<int> next = 0;
  const Clock::time_point begun = Clock::now();
  std::vector<std::thread> callers;
  for (int i = 0; i < kInFlight; ++i) {
    callers.emplace_back([&] {
      for (int number = next++; number < count; number = next++) {
        segmenter::EmbedRequest request;
        request.set_rank(segmenter::EMBED_RANK_BATCH);
        request.mutable_image()->set_data(Variant(image, round, number));
        segmenter::EmbedResponse response;
        grpc::ClientContext call;
        const grpc::Status status = stub->Embed(&call, request, &response);
        if (!status.ok() || response.cached()) Die("Embed: " + status.error_message());
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  return RateSince(begun, count);
}

double EmbedRate(const std::string& duet, const std::string& address, const std::string& folder,
                 int count) {
  const Clock::time_point begun = Clock::now();
  duet_testing::Subprocess command(
      {duet, "embed", folder + "/images", "--out=" + folder + "/run", "--segmenter=" + address});
  if (command.Wait(kPatience) != 0) Die(command.err());
  return RateSince(begun, count);
}

}  // namespace

int main(int argc, char** argv) {
  int count = 0;
  int rounds = 0;
  if (argc != 7 || !absl::SimpleAtoi(argv[5], &count) || !absl::SimpleAtoi(argv[6], &rounds)) {
    Die("usage: bench_bulk_embed DUET DUET_SEGMENTER CHECKPOINT IMAGE COUNT ROUNDS");
  }
  const duet_testing::TempDir store;
  const std::string image = duet_testing::ReadFile(argv[4]);
  const std::vector<std::string> command = {argv[2], absl::StrCat("--checkpoint=", argv[3]),
                                            "--port=0", "--metrics_port=0", "--log_level=info"};
  std::vector<std::string> keeping = command;
  keeping.push_back("--embedding_store=file://" + store.path());
  for (int round = 0; round < rounds; ++round) {
    {
      Service service(command);
      EncodeRate(service.address, image, -1, kInFlight);  // warms it
      std::printf("encode %.3f\n", EncodeRate(service.address, image, round, count));
    }
    const duet_testing::TempDir folder;
    for (int i = 0; i < count; ++i) {
      folder.Write(absl::StrCat("images/", i, ".jpg"), Variant(image, round, i));
    }
    Service service(keeping);
    EncodeRate(service.address, image, -2 - round, kInFlight);
    std::printf("embed %.3f\n", EmbedRate(argv[1], service.address, folder.path(), count));
    std::fflush(stdout);
  }
  return 0;
}
