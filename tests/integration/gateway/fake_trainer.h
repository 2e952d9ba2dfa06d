// A trainer over real gRPC on a free port, as proto/duet/trainer/v1/trainer.proto says it; a test
// decides what becomes of its jobs. All members are safe to use while the server runs.
#ifndef DUET_TESTS_INTEGRATION_GATEWAY_FAKE_TRAINER_H_
#define DUET_TESTS_INTEGRATION_GATEWAY_FAKE_TRAINER_H_

#include <grpcpp/server.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "duet/trainer/v1/trainer.grpc.pb.h"

namespace gateway::testing {

class FakeTrainer {
 public:
  using Job = duet::trainer::v1::Job;
  using Verdict = duet::trainer::v1::Verdict;

  // Port 0: any free one.
  explicit FakeTrainer(int port = 0);
  ~FakeTrainer();

  int port() const { return port_; }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

  // Latest first.
  std::vector<Job> jobs() const;
  // What Train was asked for, the latest last.
  std::vector<duet::trainer::v1::TrainRequest> asked() const;
  // A job that was there before the test began.
  void Add(Job job);
  // Changes the job of this id. Whoever streams it is told.
  void Change(const std::string& id, const std::function<void(Job&)>& change);
  void Finish(const std::string& id, const Verdict& verdict, const std::string& message);
  // The next Train is refused as with a full queue.
  std::atomic<bool> full = false;
  // True: after a Train no list is answered until it is false.
  std::atomic<bool> holds_lists = false;
  int streams() const { return streams_; }
  int lists() const { return lists_; }                          // that were asked for
  int lists_of_projects() const { return lists_of_projects_; }  // of one project

 private:
  class Service;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<duet::trainer::v1::TrainRequest> asked_;  // guarded by mutex_
  std::list<Job> jobs_;                                 // latest first; guarded by mutex_
  int next_ = 1;                                        // guarded by mutex_
  std::map<std::uint64_t, std::int64_t> forgotten_ms_;  // guarded by mutex_
  bool stopping_ = false;                               // guarded by mutex_
  std::atomic<bool> trained_ = false;
  std::atomic<int> streams_ = 0;  // open now
  std::atomic<int> lists_ = 0;
  std::atomic<int> lists_of_projects_ = 0;
  std::unique_ptr<Service> service_;
  std::unique_ptr<grpc::Server> server_;
  int port_ = 0;
};

}  // namespace gateway::testing

#endif  // DUET_TESTS_INTEGRATION_GATEWAY_FAKE_TRAINER_H_
