// What a training was like so far, for its curves and its report: read from the lines of its log.
#ifndef DUET_TRAINER_RUN_HISTORY_H_
#define DUET_TRAINER_RUN_HISTORY_H_

#include <boost/json/object.hpp>
#include <map>
#include <string>
#include <vector>

namespace trainer {

// How findings name History::unloadable.
inline constexpr char kUnloadable[] =
    "images that can't be read any more, others are learned from instead";

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
  std::vector<Evaluation> evaluations;  // that gave an AP
  // Images that could be read when they were frozen and no more when they were to be learned from:
  // what was wrong, by what people call them. Others were learned from instead.
  std::map<std::string, std::string> unloadable;

  // Takes what is of interest in a line of the log.
  void Add(const boost::json::object& event);
};

}  // namespace trainer

#endif  // DUET_TRAINER_RUN_HISTORY_H_
