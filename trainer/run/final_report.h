// The end of a training: best.pth, or what RunOptions::report_of says, measured once more, and
// report.md with the images that it gets most wrong.
#ifndef DUET_TRAINER_RUN_FINAL_REPORT_H_
#define DUET_TRAINER_RUN_FINAL_REPORT_H_

#include <absl/status/statusor.h>

#include <string>

#include "trainer/run/history.h"
#include "trainer/run/run.h"
#include "trainer/run/run_folder.h"
#include "trainer/run/training_data.h"
#include "trainer/run/training_plan.h"
#include "trainer/run/training_state.h"

namespace trainer {

struct FinalReport {
  const RunFolder& folder;
  std::string model;  // "rtmdet-tiny"
  std::string from;
  const TrainingData& data;
  const TrainingPlan& plan;
  int side = 0;
  bool masks = false;  // they are measured as well
  const RunOptions& options;
  std::string end;
  const RunState& state;
  const History& history;
};

// Writes report.md, curves.svg and worst/, without the latter for a report of last.pth; REQUIRES:
// both models are there. The sentences that a person
// gets to see: how it ended and where the report is.
absl::StatusOr<std::string> WriteFinalReport(const FinalReport& report);

}  // namespace trainer

#endif  // DUET_TRAINER_RUN_FINAL_REPORT_H_
