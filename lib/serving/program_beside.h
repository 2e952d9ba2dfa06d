// The programs of Duet lie side by side.
#ifndef DUET_SERVING_PROGRAM_BESIDE_H_
#define DUET_SERVING_PROGRAM_BESIDE_H_

#include <string>
#include <string_view>

namespace serving {

// The path of the program `name` ("duet-detector") in the folder that the program of this process
// lies in. Whether there is one isn't looked at.
std::string ProgramBeside(std::string_view name);

}  // namespace serving

#endif  // DUET_SERVING_PROGRAM_BESIDE_H_
