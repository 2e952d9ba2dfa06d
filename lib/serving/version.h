// The version of this build of Duet.
#ifndef DUET_SERVING_VERSION_H_
#define DUET_SERVING_VERSION_H_

#include <string_view>

namespace serving {

// The project's version in the CMakeLists.txt at the root: "0.1.0".
std::string_view Version();

}  // namespace serving

#endif  // DUET_SERVING_VERSION_H_
