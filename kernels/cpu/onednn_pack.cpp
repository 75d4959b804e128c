// Filters to the format in which oneDNN's convolutions read them.
#include <fmt/format.h>

#include "kernels/cpu/loops.h"
#include "kernels/cpu/onednn_parts.h"

namespace fjord::onednn {

namespace {

/// Of a task: what it reads of a filter is some lines of the cache, what it writes fits the first.
constexpr std::int64_t kChannelsTogether = 64;
constexpr std::int64_t kLargestBlock = 64;

/// Outputs of a block where `packed` is [block][row][column][channel][output of the block], in
/// which forward passes read with AVX-512; else 0.
std::int64_t output_block(const ConvShape& s, const memory::desc& packed) {
  if (s.conv.groups > 1) return 0;
  const Shape w = s.weight;
  const std::string name = name_of(packed);
  for (std::int64_t block = loops().width; block <= kLargestBlock; block += loops().width)
    if (name == fmt::format("{},{},{},{} {} 0", w.h * w.w * w.c * block, block, w.w * w.c * block,
                            w.c * block, block))
      return block;
  return 0;
}

}  // namespace

FilterPack::FilterPack(const ConvShape& s, const memory::desc& ours, const memory::desc& packed,
                       int workers)
    : weight_(s.weight), block_(output_block(s, packed)) {
  if (block_ == 0) other_ = std::make_unique<Reorder>(ours, packed, Write::store, workers);
}

std::size_t FilterPack::scratch_bytes() const { return other_ ? other_->scratch_bytes() : 0; }

void FilterPack::run(const float* filters, void* packed, void* scratch) {
  if (other_) return other_->run(filters, packed, scratch);
  const std::int64_t taps = weight_.h * weight_.w, channels = weight_.c;
  const Chunks chunks{channels, kChannelsTogether};
  const std::int64_t blocks = (weight_.n + block_ - 1) / block_;
  parallel_for(blocks * taps * chunks.pieces(), [&](std::int64_t i) {
    const std::int64_t chunk = i % chunks.pieces(), row = i / chunks.pieces();
    const std::int64_t tap = row % taps, first = row / taps * block_;
    loops().pack_outputs({
        .filters = filters + (first * taps + tap) * channels + chunks.begin(chunk),
        .filter = taps * channels,
        .outputs = weight_.n - first,
        .channels = chunks.length(chunk),
        .packed = static_cast<float*>(packed) + (row * channels + chunks.begin(chunk)) * block_,
        .width = block_,
    });
  });
}

}  // namespace fjord::onednn
