// The drivers: rows shared out over the threads; a filter's gradient is summed
// for every few rows, then over those in order, in double.
#include "kernels/cpu/direct/few_outputs.h"

#include <algorithm>

#include "kernels/cpu/loops.h"
#include "kernels/cpu/parallel.h"
#include "kernels/threads.h"

namespace fjord {

namespace {

constexpr char kName[] = "few_outputs", kNormName[] = "few_outputs of norm";
constexpr std::int64_t kMostOutputs = 4, kRows = 8;

/// A row of the output: row i of all images.
FewOutputs at_row(const ConvShape& s, const float* x, std::int64_t i) {
  return {.x = x + i / s.y.h * s.x.h * s.x.w * s.x.c,
          .h = s.x.h,
          .w = s.x.w,
          .channels = s.x.c,
          .out_w = s.y.w,
          .row = i % s.y.h - s.conv.padding,
          .padding = s.conv.padding,
          .outputs = static_cast<int>(s.y.c)};
}

/// Normalised input of rows of outputs of one image, in scratch of the thread's own: rows
/// [first, first + count) of the image's.
struct NormalizedRows {
  const float* x;
  std::int64_t first, count;
};

/// Floats of what kRows rows of outputs read.
std::int64_t row_floats(const ConvShape& s) { return (kRows + s.conv.kernel - 1) * s.x.w * s.x.c; }

/// At most `count` threads, each with as many floats at `memory` where rows are normalised.
struct Workers {
  int count;
  float* memory = nullptr;
};

// What row i and those behind it, up to `end` or the image's last, read.
NormalizedRows normalized_rows(const ConvShape& s, const ConvNormInputs& t, Act act, std::int64_t i,
                               std::int64_t end, float* memory) {
  const std::int64_t image = i / s.y.h, last = std::min(end, (image + 1) * s.y.h) - 1;
  const std::int64_t first = std::max<std::int64_t>(0, i % s.y.h - s.conv.padding);
  const std::int64_t past = std::min(s.x.h, last % s.y.h - s.conv.padding + s.conv.kernel);
  const std::int64_t count = std::max<std::int64_t>(0, past - first), row = s.x.w * s.x.c;
  loops().norm_apply({count * s.x.w, s.x.c}, {.x = t.x.as<float>() + (image * s.x.h + first) * row,
                                              .scale = t.scale.as<float>(),
                                              .shift = t.shift.as<float>(),
                                              .residual = nullptr,
                                              .y = memory,
                                              .relu = act == Act::relu,
                                              .add = false});
  return {memory, first, count};
}

/// each(row, i) for the rows [begin, end) of all images' outputs.
template <class Each>
void for_rows(const ConvShape& s, const ConvNormInputs& t, Act act, std::int64_t begin,
              std::int64_t end, float* memory, const Each& each) {
  NormalizedRows rows{};
  for (std::int64_t i = begin; i < end; ++i) {
    FewOutputs row = at_row(s, t.x.as<float>(), i);
    if (t.scale) {
      if (i == begin || i % s.y.h == 0) rows = normalized_rows(s, t, act, i, end, memory);
      row.x = rows.x;
      row.row -= rows.first;
      row.h = rows.count;
    }
    each(row, i);
  }
}

/// each(row, i, piece) for all rows, those of a piece by one thread.
template <class Each>
void for_all_rows(const ConvShape& s, const ConvNormInputs& t, Act act, Workers workers,
                  const Each& each) {
  const Chunks rows{s.y.n * s.y.h, kRows};
  parallel_pieces(rows.pieces(), workers.count, [&](std::size_t i, int worker) {
    const auto piece = static_cast<std::int64_t>(i), begin = rows.begin(piece);
    float* memory = workers.memory ? workers.memory + worker * row_floats(s) : nullptr;
    for_rows(s, t, act, begin, begin + rows.length(piece), memory,
             [&](FewOutputs row, std::int64_t at) { each(row, at, piece); });
  });
}

void forward(const ConvShape& s, const ConvNormInputs& t, Act act, Out y, Workers workers) {
  for_all_rows(s, t, act, workers, [&](FewOutputs row, std::int64_t i, std::int64_t) {
    row.weight = t.weight.as<float>();
    row.bias = t.bias.as<float>();
    row.y = y.as<float>() + i * s.y.w * s.y.c;
    loops().few_outputs(row);
  });
}

void backward_filter(const ConvShape& s, const ConvNormInputs& t, Act act, In dy, Out dweight,
                     Workers workers) {
  const std::int64_t count = s.weight.count();
  const Chunks rows{s.y.n * s.y.h, kRows};
  double* sums = partial_sums(rows.pieces() * count);
  for_all_rows(s, t, act, workers, [&](FewOutputs row, std::int64_t i, std::int64_t piece) {
    row.dy = dy.as<float>() + i * s.y.w * s.y.c;
    loops().few_outputs_gradient(row, sums + piece * count);
  });
  for (std::int64_t j = 0; j < count; ++j) {
    float& target = dweight.as<float>()[j];
    double sum = dweight.write == Write::add ? static_cast<double>(target) : 0.0;
    for (std::int64_t piece = 0; piece < rows.pieces(); ++piece) sum += sums[piece * count + j];
    target = static_cast<float>(sum);
  }
}

std::size_t scratch_bytes(const ConvNormShape& s, int workers) {
  if (!s.normalized) return 0;
  return static_cast<std::size_t>(row_floats(s.conv) * workers) * sizeof(float);
}

}  // namespace

bool few_outputs_fit(const ConvShape& s) {
  const Conv2d& c = s.conv;
  return c.kernel == 3 && c.stride == 1 && c.dilation == 1 && c.groups == 1 && c.padding <= 2 &&
         s.y.c <= kMostOutputs && s.x.c % 16 == 0;
}

ConvForward few_outputs_forward(const ConvShape& shape) {
  return {kName, 0, [shape](In x, In weight, In bias, Out y, void*, Stream&) {
            forward(shape, {.x = x, .weight = weight, .bias = bias}, Act::none, y, {threads()});
          }};
}

ConvBackwardFilter few_outputs_backward_filter(const ConvShape& shape) {
  return {kName, 0, [shape](In x, In dy, Out dweight, Out, void*, Stream&) {
            backward_filter(shape, {.x = x}, Act::none, dy, dweight, {threads()});
          }};
}

ConvNormForward few_outputs_norm_forward(const ConvNormShape& shape) {
  const int workers = threads();
  return {kNormName, scratch_bytes(shape, workers),
          [shape, workers](const ConvNormInputs& t, Out y, Out, Out, void* scratch, Stream&) {
            forward(shape.conv, t, shape.act, y, {workers, static_cast<float*>(scratch)});
          }};
}

ConvNormBackwardFilter few_outputs_norm_backward_filter(const ConvNormShape& shape) {
  const int workers = threads();
  return {kNormName, scratch_bytes(shape, workers),
          [shape, workers](const ConvNormInputs& t, const ConvNormGradient& dy, Out dweight, Out,
                           void* scratch, Stream&) {
            backward_filter(shape.conv, t, shape.act, dy.value, dweight,
                            {workers, static_cast<float*>(scratch)});
          }};
}

}  // namespace fjord
