// Which values of an axis an interpolated value is made of, for host and device.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/host_device.h"
#include "kernels/spatial.h"

namespace fjord {

/// One axis. Arithmetic is in float, as PyTorch's.
struct ResizeAxis {
  int in = 1, out = 1;
  Interpolation mode = Interpolation::nearest;

  FJORD_HD float ratio() const { return static_cast<float>(in) / static_cast<float>(out); }
  FJORD_HD int clamped(int i) const { return i < 0 ? 0 : i < in ? i : in - 1; }
  /// The share that input i has in output o.
  FJORD_HD float weight(int o, int i) const {
    if (mode == Interpolation::area) return area(o, i);
    if (mode == Interpolation::nearest)
      return i == clamped(static_cast<int>(static_cast<float>(o) * ratio())) ? 1.0f : 0.0f;
    const float middle = (static_cast<float>(o) + 0.5f) * ratio();
    if (mode == Interpolation::nearest_exact)
      return i == clamped(static_cast<int>(middle)) ? 1.0f : 0.0f;
    return mode == Interpolation::bilinear ? linear(middle - 0.5f, i) : cubic(middle - 0.5f, i);
  }
  /// Inputs that may have a share in output o: [first, last].
  FJORD_HD int first_input(int o) const { return clamped(scaled(o, in, out) - 2); }
  FJORD_HD int last_input(int o) const { return clamped(scaled(o + 1, in, out) + 3); }
  /// Outputs that input i may have a share in.
  FJORD_HD int first_output(int i) const {
    const int o = scaled(i > 3 ? i - 3 : 0, out, in) - 1;
    return o < 0 ? 0 : o;
  }
  FJORD_HD int last_output(int i) const {
    const int o = scaled(i + 3, out, in) + 1;
    return o < out ? o : out - 1;
  }

 private:
  FJORD_HD static int scaled(int i, int by, int over) {
    return static_cast<int>(std::int64_t{i} * by / over);
  }
  FJORD_HD float area(int o, int i) const {
    const int begin = scaled(o, in, out);
    const int end = static_cast<int>((std::int64_t{o + 1} * in + out - 1) / out);
    return i >= begin && i < end ? 1.0f / static_cast<float>(end - begin) : 0.0f;
  }
  FJORD_HD float linear(float source, int i) const {
    if (source < 0) source = 0;
    const int left = static_cast<int>(source), right = clamped(left + 1);
    const float share = source - static_cast<float>(left);
    return (i == left ? 1 - share : 0.0f) + (i == right ? share : 0.0f);
  }
  /// Keys 1981 with a = -0.75, factored at its zeros 1 and 2: nothing cancels.
  FJORD_HD static float bump(float distance) {
    const float a = -0.75f, d = distance < 0 ? -distance : distance;
    if (d <= 1) return (1 - d) * (1 + d - (a + 2) * d * d);
    return d < 2 ? a * (d - 1) * (2 - d) * (2 - d) : 0.0f;
  }
  FJORD_HD float cubic(float source, int i) const {
    const float left = std::floor(source), share = source - left;
    float sum = 0;
    for (int k = -1; k <= 2; ++k)
      if (clamped(static_cast<int>(left) + k) == i) sum += bump(share - static_cast<float>(k));
    return sum;
  }
};

}  // namespace fjord
