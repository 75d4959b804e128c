// "Nearest x2, concatenate, 3x3": the three operations one after the other, as they are written.
#include "kernels/conv.h"
#include "kernels/spatial.h"

#include <vector>

#include "tests/reference/reference.h"

namespace fjord::reference {

namespace {

// The enlarged and concatenated image, with memory of its own.
struct Joined {
  explicit Joined(const UpsampleConvShape& s)
      : values(static_cast<std::size_t>(s.y.pixels() * s.weight.c)),
        buffer{"joined", {s.y.n, s.y.h, s.y.w, s.weight.c}, DType::f64, values.data()} {}
  Joined(const UpsampleConvShape& s, In low, In skip) : Joined(s) {
    upsample_concat_forward(low, skip, Out{&buffer}, stream);
  }

  std::vector<double> values;
  Buffer buffer;
  Stream stream{Backend::reference};
};

ConvShape conv_of(const UpsampleConvShape& s) {
  return {.x = {s.y.n, s.y.h, s.y.w, s.weight.c}, .weight = s.weight, .y = s.y, .conv = {}};
}

void forward(const UpsampleConvShape& shape, In low, In skip, In weight, Out y) {
  Joined joined(shape, low, skip);
  ConvForward conv;
  prepare_conv_forward(conv_of(shape), conv, joined.stream);
  conv.run(In{&joined.buffer}, weight, {}, y, nullptr, joined.stream);
}

void backward_data(const UpsampleConvShape& shape, In dy, In weight, Out dlow, Out dskip) {
  Joined joined(shape);
  ConvBackwardData conv;
  prepare_conv_backward_data(conv_of(shape), conv, joined.stream);
  conv.run(dy, weight, Out{&joined.buffer}, nullptr, joined.stream);
  upsample_concat_backward(In{&joined.buffer}, dlow, dskip, joined.stream);
}

void backward_filter(const UpsampleConvShape& shape, In low, In skip, In dy, Out dweight) {
  Joined joined(shape, low, skip);
  ConvBackwardFilter conv;
  prepare_conv_backward_filter(conv_of(shape), conv, joined.stream);
  conv.run(In{&joined.buffer}, dy, dweight, {}, nullptr, joined.stream);
}

}  // namespace

void fill_conv_upsample() {
  prepare_upsample_conv_forward.reference = [](const UpsampleConvShape& shape,
                                               UpsampleConvForward& pass, Stream&) {
    pass = {"reference", 0, [shape](In low, In skip, In weight, Out y, void*, Stream&) {
              forward(shape, low, skip, weight, y);
            }};
  };
  prepare_upsample_conv_backward_data.reference = [](const UpsampleConvShape& shape,
                                                     UpsampleConvBackwardData& pass, Stream&) {
    pass = {"reference", 0, [shape](In dy, In weight, Out dlow, Out dskip, void*, Stream&) {
              backward_data(shape, dy, weight, dlow, dskip);
            }};
  };
  prepare_upsample_conv_backward_filter.reference = [](const UpsampleConvShape& shape,
                                                       UpsampleConvBackwardFilter& pass, Stream&) {
    pass = {"reference", 0, [shape](In low, In skip, In dy, Out dweight, void*, Stream&) {
              backward_filter(shape, low, skip, dy, dweight);
            }};
  };
}

}  // namespace fjord::reference
