// The folder that a training writes (--out), and whose it is.
//
//   best.pth last.pth config.py   the models, as MMDetection loads them
//   report.md curves.svg worst/   what people look at
//   log.jsonl                     what happened: one JSON object a line
//   run.json                      what the training was asked to do
//   state.pth                     where it was, to go on from; gone when it is finished
//   data/                         the frozen data (dataset/revision.h)
//   embeddings/                   of a segmenter's training: what the encoder made of the images;
//                                 gone when it is finished. Its models may have a .json beside them
//
// One process at a time works in a folder. A training that was interrupted, however, goes on when
// the same is asked again; when something else is asked, that is an error, because nothing that was
// trained is thrown away without being told to.
#ifndef DUET_TRAINER_RUN_RUN_FOLDER_H_
#define DUET_TRAINER_RUN_RUN_FOLDER_H_

#include <absl/status/statusor.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace trainer {

// What run.json says.
struct RunRecord {
  // Everything that decides the result: flags and their values, in the order of the help.
  std::vector<std::pair<std::string, std::string>> configuration;
  std::string revision;  // of the data
  bool finished = false;
};

class RunFolder {
 public:
  // Makes the folder if there is none, takes it for this process until the object is gone, and
  // removes what a killed one left half written. FailedPrecondition if another process works in it;
  // InvalidArgument if run.json can't be read, or if there are models that no training here made.
  static absl::StatusOr<RunFolder> Open(const std::string& path);

  RunFolder(RunFolder&& other) noexcept;
  RunFolder& operator=(RunFolder&&) = delete;
  ~RunFolder();

  const std::string& path() const { return path_; }
  std::string file(const std::string& name) const { return path_ + "/" + name; }

  // What was asked the last time; none in a new folder.
  const std::optional<RunRecord>& record() const { return record_; }

  enum class Found { kNothing, kUnfinished, kFinished };
  // What there is of the training that is asked for. Nothing, if it hasn't saved a state yet or is
  // not to be gone on with (`resume`): then what an earlier one left is removed, but for its data,
  // and `asked` is written. FailedPrecondition if the record says something else than `asked`,
  // saying which flag differs and what can be done.
  absl::StatusOr<Found> Find(const RunRecord& asked, bool resume);

  // Writes that the training is finished, and removes its state.
  absl::Status Finish();

 private:
  RunFolder(std::string path, int lock) : path_(std::move(path)), lock_(lock) {}
  absl::Status CheckSame(const RunRecord& asked) const;
  absl::Status Begin(const RunRecord& record);
  absl::Status Write(const RunRecord& record);

  std::string path_;
  int lock_;  // the folder's descriptor, locked
  std::optional<RunRecord> record_;
};

}  // namespace trainer

#endif  // DUET_TRAINER_RUN_RUN_FOLDER_H_
