// The one file that knows oneDNN, and hides what differs between its versions 2 and 3.
#include "kernels/cpu/onednn.h"

#include <omp.h>

#include <cstring>
#include <memory>
#include <oneapi/dnnl/dnnl.hpp>
#include <unordered_map>
#include <vector>

#include "kernels/cpu/loops.h"
#include "kernels/cpu/parallel.h"
#include "kernels/threads.h"

namespace fjord {

namespace {

using dnnl::memory;
using Arguments = std::unordered_map<int, memory>;

const dnnl::engine& cpu_engine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

dnnl::stream& cpu_stream() {
  thread_local dnnl::stream stream(cpu_engine());
  return stream;
}

/// A convolution as oneDNN sees it: the whole batch, or a strip of one image's rows.
struct Problem {
  std::int64_t images, h, w, out_h, out_w;
  std::int64_t pad_top, pad_bottom;
  bool operator==(const Problem&) const = default;
};

Problem whole(const ConvShape& s) {
  return {s.x.n, s.x.h, s.x.w, s.y.h, s.y.w, s.conv.padding, s.conv.padding};
}

/// Memory formats and sizes of one problem.
struct Formats {
  Formats(const ConvShape& s, const Problem& p)
      : x({p.images, s.x.c, p.h, p.w}, memory::data_type::f32, memory::format_tag::nhwc),
        y({p.images, s.y.c, p.out_h, p.out_w}, memory::data_type::f32, memory::format_tag::nhwc),
        bias({s.y.c}, memory::data_type::f32, memory::format_tag::x),
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
    weight = {dims, memory::data_type::f32, tag};
    any_weight = {dims, memory::data_type::f32, memory::format_tag::any};
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  }

  memory::desc x, y, bias, weight, any_weight;
  memory::dims strides, dilates, before, after;
  dnnl::primitive_attr attributes;
};

constexpr auto direct = dnnl::algorithm::convolution_direct;

#if DNNL_VERSION_MAJOR >= 3
auto describe_forward(const Formats& f, bool bias) {
  return dnnl::convolution_forward::primitive_desc(
      cpu_engine(), dnnl::prop_kind::forward_training, direct, f.x, f.any_weight,
      bias ? f.bias : memory::desc(), f.y, f.strides, f.dilates, f.before, f.after, f.attributes);
}
auto describe_backward_data(const Formats& f) {
  return dnnl::convolution_backward_data::primitive_desc(
      cpu_engine(), direct, f.x, f.any_weight, f.y, f.strides, f.dilates, f.before, f.after,
      describe_forward(f, false), f.attributes);
}
auto describe_backward_filter(const Formats& f) {
  return dnnl::convolution_backward_weights::primitive_desc(
      cpu_engine(), direct, f.x, f.any_weight, f.y, f.strides, f.dilates, f.before, f.after,
      describe_forward(f, false), f.attributes);
}
#else
auto describe_forward(const Formats& f, bool bias) {
  return dnnl::convolution_forward::primitive_desc(
      {dnnl::prop_kind::forward_training, direct, f.x, f.any_weight, bias ? f.bias : memory::desc(),
       f.y, f.strides, f.dilates, f.before, f.after},
      f.attributes, cpu_engine());
}
auto describe_backward_data(const Formats& f) {
  return dnnl::convolution_backward_data::primitive_desc(
      {direct, f.x, f.any_weight, f.y, f.strides, f.dilates, f.before, f.after}, f.attributes,
      cpu_engine(), describe_forward(f, false));
}
auto describe_backward_filter(const Formats& f) {
  return dnnl::convolution_backward_weights::primitive_desc(
      {direct, f.x, f.any_weight, f.y, f.strides, f.dilates, f.before, f.after}, f.attributes,
      cpu_engine(), describe_forward(f, false));
}
#endif

memory unbound(const memory::desc& format) { return {format, cpu_engine(), DNNL_MEMORY_NONE}; }

template <class T>
void bind(memory& m, const T* data) {
  m.set_data_handle(const_cast<T*>(data));
}

/// Offsets of the parts of a scratch block.
struct Scratch {
  std::size_t bytes = 0;
  std::size_t take(std::size_t size) {
    const std::size_t offset = bytes;
    bytes += (size + 63) / 64 * 64;
    return offset;
  }
};

std::byte* at(void* scratch, std::size_t offset) {
  return static_cast<std::byte*>(scratch) + offset;
}

/// Copies between our filter format and oneDNN's; nothing to do when they are the same.
struct Reorder {
  Reorder(const memory::desc& from, const memory::desc& to, Write write)
      : source(unbound(from)), target(unbound(to)) {
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    if (write == Write::add) {
      dnnl::post_ops sum;
      sum.append_sum(1.0f);
      attributes.set_post_ops(sum);
    }
    const dnnl::reorder::primitive_desc description(cpu_engine(), from, cpu_engine(), to,
                                                    attributes);
    primitive = dnnl::reorder(description);
    workspace = unbound(description.scratchpad_desc());
  }

