// What a reader skipped or changed, by kind: how often, and where first. Nothing of a dataset is
// left out in silence, but a file with a million faulty annotations must not give a million lines.
#ifndef DUET_DATASET_FINDINGS_H_
#define DUET_DATASET_FINDINGS_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace dataset {

class Findings {
 public:
  // Counts one more of this kind. `kind` says what was found and what was done, e.g. "annotations
  // without a box, left out"; `where` names the first one.
  void Add(std::string_view kind, std::string_view where);

  // How many of this kind there were.
  std::size_t count(std::string_view kind) const;
  bool empty() const { return kinds_.empty(); }

  // One line a kind, in the order of their first occurrence: "3 annotations without a box, left
  // out; the first: annotation 12".
  std::vector<std::string> Lines() const;

 private:
  struct Kind {
    std::string text;
    std::size_t count = 0;
    std::string first;
  };
  std::vector<Kind> kinds_;
};

}  // namespace dataset

#endif  // DUET_DATASET_FINDINGS_H_
