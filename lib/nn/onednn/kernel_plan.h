// Which kernel computes which layer on this machine: chosen by measuring, once, and remembered.
//
// Kernels of one layer differ in the last bits of their results, and a measurement may come out
// otherwise the next time. With a file the choices are the same for all processes that use it: same
// plan, same bits.
#ifndef DUET_NN_ONEDNN_KERNEL_PLAN_H_
#define DUET_NN_ONEDNN_KERNEL_PLAN_H_

#include <absl/status/status.h>

#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace nn::onednn {

// What choices depend on besides the layer: the CPU's model, the instructions that oneDNN may use
// and oneDNN's version, in one line.
std::string ThisMachine();

// Thread-safe. One measurement at a time.
//
// The file is text, a section for each kind of machine, so that replicas on different CPUs may
// share it:
//
//   [AMD EPYC 26.2.1, AVX-512 with BFLOAT16, oneDNN 2.6.0]
//   conv3x3/1 fp32 96x80x80 to 96 silu, 2 threads = winograd
//
// Lines of other machines and lines that begin with # are kept as they are.
class KernelPlan {
 public:
  struct Candidate {
    std::string_view name;
    std::function<double()> seconds;  // measures it; called two to five times
  };
  struct Summary {
    int layers = 0;          // with a choice
    int measured = 0;        // of them, by this process
    double measuring_s = 0;  // CPU time of the threads that measured
    absl::Status kept = {};  // why the file doesn't have what was measured
  };

  // Of all networks of the process: shapes repeat within and across models.
  static KernelPlan& OfProcess();

  explicit KernelPlan(std::string machine = ThisMachine()) : machine_(std::move(machine)) {}

  // From now on choices are those of the file, and what is measured is added to it, each choice at
  // once. There need not be a file yet. What was chosen before holds, and isn't written.
  // InvalidArgument for a file that is no plan: the message names the line.
  absl::Status KeepIn(const std::string& path);

  // The name of the candidate for `layer`, a text without '=' and line ends that says all that
  // times depend on: the one that was chosen before, if it is among the candidates; else the
  // fastest. If it can't be written, Summary::kept says so, and the choice holds for this process.
  // REQUIRES: there are candidates.
  std::string Choose(const std::string& layer, const std::vector<Candidate>& candidates);

  Summary summary() const;

 private:
  // Takes the file's choice over if another process has made one meanwhile.
  absl::Status Write(const std::string& layer, const std::vector<Candidate>& candidates,
                     std::string* kernel) const;

  const std::string machine_;
  mutable std::mutex mutex_;
  std::string path_;                            // empty: not kept
  std::map<std::string, std::string> kernels_;  // by layer
  Summary summary_;
};

}  // namespace nn::onednn

#endif  // DUET_NN_ONEDNN_KERNEL_PLAN_H_
