// What a person, or a program, sees of a training while it runs.
#ifndef DUET_TRAINER_RUN_DISPLAY_H_
#define DUET_TRAINER_RUN_DISPLAY_H_

#include <absl/time/time.h>

#include <boost/json/object.hpp>
#include <map>
#include <ostream>
#include <string>

namespace trainer {

enum class DisplayKind {
  kBar,    // a terminal: one line that is drawn again and again, others above it
  kLines,  // a line now and then
  kJson,   // the lines of the log
};

// Where the training is.
struct Progress {
  int step = 0;  // how many are done
  int steps = 0;
  int epoch = 0;  // the current one, from 1
  int epochs = 0;
  double loss = 0;
  double learning_rate = 0;
  double best_ap = -1;       // negative: none yet
  std::string score = "AP";  // what best_ap is called
  absl::Duration left;
};

// "12 s", "3:05 min", "2:10 h".
std::string ShortDuration(absl::Duration duration);

// "epoch 3/40  loss 1.234  lr 6e-05  best AP 0.512  left 3:05 min"
std::string ProgressText(const Progress& progress);

// The same behind a bar, at most `width` characters.
std::string BarText(const Progress& progress, int width);

// For one thread.
class Display {
 public:
  // `out` must outlive it. `width` of a terminal.
  Display(DisplayKind kind, std::ostream& out, int width = 80)
      : kind_(kind), width_(width), out_(out) {}
  // Leaves the terminal's cursor on a new line.
  ~Display();

  // What was written to the log.
  void Show(const boost::json::object& event);
  // After every step; `now` tells when to draw again.
  void Show(const Progress& progress, absl::Time now);

 private:
  void Line(const std::string& text);

  const DisplayKind kind_;
  const int width_;
  std::ostream& out_;
  bool bar_shown_ = false;
  absl::Time last_ = absl::InfinitePast();
};

}  // namespace trainer

#endif  // DUET_TRAINER_RUN_DISPLAY_H_