  std::size_t scratch_bytes() const { return workspace.get_desc().get_size(); }

  void run(const void* from, void* to, void* scratch) {
    bind(source, from);
    target.set_data_handle(to);
    workspace.set_data_handle(scratch);
    primitive.execute(
        cpu_stream(),
        {{DNNL_ARG_FROM, source}, {DNNL_ARG_TO, target}, {DNNL_ARG_SCRATCHPAD, workspace}});
  }

  memory source, target, workspace;
  dnnl::primitive primitive;
};

/// oneDNN's exceptions become ours, with the layer's shape.
template <class Build>
auto prepared(const ConvShape& s, const Build& build) {
  try {
    return build();
  } catch (const dnnl::error& error) {
    throw Error(ExitCode::bug, "convolution",
                fmt::format("convolution {} by {} stride {}", to_string(s.x), to_string(s.weight),
                            s.conv.stride),
                fmt::format("oneDNN {}", error.what()), "report it with the command line");
  }
}

/// Forward and backward-data: weights packed into scratch, then the primitive.
struct PackedCall {
  memory x, weight, bias, y, workspace;
  std::unique_ptr<Reorder> pack;
  dnnl::primitive primitive;
  std::size_t weight_at = 0, pack_at = 0, workspace_at = 0, sum_at = 0, bytes = 0;

  template <class Description>
  void plan(const Formats& f, const Description& description) {
    x = unbound(f.x);
    y = unbound(f.y);
    weight = unbound(description.weights_desc());
    workspace = unbound(description.scratchpad_desc());
    Scratch scratch;
    workspace_at = scratch.take(description.scratchpad_desc().get_size());
    if (description.weights_desc() != f.weight) {
      pack = std::make_unique<Reorder>(f.weight, description.weights_desc(), Write::store);
      weight_at = scratch.take(description.weights_desc().get_size());
      pack_at = scratch.take(pack->scratch_bytes());
    }
    bytes = scratch.bytes;
  }

  void bind_weight(const float* values, void* scratch) {
    workspace.set_data_handle(at(scratch, workspace_at));
    if (!pack) return bind(weight, values);
    weight.set_data_handle(at(scratch, weight_at));
    pack->run(values, at(scratch, weight_at), at(scratch, pack_at));
  }
};

}  // namespace

void limit_onednn([[maybe_unused]] Isa isa) {
#ifdef FJORD_X86_LOOPS
  if (isa == Isa::avx512) return;
  const auto limit = isa == Isa::avx2 ? dnnl_cpu_isa_avx2 : dnnl_cpu_isa_sse41;
  if (dnnl_set_max_cpu_isa(limit) != dnnl_success)
    throw Error(ExitCode::device, "isa", fmt::format("--isa {}", to_string(isa)),
                "oneDNN has already chosen its instructions", "use --isa auto");
#endif
}

