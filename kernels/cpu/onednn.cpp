// Formats, descriptions and reorders of oneDNN: the one file that knows how versions 2 and 3
// differ.
#include "kernels/cpu/onednn.h"

#include <fmt/ranges.h>

#include <span>

#include "kernels/cpu/onednn_parts.h"

namespace fjord {

void limit_onednn([[maybe_unused]] Isa isa) {
#ifdef FJORD_X86_LOOPS
  if (isa == Isa::avx512) return;
  const auto limit = isa == Isa::avx2 ? dnnl_cpu_isa_avx2 : dnnl_cpu_isa_sse41;
  if (dnnl_set_max_cpu_isa(limit) != dnnl_success)
    throw Error(ExitCode::device, "isa", fmt::format("--isa {}", to_string(isa)),
                "oneDNN has already chosen its instructions", "use --isa auto");
#endif
}

namespace onednn {

const dnnl::engine& engine() {
  static const dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
  return cpu;
}

dnnl::stream& stream() {
  thread_local dnnl::stream own(engine());
  return own;
}

namespace {

constexpr auto f32 = memory::data_type::f32;
constexpr auto direct = dnnl::algorithm::convolution_direct;
constexpr auto training = dnnl::prop_kind::forward_training;

memory::desc bias_of(const Formats& f, bool bias) { return bias ? f.bias : memory::desc(); }

}  // namespace

Formats::Formats(const ConvShape& s, const Piece& p)
    : x({p.images, s.x.c, p.x_rows, s.x.w}, f32, memory::format_tag::nhwc),
      y({p.images, s.y.c, p.y_rows, s.y.w}, f32, memory::format_tag::nhwc),
      bias({s.y.c}, f32, memory::format_tag::x),
      strides{s.conv.stride, s.conv.stride},
      dilates{s.conv.dilation - 1, s.conv.dilation - 1},
      before{p.pad_top, s.conv.padding},
      after{p.pad_bottom, s.conv.padding} {
  const std::int64_t groups = s.conv.groups;
  memory::dims dims{s.y.c, s.weight.c, s.weight.h, s.weight.w};
  auto tag = memory::format_tag::ohwi;
  if (groups > 1) {
    dims = {groups, s.y.c / groups, s.weight.c, s.weight.h, s.weight.w};
    tag = memory::format_tag::gohwi;
  }
  weight = {dims, f32, tag};
  packed = {dims, f32, memory::format_tag::any};
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
}

dnnl::primitive_attr attributes_of(const ConvInferenceShape& s) {
  dnnl::post_ops end;
  if (s.residual) end.append_sum(1.0f);
#if DNNL_VERSION_MAJOR >= 3
  if (s.act == Act::relu) end.append_eltwise(dnnl::algorithm::eltwise_relu, 0, 0);
#else
  if (s.act == Act::relu) end.append_eltwise(1, dnnl::algorithm::eltwise_relu, 0, 0);
#endif
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  attributes.set_post_ops(end);
  return attributes;
}

std::string name_of(const memory::desc& format) {
#if DNNL_VERSION_MAJOR >= 3
  const auto strides = format.get_strides(), sizes = format.get_inner_blks(),
             axes = format.get_inner_idxs();
#else
  const dnnl_blocking_desc_t& blocks = format.data.format_desc.blocking;
  const std::span strides(blocks.strides, static_cast<std::size_t>(format.data.ndims));
  const std::span sizes(blocks.inner_blks, static_cast<std::size_t>(blocks.inner_nblks));
  const std::span axes(blocks.inner_idxs, static_cast<std::size_t>(blocks.inner_nblks));
#endif
  return fmt::format("{} {} {}", fmt::join(strides, ","), fmt::join(sizes, ","),
                     fmt::join(axes, ","));
}

#if DNNL_VERSION_MAJOR >= 3
dnnl::convolution_forward::primitive_desc describe_forward(const Formats& f, bool bias) {
  return {engine(), training,  direct,    f.x,      f.packed, bias_of(f, bias),
          f.y,      f.strides, f.dilates, f.before, f.after,  f.attributes};
}

dnnl::convolution_backward_data::primitive_desc describe_backward_data(const Formats& f) {
  return {engine(),    direct,    f.x,      f.packed, f.y,
          f.strides,   f.dilates, f.before, f.after,  describe_forward(f, false),
          f.attributes};
}

dnnl::convolution_backward_weights::primitive_desc describe_backward_filter(const Formats& f) {
  return {engine(),    direct,    f.x,      f.packed, f.y,
          f.strides,   f.dilates, f.before, f.after,  describe_forward(f, false),
          f.attributes};
}
#else
dnnl::convolution_forward::primitive_desc describe_forward(const Formats& f, bool bias) {
  return {{training, direct, f.x, f.packed, bias_of(f, bias), f.y, f.strides, f.dilates, f.before,
           f.after},
          f.attributes,
          engine()};
}

dnnl::convolution_backward_data::primitive_desc describe_backward_data(const Formats& f) {
  return {{direct, f.x, f.packed, f.y, f.strides, f.dilates, f.before, f.after},
          f.attributes,
          engine(),
          describe_forward(f, false)};
}

dnnl::convolution_backward_weights::primitive_desc describe_backward_filter(const Formats& f) {
  return {{direct, f.x, f.packed, f.y, f.strides, f.dilates, f.before, f.after},
          f.attributes,
          engine(),
          describe_forward(f, false)};
}
#endif

memory unbound(const memory::desc& format) { return {format, engine(), DNNL_MEMORY_NONE}; }

Reorder::Reorder(const memory::desc& from, const memory::desc& to, Write write, int workers)
    : source_(unbound(from)), target_(unbound(to)) {
  const SeenThreads all(workers);
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (write == Write::add) {
    dnnl::post_ops sum;
    sum.append_sum(1.0f);
    attributes.set_post_ops(sum);
  }
  const dnnl::reorder::primitive_desc description(engine(), from, engine(), to, attributes);
  primitive_ = dnnl::reorder(description);
  workspace_ = unbound(description.scratchpad_desc());
}

void Reorder::run(const void* from, void* to, void* scratch) {
  set_data(source_, from);
  set_data(target_, to);
  set_data(workspace_, scratch);
  primitive_.execute(
      stream(),
      {{DNNL_ARG_FROM, source_}, {DNNL_ARG_TO, target_}, {DNNL_ARG_SCRATCHPAD, workspace_}});
}

void fail(const ConvShape& s, const dnnl::error& error) {
  throw Error(ExitCode::bug, "convolution",
              fmt::format("convolution {} by {} stride {}", to_string(s.x), to_string(s.weight),
                          s.conv.stride),
              fmt::format("oneDNN {}", error.what()), "report it with the command line");
}

}  // namespace onednn
}  // namespace fjord
