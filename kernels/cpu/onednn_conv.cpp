// Forward and backward-data by oneDNN: the filter is packed once, then pieces run in parallel.
#include <algorithm>
#include <memory>
#include <vector>

#include "kernels/cpu/loops.h"
#include "kernels/cpu/onednn.h"
#include "kernels/cpu/onednn_parts.h"
#include "kernels/cpu/parallel.h"
#include "kernels/threads.h"

namespace fjord {

namespace {

using namespace onednn;

/// Enough pieces for many threads, each of at least a quarter of a millisecond, and of enough
/// pixels that reading the filter again for each costs little.
Cut cut_of(const ConvShape& s, Shape cut_along) {
  const double operations =
      2.0 * static_cast<double>(s.y.count()) * static_cast<double>(s.weight.count() / s.weight.n);
  const auto wanted = static_cast<std::int64_t>(operations / 64e6);
  return {.pieces = std::clamp<std::int64_t>(wanted, 8, 64),
          .least_rows = std::max<std::int64_t>(4, 96 / cut_along.w)};
}

/// A layer's pieces, their primitives, and the packed filter.
struct Layer {
  ConvShape shape;
  std::vector<Piece> pieces;
  PieceKinds kinds;
  std::unique_ptr<FilterPack> pack;  // none when oneDNN takes our format
  std::string implementation, format;
  int workers = 1;
  std::size_t packed_bytes = 0, pack_at = 0, work_at = 0, bytes = 0;

  /// `describe` gives a piece's primitive description.
  template <class Primitive, class Describe>
  void build(const Describe& describe) {
    // The piece in the middle is the most common kind: it chooses the filter's format for all.
    Formats f(shape, pieces[pieces.size() / 2]);
    const auto chosen = describe(f);
    implementation = chosen.impl_info_str();
    kinds.build<Primitive>(shape, pieces, chosen.weights_desc(), workers, describe);
    plan(f.weight, chosen.weights_desc());
  }

  void plan(const memory::desc& ours, const memory::desc& packed) {
    Scratch scratch;
    format = name_of(packed);
    packed_bytes = packed.get_size();
    if (packed != ours) {
      pack = std::make_unique<FilterPack>(shape, ours, packed, workers);
      scratch.take(packed.get_size());
      pack_at = scratch.take(pack->scratch_bytes());
    }
    work_at = scratch.take(static_cast<std::size_t>(workers) * kinds.work_bytes);
    bytes = scratch.bytes;
  }

  const void* packed_filter(const float* weight, void* scratch) {
    if (!pack) return weight;
    pack->run(weight, scratch, at(scratch, pack_at));
    return scratch;
  }

  /// body(piece, primitive, bindings) for every piece, with weight and workspace bound.
  template <class Body>
  void run(const float* weight, void* scratch, const Body& body) {
    run_packed(packed_filter(weight, scratch), at(scratch, work_at), body);
  }

