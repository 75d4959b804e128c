// Per-channel loops: sums over pixels, batch normalisation forward and backward.
#include "kernels/cpu/loops_isa.h"

namespace fjord::FJORD_ISA {

namespace {

// Eight pixels are added pairwise in float before a double takes them up: a rounding error of three
// additions, at an eighth of the conversions.
constexpr int kGroup = 8;

FJORD_HD float pairwise(const float* v) {
  return ((v[0] + v[1]) + (v[2] + v[3])) + ((v[4] + v[5]) + (v[6] + v[7]));
}

// sum[c] += value(p * width + c, c) over all pixels p of a block.
template <class Value>
FJORD_HD void add_up(std::int64_t pixels, std::int64_t width, double* __restrict sum, Value value) {
  std::int64_t p = 0;
  for (; p + kGroup <= pixels; p += kGroup)
    for (std::int64_t c = 0; c < width; ++c) {
      float v[kGroup];
      for (int k = 0; k < kGroup; ++k) v[k] = value((p + k) * width + c, c);
      sum[c] += static_cast<double>(pairwise(v));
    }
  for (; p < pixels; ++p)
    for (std::int64_t c = 0; c < width; ++c) sum[c] += static_cast<double>(value(p * width + c, c));
}

// The sums of a wide pixel, added to those of its channels.
FJORD_HD void fold(const double* wide, std::int64_t count, std::int64_t channels, double* sum) {
  for (std::int64_t i = 0; i < count; ++i)
    for (std::int64_t c = 0; c < channels; ++c) sum[c] += wide[i * channels + c];
}

// sum[c] += value(i) over all values i of channel c.
template <class Value>
FJORD_HD void add_up_channels(Rows rows, double* __restrict sum, Value value) {
  const std::int64_t per = pixels_per_wide(rows.channels), wide = per > 1 ? rows.pixels / per : 0;
  const std::int64_t done = wide * per * rows.channels;
  if (wide > 0) {
    double sums[kWideLimit] = {};
    add_up(wide, per * rows.channels, sums, [&](std::int64_t i, std::int64_t) { return value(i); });
    fold(sums, per, rows.channels, sum);
  }
  add_up(rows.pixels - wide * per, rows.channels, sum,
         [&](std::int64_t i, std::int64_t) { return value(done + i); });
}

// Where the gradient of an activation comes from. Restricted pointers and loads without a
// condition: the vectoriser needs both. dy is not restricted: dx may overwrite it.
template <bool relu, bool from_y>
struct Masked {
  const float* __restrict x;
  const float* __restrict y;
  const float* dy;

  explicit Masked(const NormBackward& a, std::int64_t start = 0)
      : x(a.x ? a.x + start : nullptr), y(a.y ? a.y + start : nullptr), dy(a.dy + start) {}

