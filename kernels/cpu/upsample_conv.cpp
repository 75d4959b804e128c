// "Nearest x2, concatenate, 3x3": by Winograd's convolutions, which read through; elsewhere the
// three operations, with the enlarged image in scratch.
#include "kernels/cpu/conv_rule.h"
#include "kernels/cpu/fill.h"
#include "kernels/spatial.h"

namespace fjord {

namespace {

ConvShape plain_shape(const UpsampleConvShape& s) {
  return {.x = {s.y.n, s.y.h, s.y.w, s.weight.c},
          .weight = s.weight,
          .y = s.y,
          .conv = {},
          .dtype = s.dtype,
          .write = Write::store,
          .math = s.math,
          .algorithm = s.algorithm};
}

bool reads_through(const UpsampleConvShape& s) {
  return winograd_is_faster(plain_shape(s)) && winograd_fits(s);
}

void require(const UpsampleConvShape& s) {
  check(upsample_conv_fits(s), "upsample_conv", "the image is not exactly twice as large");
  check(s.dtype == DType::f32, "upsample_conv", "the CPU computes in f32");
}

/// The enlarged image at the beginning of scratch, and the convolution's own scratch behind it.
struct Joined {
  explicit Joined(const ConvShape& s)
      : shape(s.x), bytes(static_cast<std::size_t>(s.x.count()) * sizeof(float)) {
    bytes = (bytes + 63) / 64 * 64;
  }
  Buffer at(void* scratch) const { return {"joined", shape, DType::f32, scratch}; }
  void* behind(void* scratch) const { return static_cast<std::byte*>(scratch) + bytes; }

  Shape shape;
  std::size_t bytes;
};

void prepare_forward(const UpsampleConvShape& s, UpsampleConvForward& pass, Stream& stream) {
  require(s);
  if (reads_through(s)) {
    pass = winograd_upsample_forward(s);
    return;
  }
  ConvForward conv;
  prepare_conv_forward(plain_shape(s), conv, stream);
  const Joined joined(plain_shape(s));
  pass = {conv.implementation, joined.bytes + conv.scratch_bytes,
          [joined, run = conv.run](In low, In skip, In weight, Out y, void* scratch, Stream& to) {
            Buffer x = joined.at(scratch);
            upsample_concat_forward(low, skip, Out{&x}, to);
            run(In{&x}, weight, {}, y, joined.behind(scratch), to);
          }};
}

void prepare_backward_data(const UpsampleConvShape& s, UpsampleConvBackwardData& pass,
                           Stream& stream) {
  require(s);
  if (reads_through(s)) {
    pass = winograd_upsample_backward_data(s);
    return;
  }
  ConvBackwardData conv;
  prepare_conv_backward_data(plain_shape(s), conv, stream);
  const Joined joined(plain_shape(s));
  pass = {
      conv.implementation, joined.bytes + conv.scratch_bytes,
      [joined, run = conv.run](In dy, In weight, Out dlow, Out dskip, void* scratch, Stream& to) {
        Buffer dx = joined.at(scratch);
        run(dy, weight, Out{&dx}, joined.behind(scratch), to);
        upsample_concat_backward(In{&dx}, dlow, dskip, to);
      }};
}

void prepare_backward_filter(const UpsampleConvShape& s, UpsampleConvBackwardFilter& pass,
                             Stream& stream) {
  require(s);
  if (reads_through(s)) {
    pass = winograd_upsample_backward_filter(s);
    return;
  }
  ConvBackwardFilter conv;
  prepare_conv_backward_filter(plain_shape(s), conv, stream);
  const Joined joined(plain_shape(s));
  pass = {conv.implementation, joined.bytes + conv.scratch_bytes,
          [joined, run = conv.run](In low, In skip, In dy, Out dweight, void* scratch, Stream& to) {
            Buffer x = joined.at(scratch);
            upsample_concat_forward(low, skip, Out{&x}, to);
            run(In{&x}, dy, dweight, {}, joined.behind(scratch), to);
          }};
}

}  // namespace

void fill_upsample_conv_kernels() {
  prepare_upsample_conv_forward.cpu = prepare_forward;
  prepare_upsample_conv_backward_data.cpu = prepare_backward_data;
  prepare_upsample_conv_backward_filter.cpu = prepare_backward_filter;
}

}  // namespace fjord
