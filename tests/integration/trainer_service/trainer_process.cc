#include "tests/integration/trainer_service/trainer_process.h"

#include <absl/strings/str_cat.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <thread>

#include "tests/integration/trainer_service/fake_project.h"

namespace trainer_service::testing {

namespace fs = std::filesystem;

TrainerProcess::TrainerProcess(const std::string& label_studio_url, const std::string& duet_train,
                               std::vector<std::string> more)
    : command_({DUET_TRAINER, "--port=0", "--metrics_port=0", "--work_dir=" + work_dir(),
                "--model_root=" + model_root(),
                "--checkpoint=" + folder_.Write("default.pth", "the default model"),
                "--label_studio_url=" + label_studio_url,
                absl::StrCat("--label_studio_api_key=", FakeProject::kToken),
                "--duet_train=" + duet_train, "--min_interval_s=0", "--retry_s=0"}) {
  fs::create_directory(model_root());
  command_.insert(command_.end(), more.begin(), more.end());
}

void TrainerProcess::Start(const std::map<std::string, std::string>& environment) {
  process_.emplace(command_, environment);
  const auto line = process_->WaitForLine("\"event\":\"serving\"");
  ASSERT_TRUE(line.ok()) << line.status();
  const std::string address = absl::StrCat("127.0.0.1:", duet_testing::IntField(*line, "port"));
  stub_ = pb::Trainer::NewStub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
}

int TrainerProcess::Stop(int signal) {
  // An idle connection, on which nobody listens, would hold up the server's end for seconds.
  if (signal == SIGTERM && streams_ == 0) stub_.reset();
  process_->Signal(signal);
  return process_->Wait();
}

pb::Job TrainerProcess::Train(std::uint64_t project,
                              const std::function<void(const pb::Job&)>& on_job) {
  pb::TrainRequest request;
  request.set_project_id(project);
  request.set_requested_by("test");
  return Train(request, on_job);
}

pb::Job TrainerProcess::Train(const pb::TrainRequest& request,
                              const std::function<void(const pb::Job&)>& on_job) {
  ++streams_;
  grpc::ClientContext call;
  const auto stream = stub_->Train(&call, request);
  pb::Job job;
  while (stream->Read(&job)) on_job(job);
  const grpc::Status status = stream->Finish();
  --streams_;
  if (!status.ok()) {
    job.set_message(
        absl::StrCat(static_cast<int>(status.error_code()), ": ", status.error_message()));
  }
  return job;
}

std::vector<pb::Job> TrainerProcess::Jobs() {
  while (true) {
    grpc::ClientContext call;
    pb::ListJobsResponse response;
    const grpc::Status status = stub_->ListJobs(&call, {}, &response);
    // On a busy machine threads that have answered may not be back yet.
    if (status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED) continue;
    EXPECT_TRUE(status.ok()) << status.error_message();
    return {response.jobs().begin(), response.jobs().end()};
  }
}

pb::Job TrainerProcess::Newest() {
  const std::vector<pb::Job> jobs = Jobs();
  return jobs.empty() ? pb::Job() : jobs.front();
}

pb::Job TrainerProcess::Follow() {
  while (true) {
    pb::Job job = Newest();
    if (job.state() >= pb::Job::STATE_DONE) return job;
    std::this_thread::yield();
  }
}

std::string TrainerProcess::Leftovers() const {
  std::string found;
  const auto add = [&](const fs::path& path) { absl::StrAppend(&found, path.string(), "\n"); };
  for (const fs::directory_entry& job : fs::directory_iterator(work_dir() + "/jobs")) {
    for (const fs::directory_entry& file : fs::directory_iterator(job)) {
      if (file.path().filename() != "job.json") add(file.path());
    }
  }
  for (const std::string& root : {work_dir(), model_root()}) {
    for (const fs::directory_entry& file : fs::recursive_directory_iterator(root)) {
      const std::string name = file.path().filename();
      const bool own = name == ".lock" && file.is_regular_file();
      if (name.find(".tmp") != std::string::npos || (name.starts_with(".") && !own)) {
        add(file.path());
      }
    }
  }
  return found;
}

}  // namespace trainer_service::testing
