// A model root for tests of the programs, and how long a change of what serves took to be seen.
#ifndef DUET_TESTS_INTEGRATION_NAMED_MODELS_MODEL_ROOT_H_
#define DUET_TESTS_INTEGRATION_NAMED_MODELS_MODEL_ROOT_H_

#include <absl/time/time.h>

#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>

#include "duet/vision/v1/model.pb.h"
#include "model_store/model_store.h"
#include "tests/testing/temp_dir.h"

namespace named_models {

// Fails the test if something fails.
class ModelRoot {
 public:
  explicit ModelRoot(model_store::Kind kind) : kind_(kind) {}

  const std::string& path() const { return folder_.path(); }
  const model_store::ModelStore& store() const { return store_; }
  // A file outside of the kinds' folders.
  std::string File(const std::string& name) const { return path() + "/" + name; }

  // Copies `weights`, with a FILE.json if there is one, into the name's next version.
  void Publish(const std::string& name, const std::string& weights);
  // Lets a version serve, as a gateway does.
  void Serve(const std::string& name, std::uint64_t version);

 private:
  const model_store::Kind kind_;
  duet_testing::TempDir folder_;
  const model_store::ModelStore store_{folder_.path()};
};

// The status of one name; an empty one if it isn't listed.
duet::vision::v1::ModelStatus StatusOf(const duet::vision::v1::ListModelsResponse& list,
                                       const std::string& name);

// Answers that are asked for while models change: `usual`, or 100,000 if DUET_SOAK is set.
int WantedAnswers(int usual);

// Counts the answers of several clients, by what they say made them. Thread-safe.
class Answers {
 public:
  explicit Answers(int wanted) : wanted_(wanted) {}

  // `wrong`: "" or what is wrong with the answer, which ends the test.
  void Count(const std::string& version, const std::string& wrong);
  bool over() const;
  // Waits until so many more have come, or all. False if it is over.
  bool Await(int more);
  // Waits until one more answer of `version` has come, or until it is over; how long that took.
  absl::Duration AwaitVersion(const std::string& version);
  std::uint64_t count_of(const std::string& version) const;

  // Lets the name's versions 2 and 1 serve in turns, `per_change` answers after each other, until
  // it is over. `version_of`: what answers of versions 1 and 2 call themselves. Says how soon
  // changes were in answers; fails if there were hardly any, or if one of the two never answered.
  // The clients must be running.
  void ChangeUntilOver(ModelRoot& root, const std::string& name, int per_change,
                       const std::map<std::uint64_t, std::string>& version_of);

 private:
  const int wanted_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  int answered_ = 0;
  bool failed_ = false;
  std::map<std::string, std::uint64_t> by_version_;
};

}  // namespace named_models

#endif  // DUET_TESTS_INTEGRATION_NAMED_MODELS_MODEL_ROOT_H_
