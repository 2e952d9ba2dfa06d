// The name that somebody probably meant who wrote another: "did you mean ...?".
#ifndef DUET_TEXT_NEAREST_NAME_H_
#define DUET_TEXT_NEAREST_NAME_H_

#include <span>
#include <string>
#include <string_view>

namespace text {

// The one of `names` that differs least from `written`, and by one letter in four at most: dropped,
// added, replaced or swapped with the next (optimal string alignment distance). Capital letters,
// '-', '_' and spaces make no difference. "" if there is none, or if `written` is longer than any
// name could be. Points into `names`.
std::string_view NearestName(std::string_view written, std::span<const std::string_view> names);

// "; did you mean NAME?" with `before` and `after` around the name, "" if none is near.
std::string DidYouMean(std::string_view written, std::span<const std::string_view> names,
                       std::string_view before, std::string_view after);

}  // namespace text

#endif  // DUET_TEXT_NEAREST_NAME_H_
