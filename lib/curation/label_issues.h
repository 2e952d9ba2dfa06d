// Annotations that a model contradicts, so that a person looks at the most doubtful ones first.
//
// What a model finds and what a person has drawn are compared on each image by itself. A model errs
// as well, so an issue is a suspicion between 0 and 1, from the scores of what was found: 0.9 where
// the model is sure of something else, little where it isn't sure of anything. The kinds can be
// compared with each other, so that one list holds all of a project's.
#ifndef DUET_CURATION_LABEL_ISSUES_H_
#define DUET_CURATION_LABEL_ISSUES_H_

#include <absl/types/span.h>

#include <string>
#include <string_view>
#include <vector>

#include "curation/detection.h"
#include "vision/geometry.h"

namespace curation {

struct AnnotatedObject {
  // Any of them may be what the model finds. None: any class is right.
  std::vector<std::string> labels;
  vision::Box box;
  // False if the model can't find such objects, since it has never learned them: nothing is
  // suspected of this one then.
  bool can_be_found = true;
};

enum class IssueKind {
  kWrongLabel,  // the model finds another class there
  kBadBox,      // the model finds the object, but elsewhere or of another size
  kSpurious,    // the model finds nothing there
  kMissing,     // the model finds an object that nobody annotated
};
// "wrong_label", "bad_box", "spurious", "missing".
std::string_view NameOf(IssueKind kind);

struct Issue {
  IssueKind kind = IssueKind::kSpurious;
  double suspicion = 0;  // 0 to 1
  int object = -1;       // which of the annotated objects; -1: kMissing
  // What the model finds instead: the best of it. Of kSpurious: score and label of the best that
  // overlaps the object, score 0 if nothing does.
  Detection found;
  double iou = 0;  // of both boxes; 0 for kMissing
};

// The most suspicious first: at most one an annotated object, and one for each object that is
// missing. Objects that the model agrees with have a low suspicion or none. `detections`: all with
// a score above kLeastScore; weaker ones are ignored.
std::vector<Issue> FindIssues(absl::Span<const AnnotatedObject> objects,
                              absl::Span<const Detection> detections);

// What the model says against the annotation, with figures, for people: "annotated as cat, but the
// model finds dog there (score 0.93)". `labels`: the annotated object's; none for kMissing.
std::string Sentence(const Issue& issue, absl::Span<const std::string> labels);

}  // namespace curation

#endif  // DUET_CURATION_LABEL_ISSUES_H_
