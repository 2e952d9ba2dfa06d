// Which of the versions that the replicas of a service serve is the one that the gateway announces
// and asks for. Internal to backends.
#ifndef DUET_BACKENDS_SERVED_VERSION_H_
#define DUET_BACKENDS_SERVED_VERSION_H_

#include <string>
#include <vector>

namespace backends {

// `current` for as long as any replica serves it, so that a roll-out moves the announcement once.
// Then the one that most replicas serve, of equally many the first by name, so that gateways that
// see the same replicas agree. `served`: of each replica that serves; empty: nobody is heard of,
// and `current` stays.
std::string ChooseVersion(const std::string& current, const std::vector<std::string>& served);

}  // namespace backends

#endif  // DUET_BACKENDS_SERVED_VERSION_H_
