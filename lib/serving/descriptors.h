// File descriptors: every connection takes one, and shells commonly allow a process 1,024 while the
// system would allow many more.
#ifndef DUET_SERVING_DESCRIPTORS_H_
#define DUET_SERVING_DESCRIPTORS_H_

namespace serving {

// Raises this process's limit as far as the system lets it without privileges, but to no more than
// a million: some programs look at each possible one. Returns how many it may have open now.
int RaiseDescriptorLimit();

// How many this process may have open.
int DescriptorLimit();

}  // namespace serving

#endif  // DUET_SERVING_DESCRIPTORS_H_
