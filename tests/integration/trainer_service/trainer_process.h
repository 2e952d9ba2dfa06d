// duet-trainer as a process with all that it works with, for tests.
#ifndef DUET_TESTS_INTEGRATION_TRAINER_SERVICE_TRAINER_PROCESS_H_
#define DUET_TESTS_INTEGRATION_TRAINER_SERVICE_TRAINER_PROCESS_H_

#include <grpcpp/channel.h>

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "duet/trainer/v1/trainer.grpc.pb.h"
#include "tests/testing/subprocess.h"
#include "tests/testing/temp_dir.h"

namespace trainer_service::testing {

namespace pb = duet::trainer::v1;

class TrainerProcess {
 public:
  // `duet_train`: the program that trains. Its checkpoint is a file of a few bytes unless `more`
  // says otherwise. Doesn't start yet.
  TrainerProcess(const std::string& label_studio_url, const std::string& duet_train,
                 std::vector<std::string> more = {});

  // Fails the test unless it serves.
  void Start(const std::map<std::string, std::string>& environment = {});
  // Waits for its end: the exit code.
  int Stop(int signal);
  duet_testing::Subprocess& process() { return *process_; }
  std::vector<std::string> command() const { return command_; }
  // Before it starts.
  void SetCommand(std::vector<std::string> command) { command_ = std::move(command); }

  pb::Trainer::Stub& stub() { return *stub_; }
  std::string model_root() const { return folder_.path() + "/models"; }
  std::string work_dir() const { return folder_.path() + "/work"; }
  const duet_testing::TempDir& folder() const { return folder_; }

  // Trains the project, and calls `on_job` with what the stream tells. The last job, or one with
  // the status in `message` if the call failed.
  pb::Job Train(
      std::uint64_t project = 7,
      const std::function<void(const pb::Job&)>& on_job = [](const pb::Job&) {});
  pb::Job Train(
      const pb::TrainRequest& request,
      const std::function<void(const pb::Job&)>& on_job = [](const pb::Job&) {});
  // The state of the newest job.
  pb::Job Newest();
  // All, the newest first.
  std::vector<pb::Job> Jobs();
  // Follows the newest job, whoever began it, until it has ended.
  pb::Job Follow();
  // Files in the work folder and the model root that no job, revision or version has: "" if none.
  std::string Leftovers() const;

 private:
  duet_testing::TempDir folder_;
  std::vector<std::string> command_;
  std::optional<duet_testing::Subprocess> process_;
  std::unique_ptr<pb::Trainer::Stub> stub_;
  std::atomic<int> streams_ = 0;
};

}  // namespace trainer_service::testing

#endif  // DUET_TESTS_INTEGRATION_TRAINER_SERVICE_TRAINER_PROCESS_H_
