// Cases of "nearest x2, concatenate, 3x3" as one operation; the reference runs the three.
#include "tests/kernels/conv_case.h"
#include "tests/kernels/op_case.h"

namespace fjord {

namespace {

struct Block {
  Shape low;
  std::int64_t skip = 0, outputs = 1;  // channels
  bool bf16 = false;                   // products of bf16, on CPUs that have them
};

UpsampleConvShape shape_of(const Block& block, Write mode) {
  const Shape low = block.low;
  UpsampleConvShape shape{.low = low,
                          .skip = {low.n, 2 * low.h, 2 * low.w, block.skip},
                          .weight = {block.outputs, 3, 3, low.c + block.skip},
                          .y = {low.n, 2 * low.h, 2 * low.w, block.outputs},
                          .write = mode};
  if (block.skip == 0) shape.skip = {0, 0, 0, 0};
  return shape;
}

// The convolution behind it, of the enlarged image.
ConvShape joined(const Block& block) {
  const UpsampleConvShape s = shape_of(block, Write::store);
  return {.x = {s.y.n, s.y.h, s.y.w, s.weight.c}, .weight = s.weight, .y = s.y, .conv = {}};
}

UpsampleConvShape typed(UpsampleConvShape shape, In tensor, const Block& block,
                        const Stream& stream) {
  shape.dtype = tensor.dtype();
  shape.math = math_on(stream, block.bf16);
  return shape;
}

// On 16-bit tensors the summed filter is rounded, and y after each of its two parts.
OpCase named(const char* slot, const Block& block, Write mode, std::int64_t reduction) {
  return {.slot = slot,
          .what = fmt::format("{} with {} to {} channels{}{}", to_string(block.low), block.skip,
                              block.outputs, mode == Write::add ? " added" : "",
                              block.bf16 ? " bf16" : ""),
          .reduction = reduction,
          .features = {"low", "dlow", "skip", "dskip", "weight", "y", "dy"},
          .roundings = 4,
          .amplification = amplification_of(joined(block)),
          .rms_error = block.bf16 ? bf16_rms_error(joined(block)) : 0,
          .from_features = {"dweight"}};
}

OpCase forward_case(const Block& block) {
  const UpsampleConvShape shape = shape_of(block, Write::store);
  OpCase c = named("upsample_conv_forward", block, Write::store, 9 * shape.weight.c);
  c.tensors = {read("low", shape.low), read("weight", shape.weight), write("y", shape.y)};
  if (block.skip > 0) c.tensors.push_back(read("skip", shape.skip));
  c.run = [shape, block](Operands& t, Stream& stream) {
    UpsampleConvForward pass;
    prepare_upsample_conv_forward(typed(shape, t.in("low"), block, stream), pass, stream);
    void* scratch = t.scratch(pass.scratch_bytes);
    pass.run(t.in("low"), t.in("skip"), t.in("weight"), t.out("y"), scratch, stream);
  };
  return c;
}

// `wanted`: which of the gradients somebody asks for.
OpCase backward_data_case(const Block& block, Write mode, const std::vector<std::string>& wanted) {
  const UpsampleConvShape shape = shape_of(block, mode);
  OpCase c = named("upsample_conv_backward_data", block, mode, 9 * 4 * block.outputs);
  c.tensors = {read("dy", shape.y), read("weight", shape.weight)};
  for (const std::string& name : wanted) {
    c.what += " " + name;
    c.tensors.push_back(write(name, name == "dlow" ? shape.low : shape.skip, mode));
  }
  c.run = [shape, block](Operands& t, Stream& stream) {
    UpsampleConvBackwardData pass;
    prepare_upsample_conv_backward_data(typed(shape, t.in("dy"), block, stream), pass, stream);
    void* scratch = t.scratch(pass.scratch_bytes);
    pass.run(t.in("dy"), t.in("weight"), t.out("dlow"), t.out("dskip"), scratch, stream);
  };
  return c;
}

OpCase backward_filter_case(const Block& block, Write mode) {
  const UpsampleConvShape shape = shape_of(block, mode);
  OpCase c = named("upsample_conv_backward_filter", block, mode, shape.y.pixels());
  c.tensors = {read("low", shape.low), read("dy", shape.y), write("dweight", shape.weight, mode)};
  if (block.skip > 0) c.tensors.push_back(read("skip", shape.skip));
  c.run = [shape, block](Operands& t, Stream& stream) {
    UpsampleConvBackwardFilter pass;
    prepare_upsample_conv_backward_filter(typed(shape, t.in("dy"), block, stream), pass, stream);
    void* scratch = t.scratch(pass.scratch_bytes);
    pass.run(t.in("low"), t.in("skip"), t.in("dy"), t.out("dweight"), scratch, stream);
  };
  return c;
}

std::vector<OpCase> upsample_conv_cases() {
  std::vector<OpCase> cases;
  // Single pixels, odd channels, odd images; then whole 16-byte accesses, and more than one tile of
  // 32 x 32 filters; then what Winograd on the CPU reads through.
  const std::vector<Block> blocks{{{1, 1, 1, 3}, 0, 2},
                                  {{1, 1, 1, 2}, 1, 3},
                                  {{2, 3, 2, 5}, 3, 7},
                                  {{1, 4, 5, 3}, 0, 2},
                                  {{2, 4, 4, 32}, 16, 8},
                                  {{1, 3, 5, 40}, 24, 48},
                                  {{1, 2, 3, 33}, 8, 35},
                                  {{2, 3, 5, 32}, 16, 16},
                                  {{1, 5, 4, 64}, 0, 35},
                                  {{1, 5, 3, 32}, 16, 20, true},
                                  // So many tiles that one thread has blocks of its own.
                                  {{1, 10, 16, 32}, 16, 16}};
  for (const Block& block : blocks) {
    cases.push_back(forward_case(block));
    for (const Write mode : {Write::store, Write::add}) {
      cases.push_back(backward_data_case(block, mode, {"dlow"}));
      if (block.skip > 0) {
        cases.push_back(backward_data_case(block, mode, {"dskip"}));
        cases.push_back(backward_data_case(block, mode, {"dlow", "dskip"}));
      }
      cases.push_back(backward_filter_case(block, mode));
    }
  }
  return cases;
}

const AddCases added(upsample_conv_cases);

}  // namespace

}  // namespace fjord
