// Duet's side of the comparison in side_by_side.py: does one piece of work a line of its input and
// answers with the milliseconds that it took, so that the peers can take turns on one machine.
//   bench_detector_turns --save=SIZE:FILE              the state of a model with random weights
//   bench_detector_turns --machine                     the CPU, and what oneDNN uses of it
//   bench_detector_turns CHECKPOINT IMAGE [--threads=2] [--input_size=640]
//     input lines: network fp32|bf16|plain, request fp32|bf16 (the file's bytes → boxes over gRPC),
//     gemm fp32|bf16 (GFLOP/s of a prepacked 2048³ product), memory (resident, MB). Answers: a
//     number, or "- reason".
#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "checkpoint/safetensors_writer.h"
#include "detector_service/inference/packed_network.h"
#include "detector_service/inference/plain_network.h"
#include "detector_service/rpc/detector_service.h"
#include "nn/compute_thread.h"
#include "nn/onednn/cpu.h"
#include "nn/state_dict.h"
#include "nn/threads.h"
#include "serving/clock.h"
#include "serving/cpu.h"
#include "serving/grpc_server.h"
#include "tests/bench/turns.h"

namespace {

using bench::Work;

absl::StatusOr<std::unique_ptr<detector::Network>> LoadNetwork(const std::string& checkpoint,
                                                               const std::string& form,
                                                               vision::Size size) {
  const auto file = checkpoint::ReadCheckpoint(checkpoint);
  if (!file.ok()) return file.status();
  auto model = detector::LoadDetector(file->state_dict, {});
  if (!model.ok()) return model.status();
  if (form == "plain") return detector::MakePlainNetwork(model->modules, "cpu");
  nn::onednn::CompileOptions options;
  if (form == "bf16") {
    if (!nn::onednn::CpuHasBFloat16()) return absl::UnimplementedError("no bf16 on this CPU");
    options.precision = nn::onednn::FasterPrecision(/*bf16_allowed=*/true);
  }
  return detector::MakePackedNetwork(model->modules, size, options);
}

// Runs the network alone, again and again on the same input.
absl::StatusOr<Work> NetworkWork(const std::string& checkpoint, const std::string& form, int side) {
  const vision::Size size = {side, side};
  absl::StatusOr<std::unique_ptr<detector::Network>> network = absl::InternalError("not built");
  nn::RunOnTemporaryThread([&] { network = LoadNetwork(checkpoint, form, size); });
  if (!network.ok()) return network.status();
  return bench::Timed([network = std::shared_ptr<detector::Network>(*std::move(network)), size,
                       input = at::randn({1, 3, side, side})] {
    detector::RawOutput output;
    absl::Status status;
    nn::RunOnComputeThread([&] { status = network->Run(input.data_ptr<float>(), size, &output); });
    return status;
  });
}

// A whole service on a port of its own, and a client that sends the image to it.
class Service {
 public:
  static absl::StatusOr<std::shared_ptr<Service>> Start(const detector::LoadOptions& options,
                                                        int threads) {
    auto model = detector::DetectionModel::Load(options);
    if (!model.ok()) return model.status();
    auto service = std::make_shared<Service>(*std::move(model), threads);
    auto server = serving::GrpcServer::Start({}, {&service->service_}, &service->metrics_);
    if (!server.ok()) return server.status();
    service->server_ = *std::move(server);
    service->server_->SetReady(true);
    service->stub_ = duet::detector::v1::Detector::NewStub(
        grpc::CreateChannel("127.0.0.1:" + std::to_string(service->server_->port()),
                            grpc::InsecureChannelCredentials()));
    return service;
  }

  Service(std::shared_ptr<detector::DetectionModel> model, int threads)
      : host_(std::move(model)),
        service_({.threads = threads}, &host_, &images_, &serving::Clock::Real(), &metrics_) {}

  absl::Status Detect(const std::string& picture) {
    grpc::ClientContext context;
    duet::detector::v1::DetectRequest request;
    request.mutable_image()->set_data(picture);
    duet::detector::v1::DetectResponse response;
    const grpc::Status status = stub_->Detect(&context, request, &response);
    return status.ok() ? absl::OkStatus() : absl::InternalError(status.error_message());
  }

 private:
  serving::Metrics metrics_;
  detector::ModelHost host_;
  const model_service::ImageSource images_{"", {}, metrics_};
  detector::DetectorService service_;
  std::unique_ptr<serving::GrpcServer> server_;
  std::unique_ptr<duet::detector::v1::Detector::Stub> stub_;
};

absl::StatusOr<Work> RequestWork(const std::string& checkpoint, const std::string& precision,
                                 const std::string& picture, int threads) {
  auto service = Service::Start({.checkpoint = checkpoint, .precision = precision}, threads);
  if (!service.ok()) return service.status();
  return bench::Timed(
      [service = *std::move(service), picture] { return service->Detect(picture); });
}

int Save(const std::string& size, const std::string& path) {
  const std::map<std::string, std::pair<double, double>> sizes = {{"tiny", {0.375, 0.167}},
                                                                  {"s", {0.5, 0.33}},
                                                                  {"m", {0.75, 0.67}},
                                                                  {"l", {1.0, 1.0}},
                                                                  {"x", {1.25, 1.33}}};
  const auto [widen, deepen] = sizes.at(size);
  const detector::Rtmdet model(detector::ScaledRtmdet(widen, deepen, 80));
  const absl::Status saved =
      checkpoint::WriteSafetensors(path, nn::ToStateDict(*model), checkpoint::Meta());
  if (!saved.ok()) std::fprintf(stderr, "%s\n", saved.ToString().c_str());
  return saved.ok() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  serving::SetUpOpenMp(argv);  // as the service itself does
  std::vector<std::string> files;
  int threads = 2, side = 640;
  for (int i = 1; i < argc; ++i) {
    const std::string arg = argv[i];
    if (arg.rfind("--save=", 0) == 0) {
      const auto colon = arg.find(':');
      return Save(arg.substr(7, colon - 7), arg.substr(colon + 1));
    }
    if (arg == "--machine") return bench::PrintMachine();
    if (arg.rfind("--threads=", 0) == 0) {
      threads = std::atoi(arg.c_str() + 10);
    } else if (arg.rfind("--input_size=", 0) == 0) {
      side = std::atoi(arg.c_str() + 13);
    } else {
      files.push_back(arg);
    }
  }
  if (files.size() != 2) {
    std::fprintf(stderr, "usage: bench_detector_turns CHECKPOINT IMAGE\n");
    return 1;
  }
  nn::UseThreads(threads);
  const at::NoGradGuard no_grad;
  std::ifstream file(files[1], std::ios::binary);
  const std::string picture{std::istreambuf_iterator<char>(file), {}};

  return bench::TakeTurns(
      [&](const std::string& what, const std::string& form) {
        return what == "network" ? NetworkWork(files[0], form, side)
                                 : RequestWork(files[0], form, picture, threads);
      },
      threads);
}
