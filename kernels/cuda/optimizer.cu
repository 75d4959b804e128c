// The end of a step on the device: norm of the gradients, the decision, AdamW and SGD over the flat
// buffers with the 16-bit copy of the weights. Nothing here waits for the host.
#include "kernels/optimizer.h"

#include <type_traits>

#include "kernels/cuda/backend.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/vector.h"

namespace fjord::cuda {

namespace {

/// Values that one block works through: enough to make up for its start, few enough that the last
/// blocks of a launch end close to each other.
constexpr std::int64_t kPieceValues = 8192;

/// As many segments as fit into 4 KiB of kernel arguments; more take more launches.
constexpr int kSegmentsPerLaunch = 96;

struct SegmentTable {
  struct Row {
    Segment segment;
    std::int64_t first_block;
  } rows[kSegmentsPerLaunch];
  std::int32_t count = 0;
  std::int32_t blocks = 0;
};

/// Vectors are aligned by their place in the buffers, not in the segment.
FJORD_HD std::int64_t aligned_begin(const Segment& segment) {
  return segment.begin & ~std::int64_t{3};
}

/// body(table) for each launch's share of the segments.
template <class Body>
void for_tables(const std::vector<Segment>& segments, const Body& body) {
  SegmentTable table;
  for (const Segment& segment : segments) {
    if (segment.begin == segment.end) continue;
    if (table.count == kSegmentsPerLaunch) {
      body(table);
      table.count = table.blocks = 0;
    }
    table.rows[table.count++] = {segment, table.blocks};
    table.blocks +=
        static_cast<std::int32_t>(divide_up(segment.end - aligned_begin(segment), kPieceValues));
  }
  if (table.count > 0) body(table);
}

/// The table's row that this block works for.
__device__ int row_of_block(const SegmentTable& table) {
  int low = 0, high = table.count;
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    (table.rows[middle].first_block <= blockIdx.x ? low : high) = middle;
  }
  return low;
}

/// body(i, Number<4>{}) for four values from i, body(i, Number<1>{}) for one at a segment's ragged
/// ends: all values of this block's piece.
template <class Body>
__device__ void for_piece(const SegmentTable::Row& row, const Body& body) {
  const std::int64_t begin = row.segment.begin, end = row.segment.end;
  const std::int64_t first =
      aligned_begin(row.segment) + (blockIdx.x - row.first_block) * kPieceValues;
  const std::int64_t last = first + kPieceValues < end ? first + kPieceValues : end;
  const std::int64_t first_whole = first < begin ? first + 4 : first, last_whole = last & ~3ll;
  // Whole ones alone: with a ragged path in this loop nvcc stores vectors value by value.
  for (std::int64_t i = first_whole + 4 * threadIdx.x; i < last_whole; i += 4 * kThreads)
    body(i, Number<4>{});
  // Up to three values before the whole ones and three after them.
  const std::int64_t head_end = first_whole < last ? first_whole : last;
  const std::int64_t head = first < begin ? head_end - begin : 0;
  const std::int64_t tail_begin = last_whole > head_end ? last_whole : head_end;
  const std::int64_t ragged = head + last - tail_begin;
  if (threadIdx.x < ragged)
    body(threadIdx.x < head ? begin + threadIdx.x : tail_begin + threadIdx.x - head, Number<1>{});
}

/// Instead of a shadow's type where there is none.
struct NoShadow {};

template <int W, class T>
__device__ void store_shadow(T* shadow, const Floats<W>& values) {
  if constexpr (!std::is_same_v<T, NoShadow>) store_floats<W>(shadow, values);
}

template <class T>
__global__ void adamw_kernel(const StepParams* params, const float* dweight, float* weight,
                             float* first, float* second, T* shadow, SegmentTable table,
                             AdamW adamw) {
  if (params->skip) return;
  const SegmentTable::Row& row = table.rows[row_of_block(table)];
  auto* shared = dynamic_shared<AdamWScalars<float>>();
  if (threadIdx.x == 0)
    *shared = adamw_scalars<float>(*params, row.segment.lr_factor, row.segment.weight_decay, adamw);
  __syncthreads();
  const AdamWScalars<float> scalars = *shared;
  for_piece(row, [&](std::int64_t i, auto number) {
    constexpr int W = decltype(number)::value;
    const auto g = load_floats<W>(dweight + i);
    auto w = load_floats<W>(weight + i), m = load_floats<W>(first + i),
         v = load_floats<W>(second + i);
#pragma unroll
    for (int k = 0; k < W; ++k) adamw_step(w[k], m[k], v[k], g[k], scalars);
    store_floats<W>(weight + i, w);
    store_floats<W>(first + i, m);
    store_floats<W>(second + i, v);
    store_shadow<W>(shadow + i, w);
  });
}

template <class T>
__global__ void sgd_kernel(const StepParams* params, const float* dweight, float* weight,
                           float* velocity, T* shadow, SegmentTable table, Sgd sgd) {
  if (params->skip) return;
  const SegmentTable::Row& row = table.rows[row_of_block(table)];
  const SgdScalars<float> scalars =
      sgd_scalars<float>(*params, row.segment.lr_factor, row.segment.weight_decay, sgd);
  const bool first_step = params->step == 1;
  for_piece(row, [&](std::int64_t i, auto number) {
    constexpr int W = decltype(number)::value;
    const auto g = load_floats<W>(dweight + i);
    auto w = load_floats<W>(weight + i);
    if (velocity) {
      auto v = load_floats<W>(velocity + i);
#pragma unroll
      for (int k = 0; k < W; ++k)
        sgd_momentum_step(w[k], v[k], g[k], first_step, sgd.nesterov, scalars);
      store_floats<W>(velocity + i, v);
    } else {
#pragma unroll
      for (int k = 0; k < W; ++k) sgd_step(w[k], g[k], scalars);
    }
    store_floats<W>(weight + i, w);
    store_shadow<W>(shadow + i, w);
  });
}

__global__ void ema_kernel(const StepParams* params, const float* weight, float* average,
                           SegmentTable table, float one_minus_decay) {
  if (params->skip) return;
  const bool first_step = params->step == 1;
  for_piece(table.rows[row_of_block(table)], [&](std::int64_t i, auto number) {
    constexpr int W = decltype(number)::value;
    const auto w = load_floats<W>(weight + i);
    auto mean = load_floats<W>(average + i);
#pragma unroll
    for (int k = 0; k < W; ++k) {
      ema_step(mean[k], w[k], one_minus_decay);
      if (first_step) mean[k] = w[k];
    }
    store_floats<W>(average + i, mean);
  });
}

/// The sum of one value of each thread, in thread 0; always in the same order.
__device__ double block_sum(double value) {
  auto* sums = dynamic_shared<double>();
  sums[threadIdx.x] = value;
  for (unsigned half = kThreads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
  }
  return sums[threadIdx.x];
}

/// One sum of squares a block; doubles, since squares of gradients span many magnitudes.
__global__ void squares_kernel(const float* dweight, double* partial, SegmentTable table) {
  double sum = 0;
  for_piece(table.rows[row_of_block(table)], [&](std::int64_t i, auto number) {
    constexpr int W = decltype(number)::value;
    const auto g = load_floats<W>(dweight + i);
#pragma unroll
    for (int k = 0; k < W; ++k) sum += static_cast<double>(g[k]) * static_cast<double>(g[k]);
  });
  sum = block_sum(sum);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

__global__ void norm_kernel(const double* partial, std::int64_t count, double* norm) {
  double sum = 0;
  for (std::int64_t i = threadIdx.x; i < count; i += kThreads) sum += partial[i];
  sum = block_sum(sum);
  if (threadIdx.x == 0) *norm = sqrt(sum);
}

__global__ void prepare_kernel(const UpdateWish* wish, const float* loss, const double* norm,
                               UpdateState* state, StepParams* params, UpdateReport* reports,
                               std::int64_t report_count, UpdateRule rule) {
  *params = decide_update(*wish, rule, *loss, *norm, *state, reports, report_count);
}

/// Vectors of four need buffers that begin at one.
template <class... Tensors>
void check_flat(const char* kernel, Tensors... tensors) {
  const auto whole = [](auto tensor) {
    return !tensor || (tensor.dtype() == DType::f32 &&
                       reinterpret_cast<std::uintptr_t>(tensor.template as<float>()) % 16 == 0);
  };
  check((whole(tensors) && ...), kernel, "works on flat f32 buffers that are aligned to 16 bytes");
}

/// body(shadow as T*); a null NoShadow* where there is none.
template <class Body>
void with_shadow(const char* kernel, Out shadow, const Body& body) {
  if (!shadow) return body(static_cast<NoShadow*>(nullptr));
  check(shadow.write == Write::store &&
            reinterpret_cast<std::uintptr_t>(shadow.as<float>()) % 16 == 0,
        kernel, "stores its copy of the weights, aligned to 16 bytes");
  with_type(shadow.dtype(), [&]<class T>() { body(shadow.as<T>()); });
}

void adamw(In params, In dweight, InOut weight, InOut first, InOut second, Out shadow,
           const std::vector<Segment>& segments, AdamW attributes, Stream& stream) {
  check_flat("adamw_update", dweight, weight, first, second);
  with_shadow("adamw_update", shadow, [&]<class T>(T* copy) {
    for_tables(segments, [&](const SegmentTable& table) {
      launch(adamw_kernel<T>, table.blocks, kThreads, sizeof(AdamWScalars<float>), stream,
             params.as<StepParams>(), dweight.as<float>(), weight.as<float>(), first.as<float>(),
             second.as<float>(), copy, table, attributes);
    });
  });
}

void sgd(In params, In dweight, InOut weight, InOut velocity, Out shadow,
         const std::vector<Segment>& segments, Sgd attributes, Stream& stream) {
  check_flat("sgd_update", dweight, weight, velocity);
  with_shadow("sgd_update", shadow, [&]<class T>(T* copy) {
    for_tables(segments, [&](const SegmentTable& table) {
      launch(sgd_kernel<T>, table.blocks, kThreads, 0, stream, params.as<StepParams>(),
             dweight.as<float>(), weight.as<float>(), velocity ? velocity.as<float>() : nullptr,
             copy, table, attributes);
    });
  });
}

void ema(In params, In weight, InOut average, Ema attributes, Stream& stream) {
  check_flat("ema_update", weight, average);
  for_tables({{.begin = 0, .end = weight.shape().count()}}, [&](const SegmentTable& table) {
    launch(ema_kernel, table.blocks, kThreads, 0, stream, params.as<StepParams>(),
           weight.as<float>(), average.as<float>(), table,
           static_cast<float>(1 - attributes.decay));
  });
}

void norm(In dweight, Out result, const std::vector<Segment>& segments, Stream& stream) {
  check_flat("gradient_norm", dweight);
  std::int64_t count = 0;
  for_tables(segments, [&](const SegmentTable& table) { count += table.blocks; });
  auto* partial = reinterpret_cast<double*>(
      workspace(stream, static_cast<std::size_t>(count) * sizeof(double)));
  double* next = partial;
  for_tables(segments, [&](const SegmentTable& table) {
    launch(squares_kernel, table.blocks, kThreads, kThreads * sizeof(double), stream,
           dweight.as<float>(), next, table);
    next += table.blocks;
  });
  launch(norm_kernel, 1, kThreads, kThreads * sizeof(double), stream, partial, count,
         result.as<double>());
}

void prepare(In wish, In loss, In norm, InOut state, Out params, Out report, UpdateRule rule,
             Stream& stream) {
  launch(prepare_kernel, 1, 1, 0, stream, wish.as<UpdateWish>(), loss.as<float>(),
         norm.as<double>(), state.as<UpdateState>(), params.as<StepParams>(),
         report.as<UpdateReport>(), reports_in(report), rule);
}

}  // namespace

void fill_optimizer() {
  adamw_update.cuda = adamw;
  sgd_update.cuda = sgd;
  ema_update.cuda = ema;
  gradient_norm.cuda = norm;
  prepare_update.cuda = prepare;
}

}  // namespace fjord::cuda
