// A seeded source of numbers that gives the same sequence with every compiler and standard library,
// which std::uniform_*_distribution does not promise. SplitMix64 (Steele, Lea, Flood, 2014): every
// seed is a good seed, so scene n can be drawn alone, without drawing the n - 1 before it.
#ifndef DUET_TRAINER_SCENES_RANDOM_H_
#define DUET_TRAINER_SCENES_RANDOM_H_

#include <cstdint>

namespace trainer {

class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  std::uint64_t Next() {
    std::uint64_t z = (state_ += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }

  // In [low, high).
  double Uniform(double low, double high) {
    return low + (high - low) * static_cast<double>(Next() >> 11) * 0x1.0p-53;
  }

  // In [low, high], both included.
  int Integer(int low, int high) {
    return low + static_cast<int>(Next() % static_cast<std::uint64_t>(high - low + 1));
  }

  bool Chance(double probability) { return Uniform(0, 1) < probability; }

 private:
  std::uint64_t state_;
};

}  // namespace trainer

#endif  // DUET_TRAINER_SCENES_RANDOM_H_
