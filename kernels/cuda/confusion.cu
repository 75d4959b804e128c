// The confusion matrix on CUDA. Counts are integers, so their order does not matter.
#include "kernels/confusion.h"

#include "kernels/cuda/backend.h"
#include "kernels/cuda/loss_elements.h"

namespace fjord::cuda {

namespace {

using Count = unsigned long long;

// Cells that a block keeps in its shared memory; more are counted in global memory at once.
constexpr std::int64_t kSharedCells = 8 * 1024;

// A block's cells: in shared memory, zeroed, or the tensor itself.
struct Cells {
  unsigned* own;
  Count* all;

  __device__ void add(int cell) const {
    if (own)
      atomicAdd(own + cell, 1u);
    else
      atomicAdd(all + cell, Count{1});
  }
};

__device__ void clear_cells(unsigned* own, int cells) {
  for (int i = static_cast<int>(threadIdx.x); i < cells; i += kThreads) own[i] = 0;
}

__device__ void leave_cells(const unsigned* own, int cells, Count* all) {
  for (int i = static_cast<int>(threadIdx.x); i < cells; i += kThreads)
    if (own[i] > 0) atomicAdd(all + i, Count{own[i]});
}

constexpr int kBinaryCells = 5;

// One channel: each thread keeps its counts in registers.
template <class T>
__global__ void __launch_bounds__(kThreads)
    count_binary(Elements<T, std::uint8_t> from, double threshold, Count* counts) {
  constexpr int W = Pack<T>::size;
  auto* const own = dynamic_shared<unsigned>();
  clear_cells(own, kBinaryCells);
  __syncthreads();
  unsigned found[kBinaryCells] = {};
  const std::int64_t step = std::int64_t{gridDim.x} * kThreads * W;
  std::int64_t i = (std::int64_t{blockIdx.x} * kThreads + threadIdx.x) * W;
  for (; i < from.count; i += step) {
    const ElementPack<W> pack = load_elements<W>(from, i);
#pragma unroll
    for (int e = 0; e < W; ++e) {
      const bool counted = pack.counted >> e & 1, nan = std::isnan(pack.z[e]);
      const bool truth = pack.t[e] > 0, guess = static_cast<double>(pack.z[e]) > threshold;
      found[0] += counted && !nan && !truth && !guess;
      found[1] += counted && !nan && !truth && guess;
      found[2] += counted && !nan && truth && !guess;
      found[3] += counted && !nan && truth && guess;
      found[4] += counted && nan;
    }
  }
#pragma unroll
  for (int c = 0; c < kBinaryCells; ++c) {
    for (int m = 16; m > 0; m /= 2) found[c] += __shfl_xor_sync(0xffffffffu, found[c], m);
    if (threadIdx.x % 32 == 0) atomicAdd(own + c, found[c]);
  }
  __syncthreads();
  leave_cells(own, kBinaryCells, counts);
}

// The largest value of a pixel, the first of equals, and whether one is NaN.
struct Guess {
  float largest;
  int best;
  bool nan;

  __device__ void take(float z, int c) {
    nan = nan || std::isnan(z);
    if (!(z > largest || (z == largest && c < best))) return;
    largest = z;
    best = c;
  }
};

template <class T, bool direct>
__global__ void __launch_bounds__(kThreads)
    count_classes(const T* z, const std::uint8_t* label, std::int64_t pixels, PixelLayout layout,
                  int ignored, int shared_cells, Count* counts) {
  auto* const own = dynamic_shared<unsigned>();
  auto* const tile = reinterpret_cast<float*>(own + shared_cells);
  const Cells cells{shared_cells > 0 ? own : nullptr, counts};
  clear_cells(own, shared_cells);
  __syncthreads();
  const int classes = layout.classes, rows = layout.rows();
  for (std::int64_t first = std::int64_t{blockIdx.x} * rows; first < pixels;
       first += std::int64_t{gridDim.x} * rows) {
    const int count = static_cast<int>(pixels - first < rows ? pixels - first : rows);
    float logits[kHeld];
    hold_pixels<direct>(z + first * classes, count, layout, tile, -INFINITY, logits);
    Guess guess{-INFINITY, classes, false};
#pragma unroll
    for (int j = 0; j < kHeld; ++j) {
      const int c = HeldClass<direct>::of(layout, j);
      if (c < classes) guess.take(logits[j], c);
    }
    for (int m = layout.lanes / 2; m > 0; m /= 2) {
      const float largest = __shfl_xor_sync(0xffffffffu, guess.largest, m);
      const int best = __shfl_xor_sync(0xffffffffu, guess.best, m);
      const int nan = __shfl_xor_sync(0xffffffffu, guess.nan ? 1 : 0, m);
      guess.take(largest, best);
      guess.nan = guess.nan || nan != 0;
    }
    if (layout.row() >= count || layout.lane() != 0) continue;
    const int truth = class_of(label[first + layout.row()], classes, ignored);
    if (truth >= 0) cells.add(guess.nan ? classes * classes : truth * classes + guess.best);
  }
  __syncthreads();
  if (cells.own) leave_cells(own, shared_cells, counts);
}

template <class T>
void count_one_channel(In logits, In label, InOut counts, const Confusion& rule, int ignored,
                       Stream& stream) {
  const Elements<T, std::uint8_t> from{
      logits.as<T>(), label.as<std::uint8_t>(), logits.shape().count(), 1, kThreads, ignored};
  launch(count_binary<T>, blocks_for(divide_up(from.count, Pack<T>::size)), kThreads,
         kBinaryCells * sizeof(unsigned), stream, from, rule.threshold_logit, counts.as<Count>());
}

template <class T>
void count_channels(In logits, In label, InOut counts, int ignored, Stream& stream) {
  const Shape s = logits.shape();
  const std::int64_t cells = confusion_cells(s.c);
  const auto shared = static_cast<int>(cells <= kSharedCells ? cells : 0);
  const PixelLayout layout = pixel_layout(s.c);
  const std::int64_t tiles = layout.tiles(s.pixels());
  launch(s.c % 4 == 0 ? count_classes<T, true> : count_classes<T, false>,
         static_cast<unsigned>(std::min<std::int64_t>(tiles, 1024)), kThreads,
         sizeof(float) * static_cast<std::size_t>(shared + layout.floats()), stream, logits.as<T>(),
         label.as<std::uint8_t>(), s.pixels(), layout, ignored, shared, counts.as<Count>());
}

void count(In logits, In label, InOut counts, Confusion rule, Stream& stream) {
  const int ignored = rule.ignore.value_or(INT_MIN);
  with_type(logits.dtype(), [&]<class T>() {
    if (logits.shape().c == 1)
      count_one_channel<T>(logits, label, counts, rule, ignored, stream);
    else
      count_channels<T>(logits, label, counts, ignored, stream);
  });
}

}  // namespace

void fill_confusion() { confusion_count.cuda = count; }

}  // namespace fjord::cuda
