#include "trainer_service/rpc/trainer_service.h"

#include <absl/cleanup/cleanup.h>
#include <absl/status/status.h>

#include <algorithm>
#include <limits>
#include <string>

#include "serving/grpc_status.h"
#include "serving/log.h"
#include "serving/rpc_interceptor.h"
#include "text/str_cat.h"

namespace trainer_service {
namespace {

namespace pb = duet::trainer::v1;
using text::StrCat;

constexpr std::size_t kMaxRequestedBy = 200;
constexpr std::uint32_t kDefaultLimit = 100;
constexpr std::uint32_t kMostListed = 1000;

pb::Job::State ToProto(JobState state) {
  switch (state) {
    case JobState::kQueued:
      return pb::Job::STATE_QUEUED;
    case JobState::kFreezing:
      return pb::Job::STATE_FREEZING;
    case JobState::kTraining:
      return pb::Job::STATE_TRAINING;
    case JobState::kComparing:
      return pb::Job::STATE_COMPARING;
    case JobState::kDone:
      return pb::Job::STATE_DONE;
    case JobState::kFailed:
      return pb::Job::STATE_FAILED;
    case JobState::kCancelled:
      return pb::Job::STATE_CANCELLED;
  }
  return pb::Job::STATE_UNSPECIFIED;
}

pb::Verdict::Outcome ToProto(Outcome outcome) {
  switch (outcome) {
    case Outcome::kBetter:
      return pb::Verdict::OUTCOME_BETTER;
    case Outcome::kNotBetter:
      return pb::Verdict::OUTCOME_NOT_BETTER;
    case Outcome::kUndecided:
      return pb::Verdict::OUTCOME_UNDECIDED;
  }
  return pb::Verdict::OUTCOME_UNSPECIFIED;
}

absl::Status CheckProject(std::uint64_t project) {
  // Ids of Label Studio are signed.
  constexpr auto kMost = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (project > 0 && project <= kMost) return absl::OkStatus();
  return absl::InvalidArgumentError(
      StrCat("project_id is ", project, "; needed: the number of a Label Studio project"));
}

model_store::Kind KindOf(pb::ModelKind kind) {
  return kind == pb::MODEL_KIND_SEGMENTER ? model_store::Kind::kSegmenter
                                          : model_store::Kind::kDetector;
}

}  // namespace

pb::Job ToProto(const Job& job) {
  pb::Job message;
  message.set_id(job.id);
  message.set_project_id(job.project);
  message.set_kind(job.kind == model_store::Kind::kSegmenter ? pb::MODEL_KIND_SEGMENTER
                                                             : pb::MODEL_KIND_DETECTOR);
  message.set_requested_by(job.requested_by);
  message.set_state(ToProto(job.state));
  message.set_message(job.message);
  message.set_queued_ms(job.queued_ms);
  message.set_started_ms(job.started_ms);
  message.set_ended_ms(job.ended_ms);
  pb::Progress& progress = *message.mutable_progress();
  progress.set_step(job.progress.step);
  progress.set_steps(job.progress.steps);
  if (job.progress.loss) progress.set_loss(*job.progress.loss);
  if (job.progress.score) progress.set_score(*job.progress.score);
  progress.set_remaining_s(job.progress.remaining_s);
  message.set_images(job.images);
  message.set_annotations(job.annotations);
  message.set_next_job_id(job.next);
  if (!job.verdict) return message;
  pb::Verdict& verdict = *message.mutable_verdict();
  verdict.set_outcome(ToProto(job.verdict->outcome));
  verdict.set_model_name(job.model);
  verdict.set_version(job.verdict->version);
  verdict.set_parent(job.parent);
  verdict.set_old_score(job.verdict->old_score);
  verdict.set_new_score(job.verdict->new_score);
  verdict.set_images_needed(job.verdict->images_needed);
  verdict.set_model_sha256(job.verdict->model_sha256);
  return message;
}

absl::Status TrainerService::Check(const pb::TrainRequest& request) const {
  if (absl::Status status = CheckProject(request.project_id()); !status.ok()) return status;
  if (request.requested_by().size() > kMaxRequestedBy) {
    return absl::InvalidArgumentError(StrCat("requested_by has ", request.requested_by().size(),
                                             " bytes; at most ", kMaxRequestedBy, " are kept"));
  }
  switch (request.kind()) {
    case pb::MODEL_KIND_UNSPECIFIED:
    case pb::MODEL_KIND_DETECTOR:
      return absl::OkStatus();
    case pb::MODEL_KIND_SEGMENTER:
      if (segmenters_) return absl::OkStatus();
      return absl::FailedPreconditionError(
          "kind is MODEL_KIND_SEGMENTER, but this trainer has no segmenter to begin from; needed: "
          "its flag --segmenter_checkpoint, and no --notrain_segmenters");
    default:
      return absl::InvalidArgumentError(
          StrCat("kind is ", static_cast<int>(request.kind()),
                 "; needed: MODEL_KIND_DETECTOR or MODEL_KIND_SEGMENTER"));
  }
}

absl::Status TrainerService::Stream(const Job& job, grpc::ServerContext* call,
                                    grpc::ServerWriter<pb::Job>* stream) {
  const absl::Cleanup leave = [this] { --streams_; };
  if (++streams_ > kMostStreams) {
    return absl::ResourceExhaustedError(
        StrCat("job ", job.id, " is queued, but ", kMostStreams,
               " clients watch jobs already; ListJobs tells how it goes on"));
  }
  for (std::uint64_t seen = 0;;) {
    const absl::StatusOr<Job> now =
        queue_.Watch(job.id, &seen, [call] { return call->IsCancelled(); });
    if (!now.ok()) return now.status();
    if (!stream->Write(ToProto(*now))) return absl::CancelledError("the client has gone");
    if (HasEnded(now->state)) return absl::OkStatus();
  }
}

grpc::Status TrainerService::Train(grpc::ServerContext* call, const pb::TrainRequest* request,
                                   grpc::ServerWriter<pb::Job>* stream) {
  if (absl::Status status = Check(*request); !status.ok()) return serving::ToGrpc(status);
  const absl::StatusOr<Job> job = queue_.Submit({.project = request->project_id(),
                                                 .kind = KindOf(request->kind()),
                                                 .requested_by = request->requested_by(),
                                                 .and_segmenter = request->and_segmenter()});
  if (!job.ok()) return serving::ToGrpc(job.status());
  const auto context = serving::RequestContextOf(*call);
  context->NoteStr("job", job->id);
  // Who trained, for the audit.
  serving::LogLine("job.asked")
      .Request(*context)
      .Int("project", static_cast<std::int64_t>(job->project))
      .Str("kind", std::string(model_store::NameOf(job->kind)))
      .Str("requested_by", request->requested_by())
      .Str("peer", call->peer());
  return serving::ToGrpc(Stream(*job, call, stream));
}

grpc::Status TrainerService::Cancel(grpc::ServerContext* call, const pb::CancelRequest* request,
                                    pb::Job* response) {
  const absl::StatusOr<Job> job = queue_.Cancel(request->job_id());
  if (!job.ok()) return serving::ToGrpc(job.status());
  const auto context = serving::RequestContextOf(*call);
  context->NoteStr("job", job->id);
  serving::LogLine("job.cancel_asked")
      .Request(*context)
      .Str("job", job->id)
      .Int("project", static_cast<std::int64_t>(job->project))
      .Str("peer", call->peer());
  *response = ToProto(*job);
  return grpc::Status::OK;
}

grpc::Status TrainerService::ListJobs(grpc::ServerContext* /*call*/,
                                      const pb::ListJobsRequest* request,
                                      pb::ListJobsResponse* response) {
  const std::uint32_t limit = request->limit() == 0 ? kDefaultLimit : request->limit();
  for (const Job& job : queue_.List(request->project_id(), std::min(limit, kMostListed))) {
    *response->add_jobs() = ToProto(job);
  }
  response->set_forgotten_ms(queue_.ForgottenAt(request->project_id()));
  return grpc::Status::OK;
}

grpc::Status TrainerService::Forget(grpc::ServerContext* call, const pb::ForgetRequest* request,
                                    pb::ForgetResponse* response) {
  if (absl::Status status = CheckProject(request->project_id()); !status.ok()) {
    return serving::ToGrpc(status);
  }
  const absl::StatusOr<JobQueue::Forgotten> forgotten = queue_.Forget(request->project_id());
  if (!forgotten.ok()) return serving::ToGrpc(forgotten.status());
  const auto context = serving::RequestContextOf(*call);
  context->NoteInt("jobs", forgotten->jobs);
  serving::LogLine("project.forgotten")
      .Request(*context)
      .Int("project", static_cast<std::int64_t>(request->project_id()))
      .Int("jobs", forgotten->jobs)
      .Str("peer", call->peer());
  response->set_jobs(forgotten->jobs);
  response->set_bytes(forgotten->bytes);
  return grpc::Status::OK;
}

}  // namespace trainer_service
