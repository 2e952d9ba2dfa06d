// The version of this build of Duet.
#ifndef DUET_SERVING_VERSION_H_
#define DUET_SERVING_VERSION_H_

#include <string_view>

namespace serving {

// The project's version in the CMakeLists.txt at the root: "0.1.0".
std::string_view Version();

// What a program does first: if `--version` is among its arguments, prints "duet-gateway 0.1.0" to
// stdout and returns true, and there is nothing more to do. `program`: its name.
bool PrintedVersion(std::string_view program, int argc, const char* const* argv);

}  // namespace serving

#endif  // DUET_SERVING_VERSION_H_