  FJORD_HD float operator()(std::int64_t i, float scale, float shift) const {
    const float dz = dy[i];
    if constexpr (!relu) return dz;
    const float value = from_y ? y[i] : x[i] * scale + shift;
    return value <= 0.0f ? 0.0f : dz;
  }
};

FJORD_HD void advance(NormBackward& a, std::int64_t values) {
  if (a.x) a.x += values;
  if (a.y) a.y += values;
  a.dy += values;
  if (a.dx) a.dx += values;
  if (a.dresidual) a.dresidual += values;
}

// Calls pass(rows, arguments) for whole wide pixels, then for the pixels left over.
template <class Pass>
FJORD_HD void in_wide_pixels(Rows rows, NormBackward a, Pass pass) {
  const std::int64_t per = pixels_per_wide(rows.channels), wide = rows.pixels / per;
  if (per > 1 && wide > 0) {
    Wide scale, shift, mean, mean_dz, slope;
    NormBackward b = a;
    b.scale = scale.fill(a.scale, rows.channels, per);
    b.shift = shift.fill(a.shift, rows.channels, per);
    b.mean = mean.fill(a.mean, rows.channels, per);
    b.mean_dz = mean_dz.fill(a.mean_dz, rows.channels, per);
    b.slope = slope.fill(a.slope, rows.channels, per);
    pass(Rows{wide, rows.channels * per}, b);
    advance(a, wide * per * rows.channels);
    rows.pixels -= wide * per;
  }
  pass(rows, a);
}

template <bool relu, bool from_y, bool centered>
FJORD_HD float input_gradient(const NormBackward& a, const Masked<relu, from_y>& masked,
                              std::int64_t c, float scale, float shift) {
  const float dz = masked(c, scale, shift);
  if constexpr (!centered) return scale * dz;
  return scale * (dz - a.mean_dz[c] - (masked.x[c] - a.mean[c]) * a.slope[c]);
}

template <bool relu, bool from_y, bool centered>
void write_backward(Rows rows, const NormBackward& a) {
  const float* __restrict scale = a.scale;
  const float* __restrict shift = a.shift;
  for (std::int64_t p = 0; p < rows.pixels; ++p) {
    const std::int64_t start = p * rows.channels;
    const Masked<relu, from_y> masked(a, start);
    if (float* dx = a.dx ? a.dx + start : nullptr) {
      if (a.add_dx)
#pragma GCC ivdep
        for (std::int64_t c = 0; c < rows.channels; ++c)
          dx[c] += input_gradient<relu, from_y, centered>(a, masked, c, scale[c], shift[c]);
      else
#pragma GCC ivdep
        for (std::int64_t c = 0; c < rows.channels; ++c)
          dx[c] = input_gradient<relu, from_y, centered>(a, masked, c, scale[c], shift[c]);
    }
    if (float* __restrict dresidual = a.dresidual ? a.dresidual + start : nullptr) {
      if (a.add_dresidual)
#pragma GCC ivdep
        for (std::int64_t c = 0; c < rows.channels; ++c)
          dresidual[c] += masked(c, scale[c], shift[c]);
      else
#pragma GCC ivdep
        for (std::int64_t c = 0; c < rows.channels; ++c)
          dresidual[c] = masked(c, scale[c], shift[c]);
    }
  }
}

template <bool centered>
FJORD_HD void write_backward_any(Rows rows, const NormBackward& arguments) {
  in_wide_pixels(rows, arguments, [](Rows block, const NormBackward& a) {
    if (!a.relu)
      write_backward<false, false, centered>(block, a);
    else if (a.y)
      write_backward<true, true, centered>(block, a);
    else
      write_backward<true, false, centered>(block, a);
  });
}

template <bool relu, bool from_y>
void backward_sums(Rows rows, const NormBackward& a, double* sum_dz, double* sum_dz_centered) {
  const float* __restrict scale = a.scale;
  const float* __restrict shift = a.shift;
  const float* __restrict mean = a.mean;
  const Masked<relu, from_y> masked(a);
  add_up(rows.pixels, rows.channels, sum_dz,
         [=](std::int64_t i, std::int64_t c) { return masked(i, scale[c], shift[c]); });
  add_up(rows.pixels, rows.channels, sum_dz_centered, [=](std::int64_t i, std::int64_t c) {
    return masked(i, scale[c], shift[c]) * (masked.x[i] - mean[c]);
  });
}

FJORD_HD void apply(Rows rows, const NormApply& a) {
  const float* __restrict scale = a.scale;
  const float* __restrict shift = a.shift;
  for (std::int64_t p = 0; p < rows.pixels; ++p) {
    const float* __restrict x = a.x + p * rows.channels;
    const float* __restrict residual = a.residual ? a.residual + p * rows.channels : nullptr;
    float* __restrict y = a.y + p * rows.channels;
    const float floor = a.relu ? 0.0f : -__builtin_inff();
    auto pass = [&](auto value_of) {
      if (a.add)
        for (std::int64_t c = 0; c < rows.channels; ++c) y[c] += value_of(c);
      else
        for (std::int64_t c = 0; c < rows.channels; ++c) y[c] = value_of(c);
    };
    if (residual)
      pass([&](std::int64_t c) {
        const float z = x[c] * scale[c] + shift[c] + residual[c];
        return z < floor ? floor : z;
      });
    else
      pass([&](std::int64_t c) {
        const float z = x[c] * scale[c] + shift[c];
        return z < floor ? floor : z;
      });
  }
}

}  // namespace

void channel_sums(Rows rows, const float* __restrict x, double* __restrict sum) {
  add_up_channels(rows, sum, [=](std::int64_t i) { return x[i]; });
}

void channel_products(Rows rows, const float* __restrict a, const float* __restrict b,
                      double* __restrict sum) {
  add_up_channels(rows, sum, [=](std::int64_t i) { return a[i] * b[i]; });
}

void channel_deviations(Rows rows, const float* __restrict x, const float* __restrict mean,
                        double* __restrict sum) {
  const std::int64_t per = pixels_per_wide(rows.channels), wide = rows.pixels / per;
  if (per > 1 && wide > 0) {
    Wide storage;
    const float* __restrict means = storage.fill(mean, rows.channels, per);
    double sums[kWideLimit] = {};
    add_up(wide, per * rows.channels, sums,
           [&](std::int64_t i, std::int64_t c) { return (x[i] - means[c]) * (x[i] - means[c]); });
    fold(sums, per, rows.channels, sum);
    x += wide * per * rows.channels;
    rows.pixels -= wide * per;
  }
  add_up(rows.pixels, rows.channels, sum,
         [&](std::int64_t i, std::int64_t c) { return (x[i] - mean[c]) * (x[i] - mean[c]); });
}

void norm_apply(Rows rows, const NormApply& arguments) {
  NormApply a = arguments;
  const std::int64_t per = pixels_per_wide(rows.channels), wide = rows.pixels / per;
  if (per > 1 && wide > 0) {
    Wide scale, shift;
    NormApply b = a;
    b.scale = scale.fill(a.scale, rows.channels, per);
    b.shift = shift.fill(a.shift, rows.channels, per);
    apply(Rows{wide, per * rows.channels}, b);
    const std::int64_t done = wide * per * rows.channels;
    a.x += done;
    a.y += done;
    if (a.residual) a.residual += done;
    rows.pixels -= wide * per;
  }
  apply(rows, a);
}

void norm_backward_sums(Rows rows, const NormBackward& arguments, double* sum_dz,
                        double* sum_dz_centered) {
  const std::int64_t channels = rows.channels;
  in_wide_pixels(rows, arguments, [=](Rows block, const NormBackward& a) {
    const bool wide = block.channels != channels;
    double wide_dz[kWideLimit] = {}, wide_centered[kWideLimit] = {};
    double* dz = wide ? wide_dz : sum_dz;
    double* centered = wide ? wide_centered : sum_dz_centered;
    if (!a.relu)
      backward_sums<false, false>(block, a, dz, centered);
    else if (a.y)
      backward_sums<true, true>(block, a, dz, centered);
    else
      backward_sums<true, false>(block, a, dz, centered);
    if (!wide) return;
    fold(wide_dz, block.channels / channels, channels, sum_dz);
    fold(wide_centered, block.channels / channels, channels, sum_dz_centered);
  });
}

void norm_backward_apply(Rows rows, const NormBackward& arguments) {
  write_backward_any<true>(rows, arguments);
}

void scale_backward(Rows rows, const NormBackward& arguments) {
  write_backward_any<false>(rows, arguments);
}

}  // namespace fjord::FJORD_ISA
