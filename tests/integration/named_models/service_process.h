// A model service as a process: what both kinds are asked for.
#ifndef DUET_TESTS_INTEGRATION_NAMED_MODELS_SERVICE_PROCESS_H_
#define DUET_TESTS_INTEGRATION_NAMED_MODELS_SERVICE_PROCESS_H_

#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <memory>
#include <string>
#include <vector>

#include "duet/vision/v1/model.pb.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/subprocess.h"

namespace named_models {

// `Service` is duet.detector.v1's or duet.segmenter.v1's, the messages those of its GetModel.
template <typename Service, typename GetModelRequest, typename GetModelResponse>
class ServiceProcess {
 public:
  // On free ports, with one thread.
  ServiceProcess(std::vector<std::string> command, const std::vector<std::string>& flags) {
    command.insert(command.end(), {"--port=0", "--metrics_port=0", "--threads=1"});
    command.insert(command.end(), flags.begin(), flags.end());
    process_ = std::make_unique<duet_testing::Subprocess>(command);
    const auto line = process_->WaitForLine("\"event\":\"serving\"");
    EXPECT_THAT(line, duet_testing::IsOk());
    const auto port = line.ok() ? duet_testing::IntField(*line, "port") : 1;
    address_ = "127.0.0.1:" + std::to_string(port);
    stub_ = Service::NewStub(grpc::CreateChannel(address_, grpc::InsecureChannelCredentials()));
  }

  const std::string& address() const { return address_; }

  duet_testing::Subprocess& process() { return *process_; }

  GetModelResponse GetModel(const std::string& name) {
    GetModelRequest request;
    request.mutable_model()->set_name(name);
    grpc::ClientContext call;
    GetModelResponse response;
    const grpc::Status status = stub_->GetModel(&call, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }
  duet::vision::v1::ListModelsResponse List() {
    grpc::ClientContext call;
    duet::vision::v1::ListModelsResponse response;
    const grpc::Status status = stub_->ListModels(&call, {}, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }

 protected:
  typename Service::Stub& stub() { return *stub_; }

 private:
  std::unique_ptr<duet_testing::Subprocess> process_;
  std::string address_;
  std::unique_ptr<typename Service::Stub> stub_;
};

}  // namespace named_models

#endif  // DUET_TESTS_INTEGRATION_NAMED_MODELS_SERVICE_PROCESS_H_
