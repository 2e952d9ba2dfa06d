// DUET_CLONES before a function compiles it once per x86-64 level, chosen when the program loads;
// on other processors, once. For loops that compilers vectorise; what they call has to be inlined.
#ifndef DUET_NN_ONEDNN_TARGET_CLONES_H_
#define DUET_NN_ONEDNN_TARGET_CLONES_H_

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define DUET_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define DUET_CLONES
#endif

#endif  // DUET_NN_ONEDNN_TARGET_CLONES_H_
