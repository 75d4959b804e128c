// Filters to the points, and sums of gradients back to filters.
#include "kernels/cpu/winograd/loops_isa.h"
#include "kernels/cpu/winograd/transforms.h"

namespace fjord::FJORD_ISA {

namespace {

// The nine taps of `width` depths, one vector of lanes each, in the order in which they are read.
struct Taps {
  float values[kWidth][kTaps * kTaps][kWidth] __attribute__((aligned(64)));
};

// Forward: lanes are filters, which lie far apart in memory, so each tap is transposed. That many
// streams the processor doesn't see, so the depths of the next block are asked for early.
FJORD_HD void gather(const FilterBlock& f, std::int64_t lane, Taps& taps) {
  const std::int64_t lanes = clipped(f.filters - lane),
                     depths = clipped(f.channels - f.first_depth);
  const std::int64_t filter = kTaps * kTaps * f.channels;
  const Vector scale = f.scale ? load_some(f.scale + lane, lanes) : splat(1.0f);
  for (int tap = 0; tap < kTaps * kTaps; ++tap) {
    const float* from = f.weight + lane * filter + tap * f.channels + f.first_depth;
    Vector square[kWidth] = {};
    for (std::int64_t k = 0; k < lanes; ++k, from += filter) {
      square[k] = load_some(from, depths);
      if (depths == kWidth) __builtin_prefetch(from + kWidth);
    }
    transpose(square);
    for (std::int64_t c = 0; c < kWidth; ++c)
      store_aligned(taps.values[c][tap], c < depths ? square[c] * scale : Vector{});
  }
}

// Backward-data: lanes are channels, side by side in memory; the filter is reversed.
FJORD_HD void gather_turned(const FilterBlock& f, std::int64_t lane, Taps& taps) {
  const std::int64_t lanes = clipped(f.channels - lane),
                     depths = clipped(f.filters - f.first_depth);
  for (int tap = 0; tap < kTaps * kTaps; ++tap)
    for (std::int64_t k = 0; k < kWidth; ++k) {
      const std::int64_t reversed = kTaps * kTaps - 1 - tap;
      const std::int64_t from =
          ((f.first_depth + k) * kTaps * kTaps + reversed) * f.channels + lane;
      store_aligned(taps.values[k][tap], k < depths ? load_some(f.weight + from, lanes) : Vector{});
    }
}

struct Filter {
  const Taps& taps;
  std::int64_t depth;
  FJORD_HD Vector operator()(int row, int column) const {
    return load_aligned(taps.values[depth][row * kTaps + column]);
  }
};

// The points of one of the depths that lie in a float's place.
struct StoreFilter {
  float* to;
  std::int64_t plane;
  Vector* before;  // those of the depth before it
  int place;
  FJORD_HD void operator()(int row, int column, Vector v) const {
    const int point = row * kPoints + column;
    store_filter(to + point * plane, v, before[point], place);
  }
};

FJORD_HD void to_filter_points(const Taps& taps, const FilterBlock& f, std::int64_t first) {
  Vector before[kPositions];
  for (std::int64_t depth = 0; depth < kWidth; depth += kPacked)
#pragma GCC unroll 2
    for (int place = 0; place < kPacked; ++place)
      transform<kTaps, kPoints, filter_points>(
          Filter{taps, depth + place},
          StoreFilter{f.points + depth / kPacked * f.panel + first, f.plane, before, place});
}

// A point of all partial sums, added in order.
struct Sums {
  const FilterSums& s;
  const float* from;
  FJORD_HD Vector operator()(int row, int column) const {
    const float* at = from + (row * kPoints + column) * s.plane;
    Vector sum = load_aligned(at);
    for (std::int64_t i = 1; i < s.pieces; ++i) sum += load_aligned(at + i * s.piece);
    return sum;
  }
};

struct StoreTap {
  float* to;
  std::int64_t channels, count;
  bool add;
  FJORD_HD void operator()(int row, int column, Vector v) const {
    float* at = to + (row * kTaps + column) * channels;
    if (count == kWidth) {
      store(at, add ? load(at) + v : v);
    } else {
      store_part(at, add ? load_part(at, count) + v : v, count);
    }
  }
};

}  // namespace

void winograd_filter(const FilterBlock& f) {
  Taps taps;
  for (std::int64_t first = 0; first < f.panel; first += kWidth) {
    if (f.turned)
      gather_turned(f, f.first_lane + first, taps);
    else
      gather(f, f.first_lane + first, taps);
    to_filter_points(taps, f, first);
  }
}

void winograd_filter_taps(const FilterBlock& f) {
  Taps* taps = reinterpret_cast<Taps*>(f.points);
  for (std::int64_t first = 0; first < f.panel; first += kWidth)
    gather(f, f.first_lane + first, *taps++);
}

void winograd_filter_of_taps(const float* from, const FilterBlock& f) {
  const Taps* taps = reinterpret_cast<const Taps*>(from);
  for (std::int64_t first = 0; first < f.panel; first += kWidth)
    to_filter_points(*taps++, f, first);
}

void winograd_filter_gradient(const FilterSums& s, const FilterTarget& t) {
  for (std::int64_t first = 0; first < s.panel; first += kWidth) {
    const std::int64_t channel = t.first_channel + first, count = clipped(t.channels - channel);
    float* to = t.dweight + t.filter * kTaps * kTaps * t.channels + channel;
    transform<kPoints, kTaps, filter_gradient_points>(Sums{s, s.sums + first},
                                                      StoreTap{to, t.channels, count, t.add});
  }
}

}  // namespace fjord::FJORD_ISA
