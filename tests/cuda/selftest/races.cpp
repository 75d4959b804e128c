// Races, stray accesses and what was never written: found by the watcher, or by AddressSanitizer
// where kernels are built with that instead.
#include <doctest/doctest.h>

#include <algorithm>

#include "tests/cuda/selftest/kernels.h"
#include "tests/cuda/selftest/memory.h"

namespace fjord::selftest {

namespace {

constexpr int kBlocks = 5;

// All that is said of block_sums with a fault.
std::vector<std::string> findings_of(Fault fault) {
  const Watching watching;
  const OnCard<float> x(zeros<float>(64 * kBlocks)), y(zeros<float>(kBlocks));
  block_sums(x.data(), y.data(), kBlocks, fault, nullptr);
  return finish();
}

// Whether one of them has these words, and the line of a source.
bool says(const std::vector<std::string>& findings, const std::string& words) {
  return std::ranges::any_of(findings, [&](const std::string& text) {
    return text.find(words) != std::string::npos && text.find("kernels.cu:") != std::string::npos;
  });
}

bool watched() {
  if (!emulation::watch::available()) MESSAGE("SKIPPED: this build has AddressSanitizer instead");
  return emulation::watch::available();
}

}  // namespace

TEST_CASE("a missing barrier is a race, though the order of fibers may hide it") {
  if (!watched()) return;
  CHECK(findings_of(Fault::none).empty());
  CHECK(says(findings_of(Fault::no_barrier), "with no barrier between"));
}

TEST_CASE("blocks that write one place are a race") {
  if (!watched()) return;
  CHECK(says(findings_of(Fault::between_blocks), "another block wrote"));
}

TEST_CASE("shared memory that nobody wrote, and beyond its end") {
  if (!watched()) return;
  CHECK(says(findings_of(Fault::shared_unwritten), "that no thread has written"));
  CHECK(says(findings_of(Fault::shared_overrun), "writes outside of shared memory"));
}

TEST_CASE("global memory beyond its end") {
  if (!watched()) return;
  CHECK(says(findings_of(Fault::global_overrun), "writes outside of every allocation"));
}

TEST_CASE("lanes of a warp need a barrier too; shuffles order no memory") {
  if (!watched()) return;
  const Watching watching;
  const OnCard<float> x(zeros<float>(64)), y(zeros<float>(64));
  warp_sums(x.data(), y.data(), 2, Fault::none, nullptr);
  CHECK(finish().empty());
  warp_sums(x.data(), y.data(), 2, Fault::no_warp_barrier, nullptr);
  CHECK(says(finish(), "with no barrier between"));
}

TEST_CASE("an asynchronous copy waited for after the barrier is a race") {
  if (!watched()) return;
  const Watching watching;
  const OnCard<float> x(zeros<float>(256)), y(zeros<float>(256));
  async_copy(x.data(), y.data(), 256, Wait::before_barrier, nullptr);
  CHECK(finish().empty());
  async_copy(x.data(), y.data(), 256, Wait::after_barrier, nullptr);
  CHECK(says(finish(), "with no barrier between"));
}

TEST_CASE("an access of 16 bytes needs an address of 16") {
  if (!watched()) return;
  const Watching watching;
  const OnCard<float> x(zeros<float>(300)), y(zeros<float>(300));
  strided_copy(x.data() + 1, y.data(), 64, 1, nullptr);
  CHECK(says(finish(), "at an odd address"));
}

TEST_CASE("traffic is counted by sectors and banks") {
  if (!watched()) return;
  const Watching watching;
  emulation::watch::take_traffic();
  const OnCard<float> x(zeros<float>(4 * 4 * 64)), y(zeros<float>(4 * 64));
  strided_copy(x.data(), y.data(), 64, 1, nullptr);
  cudaDeviceSynchronize();
  const auto dense = emulation::watch::take_traffic();
  REQUIRE(dense.size() == 1);
  CHECK(dense[0].unique_read == 64 * 16);
  CHECK(dense[0].unique_written == 64 * 16);
  CHECK(dense[0].read_sectors == 64 * 16 / 32);
  CHECK(dense[0].ideal_read_sectors == dense[0].read_sectors);
  CHECK(dense[0].global_instructions == 4);

  strided_copy(x.data(), y.data(), 64, 4, nullptr);
  cudaDeviceSynchronize();
  const auto strided = emulation::watch::take_traffic();
  CHECK(strided[0].unique_read == 64 * 16);
  CHECK(strided[0].read_sectors == 64);
  CHECK(strided[0].ideal_read_sectors == 32);

  const OnCard<float> z(zeros<float>(32));
  shared_stride(z.data(), 8, nullptr);
  cudaDeviceSynchronize();
  const auto banks = emulation::watch::take_traffic();
  CHECK(banks[0].shared_instructions == 2);
  CHECK(banks[0].shared_turns == 2 * 8);
  CHECK(banks[0].ideal_shared_turns == 2);
}

}  // namespace fjord::selftest
