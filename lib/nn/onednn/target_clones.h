// DUET_CLONES before a function compiles it once per x86-64 level, chosen when the program loads;
// on other processors, once. For loops that compilers vectorise; what they call has to be inlined.
#ifndef DUET_NN_ONEDNN_TARGET_CLONES_H_
#define DUET_NN_ONEDNN_TARGET_CLONES_H_

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define DUET_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define DUET_CLONES
#endif

// DUET_TARGET compiles a function for one level only: x86-64-v4 is AVX-512, -v3 AVX2. On other
// processors the compiler makes of its vectors what it can.
#if defined(__x86_64__)
#define DUET_TARGET(level) [[gnu::target("arch=" level)]]
#else
#define DUET_TARGET(level)
#endif

#endif  // DUET_NN_ONEDNN_TARGET_CLONES_H_
