// "Nearest x2, concatenate, 3x3" as a transposed 4x4 convolution of stride 2 of the low-resolution
// image plus a 3x3 convolution of the skip connection.
#include "kernels/conv.h"

#include <algorithm>
#include <optional>

#include "kernels/cuda/backend.h"
#include "kernels/cuda/conv_split.h"

namespace fjord::cuda {

namespace {

std::string name_of(const std::string& low, const std::string* skip) {
  return fmt::format("transposed 4x4: {}{}", low, skip ? ", 3x3: " + *skip : "");
}

void prepare_forward(const UpsampleConvShape& shape, UpsampleConvForward& pass, Stream&) {
  const Split split(shape);
  const Write write = split.has_skip() ? Write::add : Write::store;
  const WritingPlan low(split.low(ConvPass::backward_data), shape.tuning, write);
  std::shared_ptr<const ConvPlan> skip;
  if (split.has_skip()) skip = require_plan(split.skip(ConvPass::forward), shape.tuning);
  const std::size_t workspace =
      std::max(low.scratch_bytes(), skip ? skip->workspace_bytes : std::size_t{0});
  pass = {name_of(low.engine(), skip ? &skip->engine : nullptr), split.workspace_offset + workspace,
          [=](In x, In x_skip, In weight, Out y, void* scratch, Stream& stream) {
            void* space = split.workspace(scratch);
            split_filter({address(weight), shape.dtype}, split.parts, scratch,
                         split.skip_filter(scratch), stream);
            if (skip)
              skip->run(
                  {address(x_skip), split.skip_filter(scratch), nullptr, y.buffer->data, space},
                  stream);
            low.run({address(x), scratch, nullptr, y.buffer->data, space}, write, stream);
          }};
}

void prepare_backward_data(const UpsampleConvShape& shape, UpsampleConvBackwardData& pass,
                           Stream&) {
  const Split split(shape);
  const WritingPlan low(split.low(ConvPass::forward), shape.tuning, shape.write);
  std::optional<WritingPlan> skip;
  if (split.has_skip())
    skip.emplace(split.skip(ConvPass::backward_data), shape.tuning, shape.write);
  const std::size_t workspace =
      std::max(low.scratch_bytes(), skip ? skip->scratch_bytes() : std::size_t{0});
  pass = {
      name_of(low.engine(), skip ? &skip->engine() : nullptr), split.workspace_offset + workspace,
      [=](In dy, In weight, Out dlow, Out dskip, void* scratch, Stream& stream) {
        void* space = split.workspace(scratch);
        split_filter({address(weight), shape.dtype}, split.parts, dlow ? scratch : nullptr,
                     dskip ? split.skip_filter(scratch) : nullptr, stream);
        if (dlow)
          low.run({address(dy), scratch, nullptr, dlow.buffer->data, space}, dlow.write, stream);
        if (dskip)
          skip->run({address(dy), split.skip_filter(scratch), nullptr, dskip.buffer->data, space},
                    dskip.write, stream);
      }};
}

void prepare_backward_filter(const UpsampleConvShape& shape, UpsampleConvBackwardFilter& pass,
                             Stream&) {
  const Split split(shape);
  const auto low = require_plan(split.low(ConvPass::backward_filter), shape.tuning);
  std::shared_ptr<const ConvPlan> skip;
  if (split.has_skip()) skip = require_plan(split.skip(ConvPass::backward_filter), shape.tuning);
  const std::size_t workspace =
      std::max(low->workspace_bytes, skip ? skip->workspace_bytes : std::size_t{0});
  pass = {name_of(low->engine, skip ? &skip->engine : nullptr), split.workspace_offset + workspace,
          [=](In x, In x_skip, In dy, Out dweight, void* scratch, Stream& stream) {
            void* space = split.workspace(scratch);
            low->run({address(dy), address(x), nullptr, scratch, space}, stream);
            if (skip)
              skip->run({address(x_skip), address(dy), nullptr, split.skip_filter(scratch), space},
                        stream);
            join_filter({scratch, shape.dtype}, {split.skip_filter(scratch), shape.dtype},
                        split.parts, dweight, stream);
          }};
}

}  // namespace

void fill_conv_upsample() {
  prepare_upsample_conv_forward.cuda = prepare_forward;
  prepare_upsample_conv_backward_data.cuda = prepare_backward_data;
  prepare_upsample_conv_backward_filter.cuda = prepare_backward_filter;
}

}  // namespace fjord::cuda
