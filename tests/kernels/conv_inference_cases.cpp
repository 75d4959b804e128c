// Cases of convolutions with folded normalisation; the reference runs the operations one by one.
#include "tests/kernels/conv_inference_case.h"

#include "kernels/cpu/winograd/winograd.h"
#include "kernels/pointwise.h"
#include "tests/kernels/conv_case.h"

namespace fjord {

namespace {

ConvInferenceShape shape_of(const InferenceLayer& l) {
  const Conv2d conv = l.conv;
  const std::int64_t rows = l.through ? 2 * l.x.h : l.x.h, columns = l.through ? 2 * l.x.w : l.x.w;
  const Shape x{l.x.n, rows, columns, l.x.c + l.skip};
  ConvInferenceShape s{.conv = {.x = x,
                                .weight = {l.outputs, conv.kernel, conv.kernel, x.c / conv.groups},
                                .y = {x.n, conv_size(x.h, conv), conv_size(x.w, conv), l.outputs},
                                .conv = conv},
                       .scale = l.scale,
                       .shift = l.shift,
                       .residual = l.residual,
                       .act = l.act,
                       .memory = l.memory};
  if (l.through) s.low = l.x;
  if (l.skip > 0) s.skip = {x.n, x.h, x.w, l.skip};
  return s;
}

constexpr const char* kActNames[]{"", " relu", " relu6", " silu", " sigmoid"};  // as in Act

std::string description(const InferenceLayer& l) {
  const ConvInferenceShape s = shape_of(l);
  return fmt::format("{} by {} stride {} padding {} groups {}{}{}{}{}{}{}{}", to_string(s.conv.x),
                     to_string(s.conv.weight), l.conv.stride, l.conv.padding, l.conv.groups,
                     l.scale ? " scale" : "", l.shift ? " shift" : "",
                     l.residual ? " residual" : "", kActNames[static_cast<int>(l.act)],
                     l.through ? " enlarged" : "",
                     l.memory == FilterMemory::low ? " low memory" : "", l.bf16 ? " bf16" : "");
}

// The implementation that the slot chooses, or on the CPU the Winograd one.
ConvInference prepared(const ConvInferenceShape& s, const InferenceLayer& l, Stream& stream) {
  if (l.winograd && stream.backend == Backend::cpu) return winograd_inference(s);
  ConvInference pass;
  prepare_conv_inference(s, pass, stream);
  return pass;
}

void run_pass(const ConvInferenceShape& s, const ConvInference& pass, Operands& t, Out y,
              Stream& stream) {
  // The split stands in two parts, each rounded up to 256 bytes.
  const std::size_t filters = static_cast<std::size_t>(s.conv.weight.count()) * sizeof(float);
  check(s.memory == FilterMemory::normal || pass.kept_bytes <= filters + 512, "conv_inference",
        "keeps {} bytes of {} with little memory", pass.kept_bytes, filters);
  ConvInferenceInputs inputs{.x = t.in("x"),
                             .low = t.in("low"),
                             .skip = t.in("skip"),
                             .weight = t.in("weight"),
                             .scale = t.in("scale"),
                             .shift = t.in("shift"),
                             .residual = t.in("residual")};
  if (pass.kept_bytes > 0) {
    const Shape bytes{1, 1, 1, static_cast<std::int64_t>(pass.kept_bytes)};
    void* kept = t.temporary("kept", bytes, DType::u8).buffer->data;
    pass.keep(inputs.weight, inputs.scale, kept, stream);
    inputs.kept = kept;
  }
  void* scratch = t.scratch(pass.scratch_bytes);
  pass.run(inputs, y, scratch, stream);
  // What is kept may be made, and used, by the second run.
  if (pass.kept_bytes > 0) pass.run(inputs, y, scratch, stream);
}

// As the engine does: a backend that declines an activation is asked without it.
void run_case(const InferenceLayer& l, Operands& t, Stream& stream) {
  ConvInferenceShape s = shape_of(l);
  s.conv.dtype = t.dtype("y");
  s.conv.math = math_on(stream, l.bf16);
  const ConvInference whole = prepared(s, l, stream);
  if (whole.run) return run_pass(s, whole, t, t.out("y"), stream);
  s.act = Act::none;
  const Out linear = t.temporary("linear", s.conv.y, s.conv.dtype);
  run_pass(s, prepared(s, l, stream), t, linear, stream);
  activate_forward(In{linear.buffer}, t.out("y"), l.act, stream);
}

}  // namespace

// Winograd's larger terms: see conv_cases.cpp.
OpCase inference_case(const InferenceLayer& l) {
  const ConvInferenceShape s = shape_of(l);
  OpCase c{.slot = "conv_inference",
           .what = description(l),
           .reduction = s.conv.weight.count() / s.conv.weight.n,
           .tensors = {read("weight", s.conv.weight), write("y", s.conv.y)},
           .features = {"x", "low", "skip", "residual", "y"},
           .roundings = 4,
           .amplification = amplification_of(s.conv, l.winograd)};
  if (l.bf16) c.rms_error = bf16_rms_error(s.conv);
  if (l.through)
    c.tensors.push_back(read("low", s.low));
  else
    c.tensors.push_back(read("x", s.conv.x));
  if (l.skip > 0) c.tensors.push_back(read("skip", s.skip));
  if (l.residual) c.tensors.push_back(read("residual", s.conv.y));
  if (l.scale) c.tensors.push_back(read("scale", {1, 1, 1, s.conv.y.c}));
  if (l.shift) c.tensors.push_back(read("shift", {1, 1, 1, s.conv.y.c}));
  c.run = [l](Operands& t, Stream& stream) { run_case(l, t, stream); };
  return c;
}

namespace {

std::vector<OpCase> conv_inference_cases() {
  std::vector<OpCase> cases;
  const auto add = [&](const InferenceLayer& layer) { cases.push_back(inference_case(layer)); };
  // As the slot chooses: direct convolutions, each kind of end.
  add({.x = {1, 9, 7, 3}, .outputs = 5, .scale = false, .act = Act::none});
  add({.x = {2, 11, 10, 3}, .outputs = 8, .conv = {.kernel = 7, .stride = 2, .padding = 3}});
  add({.x = {2, 6, 5, 20}, .outputs = 17, .conv = {.kernel = 1, .stride = 2, .padding = 0}});
  add({.x = {1, 8, 9, 32}, .outputs = 40, .conv = {.stride = 2}, .residual = true});
  add({.x = {1, 13, 8, 12}, .outputs = 12, .conv = {.groups = 12}, .act = Act::none});
  add({.x = {1, 40, 33, 16}, .outputs = 1, .scale = false, .act = Act::none});
  add({.x = {1, 6, 6, 4}, .outputs = 3, .scale = false, .shift = false, .residual = true});
  const Conv2d each{.groups = 32}, point{.kernel = 1, .padding = 0};
  add({.x = {2, 19, 11, 32}, .outputs = 32, .conv = each});
  add({.x = {1, 6, 7, 32}, .outputs = 32, .conv = each, .residual = true});
  for (const Act act : {Act::relu6, Act::silu}) {
    add({.x = {1, 6, 27, 32}, .outputs = 32, .conv = each, .act = act});
    add({.x = {2, 5, 6, 20}, .outputs = 24, .conv = point, .act = act});
    add({.x = {1, 8, 9, 32}, .outputs = 40, .conv = {.stride = 2}, .residual = true, .act = act});
    add({.x = {1, 9, 10, 16}, .outputs = 16, .act = act});  // the CPU's Winograd declines
  }
  const Conv2d wide{.kernel = 5, .stride = 2, .padding = 2, .groups = 16};
  add({.x = {1, 37, 40, 16}, .outputs = 16, .conv = wide, .scale = false, .act = Act::none});
  // Forms of the GPU's hand-written tail with their own ends: several turns over the outputs.
  add({.x = {1, 7, 19, 16}, .outputs = 64, .residual = true});
  add({.x = {1, 9, 18, 32}, .outputs = 16});
  add({.x = {1, 5, 17, 48}, .outputs = 48, .scale = false, .residual = true, .act = Act::none});
  for (const FilterMemory memory : {FilterMemory::normal, FilterMemory::low}) {
    const auto both = [&](InferenceLayer layer) {
      layer.memory = memory;
      layer.winograd = true;
      add(layer);
    };
    both({.x = {1, 1, 1, 1}, .outputs = 1});
    both({.x = {2, 5, 7, 17}, .outputs = 33, .residual = true});
    both({.x = {1, 9, 6, 48}, .outputs = 20, .conv = {.padding = 0}, .act = Act::none});
    both({.x = {1, 4, 5, 3}, .outputs = 65, .scale = false});
    both({.x = {3, 30, 27, 16}, .outputs = 16, .residual = true});
    both({.x = {1, 6, 6, 96}, .outputs = 130, .residual = true});
    both({.x = {1, 1, 1, 16}, .outputs = 3, .through = true});
    both({.x = {2, 3, 5, 32}, .outputs = 18, .through = true, .skip = 7});
    both({.x = {1, 9, 8, 16}, .outputs = 16, .through = true, .skip = 24, .residual = true});
    both({.x = {1, 24, 23, 16}, .outputs = 16, .through = true});
    both({.x = {1, 1, 1, 1}, .outputs = 1, .bf16 = true});
    both({.x = {2, 5, 7, 17}, .outputs = 33, .residual = true, .bf16 = true});
    both({.x = {1, 6, 6, 96}, .outputs = 130, .bf16 = true});
    both({.x = {1, 41, 40, 16}, .outputs = 16, .scale = false, .bf16 = true});
    both({.x = {1, 9, 8, 16}, .outputs = 16, .through = true, .skip = 24, .bf16 = true});
  }
  return cases;
}

const AddCases added(conv_inference_cases);

}  // namespace

}  // namespace fjord
