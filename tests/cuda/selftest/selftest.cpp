// The emulation finds what is wrong and lets pass what is right.
#include <doctest/doctest.h>

#include <cmath>
#include <numeric>

#include "tests/cuda/selftest/kernels.h"
#include "tests/cuda/selftest/memory.h"

namespace fjord::selftest {

namespace {

constexpr int kBlocks = 5;

std::vector<float> ramp(int count) {
  std::vector<float> values(static_cast<std::size_t>(count));
  std::iota(values.begin(), values.end(), 1.0f);
  return values;
}

// What the emulation says to block_sums with a fault.
std::vector<std::string> findings_of(Fault fault) {
  const Watching watching;
  const OnCard<float> x(ramp(64 * kBlocks)), y(zeros<float>(kBlocks + 8 * kBlocks));
  block_sums(x.data(), y.data(), kBlocks, fault, nullptr);
  return finish();
}

}  // namespace

TEST_CASE("block sums are right, whatever the order of threads") {
  const Watching watching;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    emulation::seed(seed);
    const OnCard<float> x(ramp(64 * kBlocks)), y(zeros<float>(kBlocks));
    block_sums(x.data(), y.data(), kBlocks, Fault::none, nullptr);
    CHECK(finish().empty());
    for (int b = 0; b < kBlocks; ++b)
      CHECK(y.values()[static_cast<std::size_t>(b)] == 64 * (64 * b) + 64 * 65 / 2);
  }
}

TEST_CASE("a barrier that not all threads reach is a deadlock, by name and line") {
  for (const Fault fault : {Fault::divergent_barrier, Fault::left_before_barrier}) {
    const auto findings = findings_of(fault);
    REQUIRE(findings.size() >= 1);
    CHECK(findings[0].find("block_sums_kernel") != std::string::npos);
    CHECK(findings[0].find("kernels.cu:") != std::string::npos);
    CHECK(findings[0].find("has left the kernel") != std::string::npos);
  }
}

TEST_CASE("warp sums, exchanges with absent lanes") {
  const Watching watching;
  const OnCard<float> x(ramp(64)), y(zeros<float>(64));
  warp_sums(x.data(), y.data(), 2, Fault::none, nullptr);
  CHECK(finish().empty());
  CHECK(y.values()[0] == 32 * 33 / 2);
  CHECK(y.values()[63] == 32 * 33 / 2 + 32 * 32);
  warp_sums(x.data(), y.data(), 2, Fault::absent_lane, nullptr);
  CHECK_FALSE(finish().empty());
}

TEST_CASE("a tile's product through ldmatrix and mma") {
  std::vector<std::uint16_t> a(256), b(128);
  const auto bits = [](int value) {  // exact in bf16
    return static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(static_cast<float>(value)) >>
                                      16);
  };
  for (int i = 0; i < 256; ++i) a[static_cast<std::size_t>(i)] = bits(i * 7 % 13 - 6);
  for (int i = 0; i < 128; ++i) b[static_cast<std::size_t>(i)] = bits(i * 5 % 11 - 5);
  const OnCard<std::uint16_t> on_a(a), on_b(b);
  const OnCard<float> d(zeros<float>(128));
  tile_product(on_a.data(), on_b.data(), d.data(), nullptr);
  CHECK(finish().empty());
  for (int r = 0; r < 16; ++r)
    for (int c = 0; c < 8; ++c) {
      float sum = 0;
      for (int k = 0; k < 16; ++k)
        sum += static_cast<float>(((r * 16 + k) * 7 % 13 - 6) * ((k * 8 + c) * 5 % 11 - 5));
      CHECK(d.values()[static_cast<std::size_t>(r * 8 + c)] == sum);
    }
}

TEST_CASE("an asynchronous copy that nobody waits for has not arrived") {
  const OnCard<float> x(ramp(304)), y(zeros<float>(304));
  async_copy(x.data(), y.data(), 304, Wait::before_barrier, nullptr);
  CHECK(finish().empty());
  CHECK(y.values() == ramp(304));
  async_copy(x.data(), y.data(), 304, Wait::never, nullptr);
  finish();
  CHECK(std::isnan(y.values()[0]));
}

TEST_CASE("a mark that an ended thread left deep in its stack is found within 61 blocks") {
  constexpr int count = 64 * 61;
  const OnCard<float> y(zeros<float>(count));
  if (!leave_mark(nullptr)) {
    MESSAGE("SKIPPED: no AddressSanitizer in this build");
    return;
  }
  increment(y.data(), count, nullptr);
  const std::vector<std::string> findings = finish();
  REQUIRE(findings.size() == 1);
  CHECK(findings[0].find("deep in its stack") != std::string::npos);
  increment(y.data(), count, nullptr);
  CHECK(finish().empty());
}

TEST_CASE("integer atomics of all blocks add up") {
  const Watching watching;
  std::vector<int> x(1000);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<int>(i % 7);
  const OnCard<int> on_x(x);
  const OnCard<unsigned> counts(zeros<unsigned>(7));
  histogram(on_x.data(), counts.data(), 1000, nullptr);
  CHECK(finish().empty());
  CHECK(counts.values()[0] == 143);
  CHECK(counts.values()[6] == 142);
}

}  // namespace fjord::selftest
