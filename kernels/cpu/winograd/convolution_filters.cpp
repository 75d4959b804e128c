// The filters of forward and backward-data: which block of them goes to the points when, and which
// taps are kept between runs.
#include <algorithm>

#include "kernels/cpu/parallel.h"
#include "kernels/cpu/winograd/convolution.h"

namespace fjord::winograd {

namespace {

/// Of products and filters of one panel, where the filters are made by who uses them.
constexpr std::int64_t kPanelFloats = 160 * 1024;
}  // namespace

FilterBlock Convolution::filter_block(const Filters& filters, std::int64_t panel,
                                      std::int64_t depth, float* points) const {
  const Shape in = pass_.in, out = pass_.out;
  return {.weight = filters.weight,
          .scale = filters.scale,
          .filters = pass_.turned ? in.c : out.c,
          .channels = pass_.turned ? out.c : in.c,
          .first_lane = panel * panels_.width,
          .first_depth = depth,
          .turned = pass_.turned,
          .points = points,
          .plane = filter_plane_,
          .panel = panels_.width};
}

// Depths of which one panel's filters fit beside the products of that many tiles.
std::int64_t Convolution::chunk_of(std::int64_t tiles) const {
  const std::int64_t depths =
      (kPanelFloats / (kWinogradPoints * panels_.width) - tiles) * loops_.packed;
  return std::max<std::int64_t>(32, depths / 32 * 32);
}

// A block of depths of one panel.
void Convolution::transform_filters(const Filters& filters, std::int64_t panel, std::int64_t depth,
                                    float* points) const {
  const FilterBlock block = filter_block(filters, panel, depth, points);
  if (filters.kept)
    loops_.filter_of_taps(filters.kept + taps_at(panel, depth), block);
  else
    loops_.filter(block);
}

void Convolution::transform_all_filters(const Call& call) const {
  const std::int64_t blocks = depth_ / loops_.width;
  parallel_for(panels_.count * blocks, [&](std::int64_t i) {
    const std::int64_t panel = i / blocks, depth = i % blocks * loops_.width;
    if (wanted(call, panel))
      transform_filters(call.filters, panel, depth,
                        call.scratch + panel * kWinogradPoints * filter_plane_ +
                            depth * panels_.width / loops_.packed);
  });
}

std::int64_t Convolution::taps_at(std::int64_t panel, std::int64_t depth) const {
  return (panel * depth_ + depth) * panels_.width * kWinogradTaps;
}

std::string Convolution::format() const { return std::to_string(loops_.width) + " lanes"; }

// Filters are kept by their taps: a quarter of the memory that 36 points would take.
void Convolution::keep(const Filters& filters, float* kept) const {
  const std::int64_t blocks = depth_ / loops_.width;
  parallel_for(panels_.count * blocks, [&](std::int64_t i) {
    const std::int64_t panel = i / blocks, depth = i % blocks * loops_.width;
    loops_.filter_taps(filter_block(filters, panel, depth, kept + taps_at(panel, depth)));
  });
}

}  // namespace fjord::winograd