ConvForward onednn_forward(const ConvShape& shape) {
  return prepared(shape, [&] {
    const Formats f(shape, whole(shape));
    const auto description = describe_forward(f, shape.bias);
    auto call = std::make_shared<PackedCall>();
    call->plan(f, description);
    call->bias = unbound(f.bias);
    call->primitive = dnnl::convolution_forward(description);
    return ConvForward{description.impl_info_str(), call->bytes,
                       [call](In x, In weight, In bias, Out y, void* scratch, Stream&) {
                         call->bind_weight(weight.as<float>(), scratch);
                         bind(call->x, x.as<float>());
                         bind(call->y, y.as<float>());
                         Arguments arguments{{DNNL_ARG_SRC, call->x},
                                             {DNNL_ARG_WEIGHTS, call->weight},
                                             {DNNL_ARG_DST, call->y},
                                             {DNNL_ARG_SCRATCHPAD, call->workspace}};
                         if (bias) {
                           bind(call->bias, bias.as<float>());
                           arguments.emplace(DNNL_ARG_BIAS, call->bias);
                         }
                         call->primitive.execute(cpu_stream(), arguments);
                       }};
  });
}

ConvBackwardData onednn_backward_data(const ConvShape& shape) {
  return prepared(shape, [&] {
    const Formats f(shape, whole(shape));
    const auto description = describe_backward_data(f);
    auto call = std::make_shared<PackedCall>();
    call->plan(f, description);
    call->primitive = dnnl::convolution_backward_data(description);
    // oneDNN stores; a gradient to be added passes through scratch.
    call->sum_at = call->bytes;
    if (shape.write == Write::add) call->bytes += f.x.get_size();
    return ConvBackwardData{
        description.impl_info_str(), call->bytes,
        [call](In dy, In weight, Out dx, void* scratch, Stream&) {
          const bool add = dx.write == Write::add;
          float* sum = reinterpret_cast<float*>(at(scratch, call->sum_at));
          call->bind_weight(weight.as<float>(), scratch);
          bind(call->y, dy.as<float>());
          bind(call->x, add ? sum : dx.as<float>());
          call->primitive.execute(cpu_stream(), {{DNNL_ARG_DIFF_DST, call->y},
                                                 {DNNL_ARG_WEIGHTS, call->weight},
                                                 {DNNL_ARG_DIFF_SRC, call->x},
                                                 {DNNL_ARG_SCRATCHPAD, call->workspace}});
          if (!add) return;
          const Chunks chunks = value_chunks(dx.shape().count());
          parallel_for(chunks.pieces(), [&](std::int64_t i) {
            const std::int64_t begin = chunks.begin(i);
            loops().copy(sum + begin, dx.as<float>() + begin, chunks.length(i), true);
          });
        }};
  });
}

namespace {

/// Packed dweight -> ours, stored or added.
struct Unpack {
  Unpack(const memory::desc& packed, const memory::desc& ours)
      : store(packed, ours, Write::store), add(packed, ours, Write::add) {}

  std::size_t scratch_bytes() const { return std::max(store.scratch_bytes(), add.scratch_bytes()); }
  void run(const void* packed, Out dweight, void* scratch) {
    (dweight.write == Write::add ? add : store).run(packed, dweight.as<float>(), scratch);
  }

  Reorder store, add;
};

/// One backward-filter primitive with memory of its own.
struct FilterCall {
  explicit FilterCall(const Formats& f) : FilterCall(f, describe_backward_filter(f)) {}

  void run(const float* x_data, const float* y_data, void* packed, void* scratch) {
    bind(x, x_data);
    bind(y, y_data);
    weight.set_data_handle(packed);
    workspace.set_data_handle(scratch);
    primitive.execute(cpu_stream(), {{DNNL_ARG_SRC, x},
                                     {DNNL_ARG_DIFF_DST, y},
                                     {DNNL_ARG_DIFF_WEIGHTS, weight},
                                     {DNNL_ARG_SCRATCHPAD, workspace}});
  }

  memory x, y, weight, workspace;
  dnnl::primitive primitive;
  std::string implementation;

 private:
  template <class Description>
  FilterCall(const Formats& f, const Description& description)
      : x(unbound(f.x)),
        y(unbound(f.y)),
        weight(unbound(description.diff_weights_desc())),
        workspace(unbound(description.scratchpad_desc())),
        primitive(dnnl::convolution_backward_weights(description)),
        implementation(description.impl_info_str()) {}
};

}  // namespace

