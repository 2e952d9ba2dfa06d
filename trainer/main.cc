// duet-train: fine-tunes a detector on annotated images; with a command, what has to do with the
// demo models.
#include <absl/status/status.h>
#include <absl/strings/match.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <iostream>
#include <string_view>

#include "nn/heap.h"
#include "nn/onednn/split_linear.h"
#include "serving/cpu.h"
#include "serving/flags.h"
#include "serving/version.h"
#include "trainer/commands.h"
#include "trainer/run/display.h"
#include "trainer/run/run.h"
#include "trainer/segmenter/tuning_run.h"

namespace {

constexpr char kPurpose[] =
    "Fine-tunes a detector on annotated images. The result, best.pth in --out, is a checkpoint "
    "that "
    "duet-detector and MMDetection load.\n"
    "\n"
    "With a command as its first argument it does something else, as COMMAND --help says:\n"
    "  compare   says whether a new model is better than an old one\n"
    "  demo      trains the demo models\n"
    "  evaluate  scores models, or what any program found, on annotated images\n"
    "  scenes    draws images with annotations to try things out with\n"
    "  segmenter tunes a segmenter on annotated images\n"
    "\n"
    "Exit code 0: trained; 1: it could not be; 2: asked wrongly; 75: the disk is full, and the "
    "same command goes on when there is room; 130, 143: a signal stopped it, and the same command "
    "goes on.\n"
    "\n"
    "Example: duet-train --data=project-1.json --images=media --from=rtmdet_tiny.pth --out=trained";

constexpr char kSegmenterPurpose[] =
    "Tunes a segmenter on annotated images: its prompt encoder and mask decoder learn from the "
    "objects' masks, its image encoder stays as it is. The result, best.pth in --out, is a "
    "checkpoint that duet-segmenter and segment_anything, mobile_sam or sam2 load. Exit code 0: "
    "trained; 1: it could not be; 2: asked wrongly; 75: the disk is full, and the same command "
    "goes on when there is room; 130, 143: a signal stopped it, and the same command goes on.\n\n"
    "Example: duet-train segmenter --data=project-1.json --images=media --from=mobile_sam.pt "
    "--out=tuned";

volatile std::sig_atomic_t stop_signal = 0;

// The first one asks for an end after the step that is being computed, the second one ends at once.
void AskToStop(int signal) {
  stop_signal = signal;
  std::signal(signal, SIG_DFL);
}

// sysexits.h's EX_TEMPFAIL: with room on the disk the same command goes on. trainer_service knows
// it.
constexpr int kFullDisk = 75;

// By the system's text, which errors of files carry: codes don't tell a disk from memory. A file
// that may not grow is no different.
bool IsFullDisk(const absl::Status& status) {
  for (const int error : {ENOSPC, EDQUOT, EFBIG}) {
    if (absl::StrContains(status.message(), std::strerror(error))) return true;
  }
  return false;
}

trainer::Display MakeDisplay(bool json) {
  if (json) return {trainer::DisplayKind::kJson, std::cout};
  if (isatty(STDOUT_FILENO) == 0) return {trainer::DisplayKind::kLines, std::cout};
  winsize size{};
  const bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return {trainer::DisplayKind::kBar, std::cout, known ? size.ws_col : 80};
}

// Reads the command line, then trains until that is finished or somebody asks to stop. Returns the
// exit code.
template <typename Options>
int Train(int argc, const char* const* argv, const char* program, const char* purpose,
          absl::Status (*run)(const Options&, trainer::Display&, const std::function<bool()>&)) {
  Options options;
  serving::FlagTable flags(program, purpose);
  trainer::AddFlags(&options, &flags);
  const absl::Status parsed = flags.Parse(argc, argv, std::getenv);
  if (flags.help_requested()) {
    std::cout << flags.RequestedHelp();
    return 0;
  }
  if (!parsed.ok()) {
    std::cerr << "duet-train: " << parsed.message() << '\n';
    return 2;
  }
  std::signal(SIGPIPE, SIG_IGN);  // whoever watched has gone; the log has it all
  std::signal(SIGXFSZ, SIG_IGN);  // a file that may not grow is an error like a full disk
  std::signal(SIGTERM, AskToStop);
  std::signal(SIGINT, AskToStop);
  absl::Status status;
  {
    trainer::Display display = MakeDisplay(options.json);
    status = run(options, display, [] { return stop_signal != 0; });
  }
  if (status.ok()) return 0;
  std::cerr << "duet-train: " << status.message() << '\n';
  if (IsFullDisk(status)) return kFullDisk;
  // As a shell says that a signal ended a process.
  return absl::IsCancelled(status) && stop_signal != 0 ? 128 + stop_signal : 1;
}

}  // namespace

int main(int argc, char** argv) {
  serving::SetUpOpenMp(argv);
  nn::KeepFreedMemory();
  // Which layers split products are faster for is measured by each process, but a training that was
  // interrupted ends with the very bits of one that was not.
  nn::onednn::AllowSplitProducts(nn::onednn::SplitProducts::kNever);
  if (serving::PrintedVersion("duet-train", argc, argv)) return 0;
  if (argc > 1 && argv[1] == std::string_view("segmenter")) {
    return Train(argc - 1, argv + 1, "duet-train segmenter", kSegmenterPurpose, trainer::RunTuning);
  }
  if (argc > 1 && !std::string_view(argv[1]).starts_with("-")) {
    return trainer::RunCommand(argc, argv);
  }
  return Train(argc, argv, "duet-train", kPurpose, trainer::RunTraining);
}
