// Tensor-core instructions, as the PTX manual lays their operands out over the lanes.
#include "tests/cuda/emulation/ptx.h"

#include <array>

#include "tests/cuda/emulation/findings.h"
#include "tests/cuda/emulation/half_bits.h"

namespace emulation {

namespace {

constexpr std::uint32_t kAll = ~0u;

void demand_all(std::uint32_t mask, const char* what) {
  if (mask != kAll) find(launch_name() + ": " + what + " by a warp of which lanes are missing");
}

using Row = std::array<std::uint16_t, 8>;

std::uint32_t pair(std::uint16_t low, std::uint16_t high) {
  return low | static_cast<std::uint32_t>(high) << 16;
}

using ToFloat = float (*)(std::uint16_t);

template <ToFloat to_float>
float element(std::uint32_t word, unsigned i) {
  return to_float(static_cast<std::uint16_t>(i == 0 ? word : word >> 16));
}

// PTX: A has row `group` (and + 8), columns 2 * member + {0, 1} (and + 8); B the transpose.
template <ToFloat to_float>
void multiply(Warp& warp, std::uint32_t mask) {
  demand_all(mask, "mma");
  float a[16][16], b[16][8];
  for (unsigned lane = 0; lane < kWarp; ++lane) {
    const auto operands = get<MmaOperands>(warp.in[lane]);
    const unsigned group = lane / 4, member = lane % 4 * 2;
    for (unsigned i = 0; i < 2; ++i) {
      for (unsigned word = 0; word < 4; ++word)
        a[group + word % 2 * 8][member + i + word / 2 * 8] = element<to_float>(operands.a[word], i);
      for (unsigned word = 0; word < 2; ++word)
        b[member + i + word * 8][group] = element<to_float>(operands.b[word], i);
    }
  }
  float products[16][8] = {};
  for (unsigned row = 0; row < 16; ++row)
    for (unsigned k = 0; k < 16; ++k)
      for (unsigned column = 0; column < 8; ++column)
        products[row][column] += a[row][k] * b[k][column];
  for (unsigned lane = 0; lane < kWarp; ++lane) {
    std::array<float, 4> sums{};
    for (unsigned i = 0; i < 4; ++i) sums[i] = products[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2];
    put(warp.out[lane], sums);
  }
}

}  // namespace

void give_rows(Warp& warp, std::uint32_t mask) {
  demand_all(mask, "ldmatrix");
  for (unsigned lane = 0; lane < kWarp; ++lane) {
    std::array<std::uint32_t, 4> words{};
    for (unsigned matrix = 0; matrix < 4; ++matrix) {
      const auto row = get<Row>(warp.in[matrix * 8 + lane / 4]);
      words[matrix] = pair(row[lane % 4 * 2], row[lane % 4 * 2 + 1]);
    }
    put(warp.out[lane], words);
  }
}

void give_columns(Warp& warp, std::uint32_t mask) {
  demand_all(mask, "ldmatrix");
  for (unsigned lane = 0; lane < kWarp; ++lane) {
    std::array<std::uint32_t, 4> words{};
    for (unsigned matrix = 0; matrix < 4; ++matrix) {
      const auto first = get<Row>(warp.in[matrix * 8 + lane % 4 * 2]);
      const auto second = get<Row>(warp.in[matrix * 8 + lane % 4 * 2 + 1]);
      words[matrix] = pair(first[lane / 4], second[lane / 4]);
    }
    put(warp.out[lane], words);
  }
}

void multiply_bf16(Warp& warp, std::uint32_t mask) { multiply<bf16_to_float>(warp, mask); }

void multiply_f16(Warp& warp, std::uint32_t mask) { multiply<half_to_float>(warp, mask); }

}  // namespace emulation
