// How a long command shows how far it is: a bar on a terminal, else a line now and then, or JSON.
#ifndef DUET_CLI_PROGRESS_REPORT_H_
#define DUET_CLI_PROGRESS_REPORT_H_

#include <absl/time/time.h>

#include <cstdint>
#include <ostream>
#include <string>
#include <string_view>

#include "bulk/pipeline.h"

namespace cli {

enum class ProgressForm { kBar, kLines, kJson };

// The bar if stderr is a terminal, else lines.
ProgressForm ChooseProgressForm(bool json);

class ProgressReport final : public bulk::Reporter {
 public:
  // `out` outlives this. `now`: when the command began.
  ProgressReport(ProgressForm form, std::ostream& out, absl::Time now);

  void Progress(const bulk::Totals& totals, std::uint64_t total) override;
  void Failed(const bulk::Item& item, const duet::bulk::v1::Failure& failure) override;
  void Says(std::string_view sentence) override;
  void Waits(std::string_view sentence) override;
  void GoesOn(absl::Duration waited) override;
  // Ends the bar's line.
  void Finish();

 private:
  // A line of its own, above the bar if there is one.
  void Line(std::string_view event, std::string_view sentence);

  const ProgressForm form_;
  std::ostream& out_;
  const absl::Time begun_;
  absl::Time last_;
  bool first_ = true;
  std::uint64_t images_before_ = 0;  // done when the report began
  bool bar_shown_ = false;
};

}  // namespace cli

#endif  // DUET_CLI_PROGRESS_REPORT_H_
