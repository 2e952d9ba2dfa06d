#include "tests/integration/gateway/fake_trainer.h"

#include <absl/time/clock.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>

#include <algorithm>
#include <chrono>
#include <thread>

namespace gateway::testing {
namespace {

namespace trainer = duet::trainer::v1;

bool HasEnded(const trainer::Job& job) {
  return job.state() == trainer::Job::STATE_DONE || job.state() == trainer::Job::STATE_FAILED ||
         job.state() == trainer::Job::STATE_CANCELLED;
}

trainer::ModelKind KindOf(trainer::ModelKind kind) {
  return kind == trainer::MODEL_KIND_UNSPECIFIED ? trainer::MODEL_KIND_DETECTOR : kind;
}

}  // namespace

class FakeTrainer::Service : public trainer::Trainer::Service {
 public:
  explicit Service(FakeTrainer& owner) : owner_(owner) {}

  grpc::Status Train(grpc::ServerContext* context, const trainer::TrainRequest* request,
                     grpc::ServerWriter<trainer::Job>* writer) override {
    if (request->project_id() == 0) {
      return {grpc::StatusCode::INVALID_ARGUMENT, "project_id is missing"};
    }
    owner_.trained_ = true;
    ++owner_.streams_;
    const grpc::Status status = Stream(*context, *request, *writer);
    --owner_.streams_;
    return status;
  }

  grpc::Status Cancel(grpc::ServerContext*, const trainer::CancelRequest* request,
                      trainer::Job* response) override {
    const std::lock_guard lock(owner_.mutex_);
    trainer::Job* job = Find(request->job_id());
    if (job == nullptr) return {grpc::StatusCode::NOT_FOUND, "there is no such job"};
    if (!HasEnded(*job)) {
      job->set_state(trainer::Job::STATE_CANCELLED);
      job->set_ended_ms(absl::ToUnixMillis(absl::Now()));
      owner_.changed_.notify_all();
    }
    *response = *job;
    return grpc::Status::OK;
  }

  grpc::Status ListJobs(grpc::ServerContext* context, const trainer::ListJobsRequest* request,
                        trainer::ListJobsResponse* response) override {
    ++(request->project_id() == 0 ? owner_.lists_ : owner_.lists_of_projects_);
    while (owner_.holds_lists && owner_.trained_ && !context->IsCancelled()) {
      std::this_thread::yield();
    }
    const int limit = request->limit() == 0 ? 100 : static_cast<int>(request->limit());
    const std::lock_guard lock(owner_.mutex_);
    for (const trainer::Job& job : owner_.jobs_) {
      if (request->project_id() != 0 && job.project_id() != request->project_id()) continue;
      if (response->jobs_size() == limit) break;
      *response->add_jobs() = job;
    }
    const auto forgotten = owner_.forgotten_ms_.find(request->project_id());
    if (forgotten != owner_.forgotten_ms_.end()) response->set_forgotten_ms(forgotten->second);
    return grpc::Status::OK;
  }

  grpc::Status Forget(grpc::ServerContext*, const trainer::ForgetRequest* request,
                      trainer::ForgetResponse* response) override {
    const std::lock_guard lock(owner_.mutex_);
    const auto is_its = [&](const trainer::Job& job) {
      return job.project_id() == request->project_id();
    };
    for (const trainer::Job& job : owner_.jobs_) {
      if (is_its(job) && !HasEnded(job)) {
        return {grpc::StatusCode::FAILED_PRECONDITION, "job " + job.id() + " runs"};
      }
    }
    owner_.forgotten_ms_[request->project_id()] = absl::ToUnixMillis(absl::Now());
    response->set_jobs(static_cast<std::uint32_t>(owner_.jobs_.remove_if(is_its)));
    response->set_bytes(1000 * response->jobs());
    return grpc::Status::OK;
  }

 private:
  // REQUIRES: the mutex is held.
  trainer::Job* Find(const std::string& id) {
    const auto found = std::find_if(owner_.jobs_.begin(), owner_.jobs_.end(),
                                    [&](const trainer::Job& job) { return job.id() == id; });
    return found == owner_.jobs_.end() ? nullptr : &*found;
  }

  grpc::Status Stream(grpc::ServerContext& context, const trainer::TrainRequest& request,
                      grpc::ServerWriter<trainer::Job>& writer) {
    std::unique_lock lock(owner_.mutex_);
    owner_.asked_.push_back(request);
    auto found = std::find_if(owner_.jobs_.begin(), owner_.jobs_.end(), [&](const auto& job) {
      return job.project_id() == request.project_id() &&
             KindOf(job.kind()) == KindOf(request.kind()) && !HasEnded(job);
    });
    if (found == owner_.jobs_.end()) {
      if (owner_.full) return {grpc::StatusCode::RESOURCE_EXHAUSTED, "the queue is full"};
      trainer::Job job;
      job.set_id("job-" + std::to_string(owner_.next_++));
      job.set_project_id(request.project_id());
      job.set_kind(KindOf(request.kind()));
      job.set_requested_by(request.requested_by());
      job.set_state(trainer::Job::STATE_QUEUED);
      job.set_message("waits for its turn");
      job.set_queued_ms(absl::ToUnixMillis(absl::Now()));
      owner_.jobs_.push_front(job);
      found = owner_.jobs_.begin();
    }
    const std::string id = found->id();
    std::string last;
    while (!owner_.stopping_ && !context.IsCancelled()) {
      const trainer::Job* job = Find(id);
      if (job == nullptr) return {grpc::StatusCode::NOT_FOUND, "the job was forgotten"};
      const trainer::Job now = *job;
      if (std::string text = now.SerializeAsString(); text != last) {
        last = std::move(text);
        lock.unlock();
        if (!writer.Write(now)) return grpc::Status::CANCELLED;
        lock.lock();
        continue;
      }
      if (HasEnded(now)) return grpc::Status::OK;
      // Also to see that the client is gone.
      owner_.changed_.wait_for(lock, std::chrono::milliseconds(20));
    }
    return grpc::Status::CANCELLED;
  }

  FakeTrainer& owner_;
};

FakeTrainer::FakeTrainer(int port) : service_(std::make_unique<Service>(*this)) {
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:" + std::to_string(port), grpc::InsecureServerCredentials(),
                           &port_);
  builder.RegisterService(service_.get());
  server_ = builder.BuildAndStart();
}

FakeTrainer::~FakeTrainer() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  if (server_) server_->Shutdown(std::chrono::system_clock::now());
}

std::vector<trainer::TrainRequest> FakeTrainer::asked() const {
  const std::lock_guard lock(mutex_);
  return asked_;
}

std::vector<FakeTrainer::Job> FakeTrainer::jobs() const {
  const std::lock_guard lock(mutex_);
  return {jobs_.begin(), jobs_.end()};
}

void FakeTrainer::Add(Job job) {
  const std::lock_guard lock(mutex_);
  jobs_.push_front(std::move(job));
}

void FakeTrainer::Change(const std::string& id, const std::function<void(Job&)>& change) {
  const std::lock_guard lock(mutex_);
  for (Job& job : jobs_) {
    if (job.id() == id) change(job);
  }
  changed_.notify_all();
}

void FakeTrainer::Finish(const std::string& id, const Verdict& verdict,
                         const std::string& message) {
  Change(id, [&](Job& job) {
    job.set_state(Job::STATE_DONE);
    job.set_message(message);
    job.set_ended_ms(absl::ToUnixMillis(absl::Now()));
    *job.mutable_verdict() = verdict;
  });
}

}  // namespace gateway::testing
