// Convolution in double: the definition's loops, ordered so that the innermost runs over channels.
#include "kernels/conv.h"

#include <vector>

#include "tests/reference/reference.h"

namespace fjord::reference {

namespace {

// Where an output pixel reads: input = output * stride - padding + tap * dilation.
std::int64_t input_of(std::int64_t output, std::int64_t tap, const Conv2d& conv) {
  return output * conv.stride - conv.padding + tap * conv.dilation;
}

// Calls body(k, r, s, iy, ix) for every filter tap of one output pixel that lies in the image.
template <class Body>
void for_taps(const ConvShape& shape, std::int64_t oy, std::int64_t ox, const Body& body) {
  for (std::int64_t r = 0; r < shape.weight.h; ++r)
    for (std::int64_t s = 0; s < shape.weight.w; ++s) {
      const std::int64_t iy = input_of(oy, r, shape.conv), ix = input_of(ox, s, shape.conv);
      if (iy >= 0 && iy < shape.x.h && ix >= 0 && ix < shape.x.w) body(r, s, iy, ix);
    }
}

std::int64_t filter_offset(const ConvShape& shape, std::int64_t k, std::int64_t r, std::int64_t s) {
  return ((k * shape.weight.h + r) * shape.weight.w + s) * shape.weight.c;
}

std::int64_t pixel(Shape shape, std::int64_t n, std::int64_t y, std::int64_t x) {
  return ((n * shape.h + y) * shape.w + x) * shape.c;
}

// The first input channel of filter k's group.
std::int64_t first_channel(const ConvShape& shape, std::int64_t k) {
  return k / (shape.y.c / shape.conv.groups) * shape.weight.c;
}

// The filter with its outputs innermost: R x S x C x K.
std::vector<double> outputs_innermost(const ConvShape& shape, const double* weight) {
  const std::int64_t taps = shape.weight.h * shape.weight.w * shape.weight.c;
  std::vector<double> turned(static_cast<std::size_t>(shape.weight.count()));
  for (std::int64_t k = 0; k < shape.y.c; ++k)
    for (std::int64_t i = 0; i < taps; ++i)
      turned[static_cast<std::size_t>(i * shape.y.c + k)] = weight[k * taps + i];
  return turned;
}

void forward_pixel(const ConvShape& shape, const double* x, const std::vector<double>& weight,
                   const double* bias, double* y, std::int64_t n, std::int64_t oy,
                   std::int64_t ox) {
  const std::int64_t outputs = shape.y.c, per_group = outputs / shape.conv.groups;
  for (std::int64_t k = 0; k < outputs; ++k) y[k] = bias ? bias[k] : 0;
  for_taps(shape, oy, ox, [&](std::int64_t r, std::int64_t s, std::int64_t iy, std::int64_t ix) {
    const double* row = x + pixel(shape.x, n, iy, ix);
    const std::int64_t tap = (r * shape.weight.w + s) * shape.weight.c;
    for (std::int64_t c = 0; c < shape.weight.c; ++c) {
      const double* filters = weight.data() + (tap + c) * outputs;
      for (int g = 0; g < shape.conv.groups; ++g) {
        const double value = row[g * shape.weight.c + c];
        for (std::int64_t k = g * per_group; k < (g + 1) * per_group; ++k)
          y[k] += value * filters[k];
      }
    }
  });
}

void run_forward(const ConvShape& shape, In x, In weight, In bias, Out y) {
  const std::vector<double> turned = outputs_innermost(shape, weight.as<double>());
  const double* offsets = bias.as<double>();
#pragma omp parallel for
  for (std::int64_t row = 0; row < shape.y.n * shape.y.h; ++row)
    for (std::int64_t ox = 0; ox < shape.y.w; ++ox) {
      const std::int64_t n = row / shape.y.h, oy = row % shape.y.h;
      forward_pixel(shape, x.as<double>(), turned, offsets,
                    y.as<double>() + pixel(shape.y, n, oy, ox), n, oy, ox);
    }
}

// dx[n, iy, ix, c] = sum of dy * w over the output pixels that read it; one input row a call.
void backward_data_row(const ConvShape& shape, const double* dy, const double* weight, double* dx,
                       std::int64_t n, std::int64_t row) {
  for (std::int64_t r = 0; r < shape.weight.h; ++r) {
    const std::int64_t top = row + shape.conv.padding - r * shape.conv.dilation;
    if (top < 0 || top % shape.conv.stride != 0 || top / shape.conv.stride >= shape.y.h) continue;
    for (std::int64_t ox = 0; ox < shape.y.w; ++ox)
      for (std::int64_t s = 0; s < shape.weight.w; ++s) {
        const std::int64_t ix = input_of(ox, s, shape.conv);
        if (ix < 0 || ix >= shape.x.w) continue;
        const double* gradient = dy + pixel(shape.y, n, top / shape.conv.stride, ox);
        for (std::int64_t k = 0; k < shape.y.c; ++k) {
          const double* filter = weight + filter_offset(shape, k, r, s);
          double* target = dx + ix * shape.x.c + first_channel(shape, k);
          for (std::int64_t c = 0; c < shape.weight.c; ++c) target[c] += gradient[k] * filter[c];
        }
      }
  }
}

void run_backward_data(const ConvShape& shape, In dy, In weight, Out dx) {
  const std::int64_t values = shape.x.w * shape.x.c;
#pragma omp parallel for
  for (std::int64_t row = 0; row < shape.x.n * shape.x.h; ++row) {
    double* target = dx.as<double>() + row * values;
    for (std::int64_t i = 0; i < values && dx.write == Write::store; ++i) target[i] = 0;
    backward_data_row(shape, dy.as<double>(), weight.as<double>(), target, row / shape.x.h,
                      row % shape.x.h);
  }
}

// dw[k, r, s, c] = sum over pixels of dy[k] * x[c]; one filter a call.
void filter_gradient(const ConvShape& shape, const double* x, const double* dy, double* dweight,
                     std::int64_t k) {
  for (std::int64_t n = 0; n < shape.y.n; ++n)
    for (std::int64_t oy = 0; oy < shape.y.h; ++oy)
      for (std::int64_t ox = 0; ox < shape.y.w; ++ox) {
        const double gradient = dy[pixel(shape.y, n, oy, ox) + k];
        for_taps(shape, oy, ox,
                 [&](std::int64_t r, std::int64_t s, std::int64_t iy, std::int64_t ix) {
                   const double* row = x + pixel(shape.x, n, iy, ix) + first_channel(shape, k);
                   double* target = dweight + (r * shape.weight.w + s) * shape.weight.c;
                   for (std::int64_t c = 0; c < shape.weight.c; ++c) target[c] += gradient * row[c];
                 });
      }
}

void run_backward_filter(const ConvShape& shape, In x, In dy, Out dweight, Out dbias) {
  const std::int64_t taps = shape.weight.h * shape.weight.w * shape.weight.c;
#pragma omp parallel for
  for (std::int64_t k = 0; k < shape.y.c; ++k) {
    double* target = dweight.as<double>() + k * taps;
    for (std::int64_t i = 0; i < taps && dweight.write == Write::store; ++i) target[i] = 0;
    filter_gradient(shape, x.as<double>(), dy.as<double>(), target, k);
  }
  for (std::int64_t k = 0; k < shape.y.c && dbias; ++k) {
    double sum = 0;
    for (std::int64_t p = 0; p < shape.y.pixels(); ++p) sum += dy.as<double>()[p * shape.y.c + k];
    put(dbias, k, sum);
  }
}

}  // namespace

void fill_conv() {
  prepare_conv_forward.reference = [](const ConvShape& shape, ConvForward& pass, Stream&) {
    pass = {"reference", 0, [shape](In x, In weight, In bias, Out y, void*, Stream&) {
              run_forward(shape, x, weight, bias, y);
            }};
  };
  prepare_conv_backward_data.reference = [](const ConvShape& shape, ConvBackwardData& pass,
                                            Stream&) {
    pass = {"reference", 0, [shape](In dy, In weight, Out dx, void*, Stream&) {
              run_backward_data(shape, dy, weight, dx);
            }};
  };
  prepare_conv_backward_filter.reference = [](const ConvShape& shape, ConvBackwardFilter& pass,
                                              Stream&) {
    pass = {"reference", 0, [shape](In x, In dy, Out dweight, Out dbias, void*, Stream&) {
              run_backward_filter(shape, x, dy, dweight, dbias);
            }};
  };
}

}  // namespace fjord::reference
