// Convolutions for inference on the GPU: filters folded once, in the order of whoever multiplies
// by them; bias, residual and ReLU where the sums are stored, or in one pass behind.
#include "kernels/conv_inference.h"

#include <optional>

#include "kernels/cuda/backend.h"
#include "kernels/cuda/conv_rule.h"
#include "kernels/cuda/conv_split.h"
#include "kernels/cuda/tail.h"

namespace fjord::cuda {

namespace {

ConvEpilogue ending_of(const ConvInferenceShape& s) {
  return {.bias = s.shift, .residual = s.residual, .relu = s.act == Act::relu};
}

std::string format_of(const char* order, const ConvInferenceShape& s) {
  return fmt::format("{} in type {}", order, static_cast<int>(s.conv.dtype));
}

ConvInference tail_inference(const ConvInferenceShape& s) {
  const TailPass tail{.x = s.conv.x,
                      .outputs = static_cast<int>(s.conv.y.c),
                      .dtype = s.conv.dtype,
                      .turned = false};
  return {"tail",
          format_of("tail", s),
          tail.packed_bytes(),
          0,
          [tail](In weight, In scale, void* kept, Stream& stream) {
            pack_tail_filter(tail.packing(), weight, scale, {kept, tail.dtype}, stream);
          },
          [tail, relu = s.act == Act::relu](const ConvInferenceInputs& t, Out y, void*,
                                            Stream& stream) {
            const TailEnd end{.bias = t.shift, .residual = t.residual, .relu = relu};
            tail.run_packed(t.x, t.kept, end, y, stream);
          }};
}

ConvInference library_inference(const ConvInferenceShape& s) {
  ConvProblem problem = problem_of(s.conv, ConvPass::forward);
  problem.epilogue = ending_of(s);
  const EndedPlan plan(problem, s.conv.tuning);
  const DType dtype = s.conv.dtype;
  return {"library: " + plan.engine(),
          format_of("plain", s),
          static_cast<std::size_t>(s.conv.weight.count()) * size_of(dtype),
          plan.workspace_bytes(),
          [dtype](In weight, In scale, void* kept, Stream& stream) {
            fold_filter(weight, scale, {kept, dtype}, stream);
          },
          [plan](const ConvInferenceInputs& t, Out y, void* scratch, Stream& stream) {
            plan.run({.first = address(t.x),
                      .second = t.kept,
                      .bias = address(t.shift),
                      .result = y.buffer->data,
                      .workspace = scratch,
                      .residual = address(t.residual)},
                     stream);
          }};
}

UpsampleConvShape enlargement_of(const ConvInferenceShape& s) {
  return {.low = s.low,
          .skip = s.skip,
          .weight = s.conv.weight,
          .y = s.conv.y,
          .dtype = s.conv.dtype,
          .math = s.conv.math,
          .tuning = s.conv.tuning};
}

bool reads_through(const ConvInferenceShape& s) {
  const Conv2d& c = s.conv.conv;
  return c.stride == 1 && c.padding == 1 && c.dilation == 1 && c.groups == 1 &&
         upsample_conv_fits(enlargement_of(s));
}

// The low-resolution image's part first; with a skip connection it is the residual of the other,
// and a residual of the layer's own is added behind.
struct Enlarged {
  explicit Enlarged(const ConvInferenceShape& s) : split(enlargement_of(s)) {
    ConvProblem low = split.low(ConvPass::backward_data);
    if (!split.has_skip()) low.epilogue = ending_of(s);
    first.emplace(low, s.conv.tuning);
    workspace = first->workspace_bytes();
    if (!split.has_skip()) return;
    ConvProblem skip = split.skip(ConvPass::forward);
    skip.epilogue = ending_of(s);
    skip.epilogue.residual = true;
    if (s.residual) skip.epilogue.relu = false;
    own = {.bias = false, .residual = s.residual, .relu = ending_of(s).relu};
    second.emplace(skip, s.conv.tuning);
    workspace = std::max(workspace, second->workspace_bytes());
    sum_at = aligned_bytes(workspace);
    sum_bytes = static_cast<std::size_t>(s.conv.y.count()) * size_of(s.conv.dtype);
  }

  void run(const ConvInferenceInputs& t, Out y, void* scratch, Stream& stream) const {
    void* kept = t.kept;
    void* sum = second ? part_of(scratch, sum_at) : y.buffer->data;
    ConvOperands low{.first = address(t.low),
                     .second = kept,
                     .bias = address(t.shift),
                     .result = sum,
                     .workspace = scratch,
                     .residual = address(t.residual)};
    first->run(low, stream);
    if (!second) return;
    second->run({.first = address(t.skip),
                 .second = split.skip_filter(kept),
                 .bias = address(t.shift),
                 .result = y.buffer->data,
                 .workspace = scratch,
                 .residual = sum},
                stream);
    if (own.residual)
      end_conv({.residual = address(t.residual), .relu = own.relu},
               {y.buffer->data, split.shape.dtype}, y.shape(), stream);
  }

  Split split;
  std::optional<EndedPlan> first, second;
  ConvEpilogue own;
  std::size_t workspace = 0, sum_at = 0, sum_bytes = 0;
};

// Filters made ready in scratch by every run.
ConvInference keeping_nothing(ConvInference pass) {
  const std::size_t filters = aligned_bytes(pass.kept_bytes);
  pass.scratch_bytes += filters;
  pass.run = [filters, keep = pass.keep, run = pass.run](ConvInferenceInputs t, Out y,
                                                         void* scratch, Stream& stream) {
    keep(t.weight, t.scale, scratch, stream);
    t.kept = scratch;
    run(t, y, part_of(scratch, filters), stream);
  };
  pass.keep = {};
  pass.kept_bytes = 0;
  return pass;
}

ConvInference enlarged_inference(const ConvInferenceShape& s) {
  const Enlarged e(s);
  const ConvInference pass{fmt::format("transposed 4x4: {}{}", e.first->engine(),
                                       e.second ? ", 3x3: " + e.second->engine() : ""),
                           format_of("split", s),
                           e.split.workspace_offset,
                           e.second ? e.sum_at + e.sum_bytes : e.workspace,
                           [split = e.split](In weight, In scale, void* kept, Stream& stream) {
                             fold_split_filter(weight, scale, split.parts, split.shape.dtype, kept,
                                               split.skip_filter(kept), stream);
                           },
                           [e](const ConvInferenceInputs& t, Out y, void* scratch, Stream& stream) {
                             e.run(t, y, scratch, stream);
                           }};
  // 16 taps for 9: of 16 bits no more than the filters, of f32 almost twice as much.
  const bool larger =
      pass.kept_bytes > static_cast<std::size_t>(s.conv.weight.count()) * sizeof(float);
  return larger && s.memory == FilterMemory::low ? keeping_nothing(pass) : pass;
}

void prepare_inference(const ConvInferenceShape& s, ConvInference& pass, Stream&) {
  if (s.act != Act::none && s.act != Act::relu) return;
  ConvShape bare = s.conv;
  bare.bias = false;
  if (s.low.n != 0) {
    if (reads_through(s)) pass = enlarged_inference(s);
  } else {
    const bool head = s.conv.y.c <= 8, ended = s.residual || s.act == Act::relu;
    pass = is_tail(bare) && !(head && ended) ? tail_inference(s) : library_inference(s);
  }
}

}  // namespace

void fill_conv_inference() { prepare_conv_inference.cuda = prepare_inference; }

}  // namespace fjord::cuda