ConvBackwardFilter onednn_backward_filter(const ConvShape& shape) {
  return prepared(shape, [&] {
    const Formats f(shape, whole(shape));
    auto call = std::make_shared<FilterCall>(f);
    auto unpack = std::make_shared<Unpack>(call->weight.get_desc(), f.weight);
    Scratch scratch;
    scratch.take(call->weight.get_desc().get_size());
    const std::size_t work_at =
        scratch.take(std::max(call->workspace.get_desc().get_size(), unpack->scratch_bytes()));
    return ConvBackwardFilter{
        call->implementation, scratch.bytes,
        [call, unpack, work_at](In x, In dy, Out dweight, Out, void* scratch, Stream&) {
          call->run(x.as<float>(), dy.as<float>(), scratch, at(scratch, work_at));
          unpack->run(scratch, dweight, at(scratch, work_at));
        }};
  });
}

namespace {

/// Partial sums of a filter's gradient: enough for many threads, few enough to be added quickly.
constexpr std::int64_t most_partials = 16;
constexpr std::int64_t least_rows = 8;

/// The batch cut into strips of output rows.
struct Pieces {
  explicit Pieces(const ConvShape& s) : shape(s) {
    const std::int64_t wanted = (most_partials + s.y.n - 1) / s.y.n;
    const std::int64_t strips =
        std::clamp<std::int64_t>(s.y.h / least_rows, 1, std::max<std::int64_t>(1, wanted));
    rows = (s.y.h + strips - 1) / strips;
    strips_per_image = (s.y.h + rows - 1) / rows;
    count = s.y.n * strips_per_image;
    partials = std::min(count, most_partials);
  }

  std::int64_t first_row(std::int64_t piece) const { return piece % strips_per_image * rows; }
  /// The first input row under a strip; padding above the image counts as rows below zero.
  std::int64_t first_input_row(std::int64_t piece) const {
    return first_row(piece) * shape.conv.stride - shape.conv.padding;
  }

  Problem problem(std::int64_t piece) const {
    const std::int64_t out_rows = std::min(rows, shape.y.h - first_row(piece));
    const std::int64_t top = first_input_row(piece);
    const std::int64_t bottom = top + (out_rows - 1) * shape.conv.stride +
                                shape.conv.dilation * (shape.conv.kernel - 1) + 1;
    // A strip that lies in the padding alone keeps one row of the image: oneDNN wants an image.
    const std::int64_t from = std::clamp<std::int64_t>(top, 0, shape.x.h - 1);
    const std::int64_t to = std::clamp<std::int64_t>(bottom, from + 1, shape.x.h);
    return {1,
            to - from,
            shape.x.w,
            out_rows,
            shape.y.w,
            from - top,
            std::max<std::int64_t>(0, bottom - to)};
  }
  const float* x(const float* data, std::int64_t piece) const {
    const std::int64_t row = std::clamp<std::int64_t>(first_input_row(piece), 0, shape.x.h - 1);
    return data + (piece / strips_per_image * shape.x.h + row) * shape.x.w * shape.x.c;
  }
  const float* dy(const float* data, std::int64_t piece) const {
    const std::int64_t row = piece / strips_per_image * shape.y.h + first_row(piece);
    return data + row * shape.y.w * shape.y.c;
  }

  ConvShape shape;
  std::int64_t rows, strips_per_image, count, partials;
};

/// oneDNN decides by the number of threads it sees while a primitive is made.
struct OneThread {
  OneThread() : before(omp_get_max_threads()) { omp_set_num_threads(1); }
  ~OneThread() { omp_set_num_threads(before); }
  OneThread(const OneThread&) = delete;
  const int before;
};

/// A filter's gradient as the sum of `partials`, each the sum of consecutive pieces.
struct PiecewiseFilter {
  explicit PiecewiseFilter(const ConvShape& shape) : pieces(shape) {
    const OneThread one;
    std::vector<Problem> problems;
    for (std::int64_t i = 0; i < pieces.strips_per_image; ++i) {
      const Problem problem = pieces.problem(i);
      std::size_t kind = 0;
      while (kind < problems.size() && problems[kind] != problem) ++kind;
      kind_of_strip.push_back(kind);
      if (kind < problems.size()) continue;
      problems.push_back(problem);
      add_kind(Formats(shape, problem));
    }
    plan(Formats(shape, whole(shape)));
  }

