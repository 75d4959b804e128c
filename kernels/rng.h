// Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011), the same on every
// device and for any number of threads.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/host_device.h"

namespace fjord {

/// What numbers are drawn for: the second word of every counter, so that no two purposes share one.
enum class Draw : std::uint32_t { parameters = 1, shuffle, augment, split, scene, dropout };

/// Four independent words of one counter.
struct RandomWords {
  std::uint32_t word[4];
  FJORD_HD std::uint32_t operator[](int i) const { return word[i]; }
};

/// A pure function of key (the seed) and a 128-bit counter.
struct Philox {
  std::uint64_t key = 0;

  FJORD_HD RandomWords operator()(std::uint64_t hi, std::uint64_t lo) const {
    std::uint32_t c0 = static_cast<std::uint32_t>(lo), c1 = static_cast<std::uint32_t>(lo >> 32);
    std::uint32_t c2 = static_cast<std::uint32_t>(hi), c3 = static_cast<std::uint32_t>(hi >> 32);
    std::uint32_t k0 = static_cast<std::uint32_t>(key), k1 = static_cast<std::uint32_t>(key >> 32);
    for (int round = 0; round < 10; ++round) {
      const std::uint64_t p0 = std::uint64_t{0xD2511F53u} * c0;
      const std::uint64_t p1 = std::uint64_t{0xCD9E8D57u} * c2;
      c0 = static_cast<std::uint32_t>(p1 >> 32) ^ c1 ^ k0;
      c2 = static_cast<std::uint32_t>(p0 >> 32) ^ c3 ^ k1;
      c1 = static_cast<std::uint32_t>(p1);
      c3 = static_cast<std::uint32_t>(p0);
      k0 += 0x9E3779B9u;
      k1 += 0xBB67AE85u;
    }
    return {{c0, c1, c2, c3}};
  }

  /// Block `block` (4 words) of the stream (purpose, major, minor): epoch and sample of an
  /// augmentation, say, or the number of a parameter and the position in it.
  FJORD_HD RandomWords draw(Draw purpose, std::uint32_t major, std::uint32_t minor,
                            std::uint32_t block) const {
    return (*this)(std::uint64_t{major} << 32 | minor,
                   std::uint64_t{static_cast<std::uint32_t>(purpose)} << 32 | block);
  }
};

/// Uniform in [0, 1), a multiple of 2^-32.
FJORD_HD double uniform(std::uint32_t word) { return word * 0x1p-32; }

/// Uniform in [low, high).
FJORD_HD double uniform(std::uint32_t word, double low, double high) {
  return low + (high - low) * uniform(word);
}

/// An integer in [low, high], both included: floor(word * n / 2^32), so no value's share differs
/// from 1/n by more than 2^-32.
FJORD_HD std::int64_t uniform_int(std::uint32_t word, std::int64_t low, std::int64_t high) {
  const std::uint64_t n = static_cast<std::uint64_t>(high - low) + 1;
  return low + static_cast<std::int64_t>((word * n) >> 32);
}

/// Standard normal from two words (Box and Muller 1958).
FJORD_HD double normal(std::uint32_t a, std::uint32_t b) {
  const double radius = std::sqrt(-2.0 * std::log((a + 1.0) * 0x1p-32));
  return radius * std::cos(6.283185307179586 * uniform(b));
}

}  // namespace fjord
