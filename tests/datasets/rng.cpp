// Philox against the known answers of Random123, and the helpers' ranges.
#include "kernels/rng.h"

#include <doctest/doctest.h>

namespace fjord {

TEST_CASE("Philox4x32-10 gives the published answers") {
  struct Answer {
    std::uint64_t key, hi, lo;
    std::uint32_t words[4];
  };
  const Answer answers[] = {{0, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
                            {~0ull, ~0ull, ~0ull, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
                            {0x299f31d0a4093822ull,
                             0x0370734413198a2eull,
                             0x85a308d3243f6a88ull,
                             {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}}};
  for (const Answer& answer : answers) {
    const RandomWords words = Philox{answer.key}(answer.hi, answer.lo);
    for (int i = 0; i < 4; ++i) CHECK(words[i] == answer.words[i]);
  }
}

TEST_CASE("ranges of drawn numbers") {
  CHECK(uniform(0u) == 0.0);
  CHECK(uniform(~0u) < 1.0);
  CHECK(uniform_int(0, -30, 30) == -30);
  CHECK(uniform_int(~0u, -30, 30) == 30);
  CHECK(uniform_int(~0u, 5, 5) == 5);
  double sum = 0, squares = 0;
  const int n = 40000;
  for (std::uint32_t i = 0; i < n; ++i) {
    const RandomWords w = Philox{1}.draw(Draw::scene, 0, 0, i);
    const double z = normal(w[0], w[1]);
    sum += z, squares += z * z;
  }
  CHECK(std::abs(sum / n) < 0.02);          // 4 standard errors of 1/sqrt(n)
  CHECK(std::abs(squares / n - 1) < 0.03);  // 4 standard errors of sqrt(2/n)
  CHECK(normal(0, 0) > 0);                  // the largest radius is finite
  CHECK(normal(0, 0) < 7);
}

}  // namespace fjord