  void run(const float* x, const float* dy, Out dweight, void* memory_block) {
    parallel_for(pieces.partials, [&](std::int64_t p) { sum_pieces(x, dy, p, memory_block); });
    const Chunks chunks{values, 4096};
    float* total = partial(memory_block, 0);
    parallel_for(chunks.pieces(), [&](std::int64_t i) {
      for (std::int64_t p = 1; p < pieces.partials; ++p)
        loops().copy(partial(memory_block, p) + chunks.begin(i), total + chunks.begin(i),
                     chunks.length(i), true);
    });
    unpack->run(total, dweight, at(memory_block, work_at));
  }

  std::size_t scratch_bytes = 0;
  std::string implementation() const { return calls[0][0].implementation; }

 private:
  void add_kind(const Formats& f) {
    // Memory objects hold pointers, so each partial has its own.
    std::vector<FilterCall> own;
    for (std::int64_t p = 0; p < pieces.partials; ++p) own.emplace_back(f);
    work_bytes = std::max(work_bytes, own[0].workspace.get_desc().get_size());
    if (!calls.empty() && own[0].weight.get_desc() != calls[0][0].weight.get_desc())
      throw dnnl::error(dnnl_unimplemented, "chose two filter formats for one layer");
    calls.push_back(std::move(own));
  }

  void plan(const Formats& f) {
    const memory::desc packed = calls[0][0].weight.get_desc();
    unpack = std::make_unique<Unpack>(packed, f.weight);
    values = static_cast<std::int64_t>(packed.get_size() / sizeof(float));
    Scratch scratch;
    several = pieces.count > pieces.partials;
    partial_bytes = (packed.get_size() + 63) / 64 * 64;
    scratch.take(static_cast<std::size_t>(pieces.partials) * partial_bytes);
    next_at = several ? scratch.take(static_cast<std::size_t>(pieces.partials) * partial_bytes) : 0;
    work_bytes = (work_bytes + 63) / 64 * 64;
    work_at = scratch.take(
        std::max(static_cast<std::size_t>(pieces.partials) * work_bytes, unpack->scratch_bytes()));
    scratch_bytes = scratch.bytes;
  }

  float* partial(void* block, std::int64_t p) const {
    return reinterpret_cast<float*>(at(block, static_cast<std::size_t>(p) * partial_bytes));
  }

  void sum_pieces(const float* x, const float* dy, std::int64_t p, void* block) {
    const std::int64_t begin = p * pieces.count / pieces.partials;
    const std::int64_t end = (p + 1) * pieces.count / pieces.partials;
    std::byte* work = at(block, work_at + static_cast<std::size_t>(p) * work_bytes);
    float* sum = partial(block, p);
    float* next = several ? partial(at(block, next_at), p) : nullptr;
    for (std::int64_t piece = begin; piece < end; ++piece) {
      const auto strip = static_cast<std::size_t>(piece % pieces.strips_per_image);
      FilterCall& call = calls[kind_of_strip[strip]][static_cast<std::size_t>(p)];
      call.run(pieces.x(x, piece), pieces.dy(dy, piece), piece == begin ? sum : next, work);
      if (piece > begin) loops().copy(next, sum, values, true);
    }
  }

  Pieces pieces;
  std::vector<std::size_t> kind_of_strip;
  std::vector<std::vector<FilterCall>> calls;  // by kind of strip, then by partial
  std::unique_ptr<Unpack> unpack;
  std::size_t partial_bytes = 0, next_at = 0, work_at = 0, work_bytes = 0;
  std::int64_t values = 0;
  bool several = false;
};

}  // namespace

ConvBackwardFilter onednn_backward_filter_in_pieces(const ConvShape& shape) {
  return prepared(shape, [&] {
    auto filter = std::make_shared<PiecewiseFilter>(shape);
    return ConvBackwardFilter{filter->implementation() + " in pieces", filter->scratch_bytes,
                              [filter](In x, In dy, Out dweight, Out, void* scratch, Stream&) {
                                filter->run(x.as<float>(), dy.as<float>(), dweight, scratch);
                              }};
  });
}

}  // namespace fjord
