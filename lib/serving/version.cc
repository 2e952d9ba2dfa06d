#include "serving/version.h"

namespace serving {

std::string_view Version() { return DUET_VERSION; }

}  // namespace serving
