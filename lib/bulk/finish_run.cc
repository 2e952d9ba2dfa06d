#include "bulk/finish_run.h"

#include <absl/time/clock.h>

#include <filesystem>
#include <system_error>
#include <vector>

#include "bulk/item.h"
#include "text/str_cat.h"

namespace bulk {
namespace {

constexpr absl::Duration kDiskPause = absl::Seconds(1);

}  // namespace

absl::Status CheckOutIsFree(const std::string& out) {
  std::error_code error;
  const auto status = std::filesystem::symlink_status(out, error);
  if (!std::filesystem::exists(status)) return absl::OkStatus();
  if (std::filesystem::is_directory(status) && std::filesystem::is_empty(out, error)) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      text::StrCat(Shown(out), " is there already, and isn't of this run; needed: another --out"));
}

Patience PatienceOf(absl::Duration lasts, Reporter& reporter) {
  return {.lasts = lasts,
          .on_wait =
              [&reporter](const absl::Status& status) {
                reporter.Waits(Shown(text::StdView(status.message())));
              },
          .on_end = [&reporter](absl::Duration waited) { reporter.GoesOn(waited); }};
}

absl::Status FinishRun(const OutputFormat& format, OutputOptions options, const Results& results,
                       Reporter& reporter, RunResult* result) {
  const std::string failures = FailuresPath(options.out);
  const absl::Time begun = absl::Now();
  const Totals totals = result->totals;
  options.patience = PatienceOf(options.patience.lasts, reporter);
  for (bool told = false;; told = true) {
    result->findings = {};
    result->totals = totals;
    std::vector<ItemFailure> refused;
    options.on_refused = [&](const Item& item, const std::string& why) {
      refused.push_back({.item = item});
      refused.back().failure.set_kind("refused");
      refused.back().failure.set_message(Shown(why));
      reporter.Failed(item, refused.back().failure);
    };
    absl::Status status = format.write(results, options, &result->findings);
    if (status.ok()) {
      if (!refused.empty()) result->totals.failures["refused"] += refused.size();
      if (result->totals.failed() > 0) {
        result->failures = failures;
        status = WriteFailures(results, refused, failures);
      } else {
        std::error_code ignored;
        std::filesystem::remove(failures, ignored);  // an earlier run's
      }
    }
    if (!absl::IsResourceExhausted(status) || absl::Now() - begun > options.patience.lasts) {
      if (told) reporter.GoesOn(absl::Now() - begun);
      return status;
    }
    if (!told) reporter.Waits(text::StdView(status.message()));
    absl::SleepFor(kDiskPause);
  }
}

}  // namespace bulk
