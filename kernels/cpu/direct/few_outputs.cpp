// The drivers: rows shared out over the threads; a filter's gradient is summed
// for every few rows, then over those in order, in double.
#include "kernels/cpu/direct/few_outputs.h"

#include "kernels/cpu/loops.h"
#include "kernels/cpu/parallel.h"

namespace fjord {

namespace {

constexpr char kName[] = "few_outputs";
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

void forward(const ConvShape& s, In x, In weight, In bias, Out y) {
  const Chunks rows{s.y.n * s.y.h, kRows};
  parallel_for(rows.pieces(), [&](std::int64_t piece) {
    for (std::int64_t i = rows.begin(piece); i < rows.begin(piece) + rows.length(piece); ++i) {
      FewOutputs row = at_row(s, x.as<float>(), i);
      row.weight = weight.as<float>();
      row.bias = bias ? bias.as<float>() : nullptr;
      row.y = y.as<float>() + i * s.y.w * s.y.c;
      loops().few_outputs(row);
    }
  });
}

void backward_filter(const ConvShape& s, In x, In dy, Out dweight) {
  const std::int64_t count = s.weight.count();
  const Chunks rows{s.y.n * s.y.h, kRows};
  double* sums = partial_sums(rows.pieces() * count);
  parallel_for(rows.pieces(), [&](std::int64_t piece) {
    for (std::int64_t i = rows.begin(piece); i < rows.begin(piece) + rows.length(piece); ++i) {
      FewOutputs row = at_row(s, x.as<float>(), i);
      row.dy = dy.as<float>() + i * s.y.w * s.y.c;
      loops().few_outputs_gradient(row, sums + piece * count);
    }
  });
  for (std::int64_t j = 0; j < count; ++j) {
    float& target = dweight.as<float>()[j];
    double sum = dweight.write == Write::add ? static_cast<double>(target) : 0.0;
    for (std::int64_t piece = 0; piece < rows.pieces(); ++piece) sum += sums[piece * count + j];
    target = static_cast<float>(sum);
  }
}

}  // namespace

bool few_outputs_fit(const ConvShape& s) {
  const Conv2d& c = s.conv;
  return c.kernel == 3 && c.stride == 1 && c.dilation == 1 && c.groups == 1 && c.padding <= 2 &&
         s.y.c <= kMostOutputs && s.x.c % 16 == 0;
}

ConvForward few_outputs_forward(const ConvShape& shape) {
  return {kName, 0, [shape](In x, In weight, In bias, Out y, void*, Stream&) {
            forward(shape, x, weight, bias, y);
          }};
}

ConvBackwardFilter few_outputs_backward_filter(const ConvShape& shape) {
  return {kName, 0, [shape](In x, In dy, Out dweight, Out, void*, Stream&) {
            backward_filter(shape, x, dy, dweight);
          }};
}

}  // namespace fjord