  template <class Body>
  void run_packed(const void* packed, std::byte* work, const Body& body) {
    parallel_pieces(static_cast<std::int64_t>(pieces.size()), workers, [&](std::size_t i, int w) {
      const OneThread one;
      PieceKind::Bindings& bindings = kinds.bindings(i, w, work);
      set_data(bindings.weight, packed);
      body(pieces[i], kinds.primitive(i), bindings);
    });
  }
};

// weight * scale in oneDNN's format; written in place where that is ours.
void keep_filter(Layer& layer, In weight, In scale, void* kept) {
  const std::int64_t values = weight.shape().count(), filter = values / weight.shape().n;
  std::unique_ptr<float[]> apart;
  if (layer.pack) apart = std::make_unique_for_overwrite<float[]>(static_cast<std::size_t>(values));
  float* folded = apart ? apart.get() : static_cast<float*>(kept);
  parallel_for(weight.shape().n, [&](std::int64_t k) {
    const float factor = scale ? scale.as<float>()[k] : 1.0f;
    for (std::int64_t i = k * filter; i < (k + 1) * filter; ++i)
      folded[i] = weight.as<float>()[i] * factor;
  });
  if (!apart) return;
  std::vector<std::byte> work(layer.pack->scratch_bytes());
  layer.pack->run(folded, kept, work.data());
}

// oneDNN applies a ReLU itself; other activations follow piece by piece, by the loops that apply
// them everywhere.
void run_inference(Layer& layer, Act act, const ConvInferenceInputs& t, Out y, void* scratch) {
  layer.run_packed(t.kept, at(scratch, 0), [&](const Piece& p, auto& primitive, auto& m) {
    float* target = y.as<float>() + p.y_offset(y.shape());
    const std::int64_t values = p.images * p.y_rows * y.shape().w * y.shape().c;
    // Added to by the primitive: it comes by way of y.
    if (t.residual) std::copy_n(t.residual.as<float>() + p.y_offset(y.shape()), values, target);
    set_data(m.x, t.x.as<float>() + p.x_offset(t.x.shape()));
    set_data(m.y, target);
    std::unordered_map<int, memory> arguments{{DNNL_ARG_SRC, m.x},
                                              {DNNL_ARG_WEIGHTS, m.weight},
                                              {DNNL_ARG_DST, m.y},
                                              {DNNL_ARG_SCRATCHPAD, m.workspace}};
    if (t.shift) {
      set_data(m.bias, t.shift.template as<float>());
      arguments.emplace(DNNL_ARG_BIAS, m.bias);
    }
    primitive.execute(stream(), arguments);
    if (act != Act::none && act != Act::relu) loops().activate(target, target, values, act, false);
  });
}

}  // namespace

ConvInference onednn_inference(const ConvInferenceShape& s) {
  auto layer = std::make_shared<Layer>();
  layer->workers = threads();
  layer->shape = s.conv;
  layer->pieces = cut_outputs(s.conv, cut_of(s.conv, s.conv.y));
  prepared(s.conv, [&] {
    layer->build<dnnl::convolution_forward>([&](Formats f) {
      f.attributes = attributes_of(s);
      return describe_forward(f, s.shift);
    });
  });
  const std::size_t work = static_cast<std::size_t>(layer->workers) * layer->kinds.work_bytes;
  return {layer->implementation,
          layer->format,
          layer->packed_bytes,
          work,
          [layer](In weight, In scale, void* kept, Stream&) {
            keep_filter(*layer, weight, scale, kept);
          },
          [layer, act = s.act](const ConvInferenceInputs& t, Out y, void* scratch, Stream&) {
            run_inference(*layer, act, t, y, scratch);
          }};
}

ConvForward onednn_forward(const ConvShape& shape) {
  auto layer = std::make_shared<Layer>();
  layer->workers = threads();
  layer->shape = shape;
  layer->pieces = cut_outputs(shape, cut_of(shape, shape.y));
  prepared(shape, [&] {
    layer->build<dnnl::convolution_forward>(
        [&](const Formats& f) { return describe_forward(f, shape.bias); });
  });
  return {layer->implementation, layer->bytes,
          [layer](In x, In weight, In bias, Out y, void* scratch, Stream&) {
            layer->run(weight.as<float>(), scratch, [&](const Piece& p, auto& primitive, auto& m) {
              set_data(m.x, x.as<float>() + p.x_offset(x.shape()));
              set_data(m.y, y.as<float>() + p.y_offset(y.shape()));
              if (bias) set_data(m.bias, bias.as<float>());
              std::unordered_map<int, memory> arguments{{DNNL_ARG_SRC, m.x},
                                                        {DNNL_ARG_WEIGHTS, m.weight},
                                                        {DNNL_ARG_DST, m.y},
                                                        {DNNL_ARG_SCRATCHPAD, m.workspace}};
              if (bias) arguments.emplace(DNNL_ARG_BIAS, m.bias);
              primitive.execute(stream(), arguments);
            });
          }};
}

ConvBackwardData onednn_backward_data(const ConvShape& shape) {
  auto layer = std::make_shared<Layer>();
  layer->workers = threads();
  layer->shape = shape;
  layer->pieces = cut_inputs(shape, cut_of(shape, shape.x));
  prepared(shape, [&] { layer->build<dnnl::convolution_backward_data>(describe_backward_data); });
  // oneDNN stores; a gradient to be added passes through scratch, piece by piece.
  const std::size_t sum_at = layer->bytes;
  std::int64_t piece_values = 0;
  for (const Piece& p : layer->pieces)
    piece_values = std::max(piece_values, p.images * p.x_rows * shape.x.w * shape.x.c);
  const std::size_t sum_bytes = aligned(static_cast<std::size_t>(piece_values) * sizeof(float));
  const std::size_t all = shape.write == Write::add
                              ? sum_at + sum_bytes * static_cast<std::size_t>(layer->workers)
                              : sum_at;
  return {layer->implementation, all,
          [layer, sum_at, sum_bytes](In dy, In weight, Out dx, void* scratch, Stream&) {
            const bool add = dx.write == Write::add;
            invariant(!add || layer->shape.write == Write::add, "conv_backward_data",
                      "dx is to be added, but was planned to be stored");
            layer->run(weight.as<float>(), scratch, [&](const Piece& p, auto& primitive, auto& m) {
              float* target = dx.as<float>() + p.x_offset(dx.shape());
              const auto worker = static_cast<std::size_t>(omp_get_thread_num());
              float* sum = reinterpret_cast<float*>(at(scratch, sum_at + worker * sum_bytes));
              set_data(m.y, dy.as<float>() + p.y_offset(dy.shape()));
              set_data(m.x, add ? sum : target);
              primitive.execute(stream(), {{DNNL_ARG_DIFF_DST, m.y},
                                           {DNNL_ARG_WEIGHTS, m.weight},
                                           {DNNL_ARG_DIFF_SRC, m.x},
                                           {DNNL_ARG_SCRATCHPAD, m.workspace}});
              const std::int64_t values = p.images * p.x_rows * dx.shape().w * dx.shape().c;
              if (add) loops().copy(sum, target, values, true);
            });
          }};
}

}  // namespace fjord
