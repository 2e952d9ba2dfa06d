// What a training was like so far, for its curves and its report: read from the lines of its log.
#ifndef DUET_TRAINER_RUN_HISTORY_H_
#define DUET_TRAINER_RUN_HISTORY_H_

#include <boost/json/object.hpp>
#include <map>
#include <string>
#include <vector>

namespace trainer {

struct History {
  // Means over the steps since the point before; `step` is how many were done.
  struct Step {
    double step = 0;
    double learning_rate = 0;
    std::map<std::string, double> losses;  // "total", "classes", "boxes", …
  };
  struct Evaluation {
    double step = 0;
    double ap = 0;
    double ap50 = 0;
  };
  std::vector<Step> steps;
  std::vector<Evaluation> evaluations;

  // Takes what is of interest in a line of the log.
  void Add(const boost::json::object& event);
};

}  // namespace trainer

#endif  // DUET_TRAINER_RUN_HISTORY_H_
