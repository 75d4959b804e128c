// What the oneDNN files share: formats, descriptions, reorders, pieces. Included by onednn*.cpp
// alone.
#pragma once

#include <omp.h>

#include <algorithm>
#include <memory>
#include <oneapi/dnnl/dnnl.hpp>
#include <utility>
#include <vector>

#include "kernels/conv_inference.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/pieces.h"

namespace fjord::onednn {

using dnnl::memory;

const dnnl::engine& engine();
dnnl::stream& stream();  // the calling thread's

/// oneDNN decides by the number of threads that it sees.
class SeenThreads {
 public:
  explicit SeenThreads(int count) : before_(omp_get_max_threads()) { omp_set_num_threads(count); }
  ~SeenThreads() { omp_set_num_threads(before_); }
  SeenThreads(const SeenThreads&) = delete;

 private:
  const int before_;
};

/// A piece is one thread's work.
struct OneThread : SeenThreads {
  OneThread() : SeenThreads(1) {}
};

/// A piece's memory formats; x and y are NHWC, `weight` is ours (K x R x S x C).
struct Formats {
  Formats(const ConvShape& shape, const Piece& piece);

  memory::desc x, y, bias, weight;
  memory::desc packed;  // oneDNN's choice of filter format: open until the first description
  memory::dims strides, dilates, before, after;
  dnnl::primitive_attr attributes;
};

/// Descriptions: what differs between oneDNN 2 and 3.
dnnl::convolution_forward::primitive_desc describe_forward(const Formats& f, bool bias);
/// y = relu(y + conv) where there is a residual, which comes by way of y; else relu(conv); without
/// the ReLU where another activation, or none, follows.
dnnl::primitive_attr attributes_of(const ConvInferenceShape& shape);
/// Names a filter's format: equal names, equal bytes for equal values.
std::string name_of(const memory::desc& format);
dnnl::convolution_backward_data::primitive_desc describe_backward_data(const Formats& f);
dnnl::convolution_backward_weights::primitive_desc describe_backward_filter(const Formats& f);

/// Memory without an address yet.
memory unbound(const memory::desc& format);

inline void set_data(memory& m, const void* data) { m.set_data_handle(const_cast<void*>(data)); }

inline std::size_t aligned(std::size_t bytes) { return (bytes + 63) / 64 * 64; }

/// Parts of a scratch block, each aligned.
struct Scratch {
  std::size_t bytes = 0;
  std::size_t take(std::size_t size) {
    const std::size_t offset = bytes;
    bytes += aligned(size);
    return offset;
  }
};

inline std::byte* at(void* scratch, std::size_t offset) {
  return static_cast<std::byte*>(scratch) + offset;
}

/// A copy between two filter formats, stored or added, by up to that many threads.
class Reorder {
 public:
  Reorder(const memory::desc& from, const memory::desc& to, Write write, int workers);
  std::size_t scratch_bytes() const { return workspace_.get_desc().get_size(); }
  void run(const void* from, void* to, void* scratch);

 private:
  memory source_, target_, workspace_;
  dnnl::primitive primitive_;
};

/// Our filters in the format of a convolution's description, by all threads. Blocks of outputs,
/// which oneDNN's own copies take up to three times as long for, are made by our loops.
class FilterPack {
 public:
  FilterPack(const ConvShape& shape, const memory::desc& ours, const memory::desc& packed,
             int workers);
  std::size_t scratch_bytes() const;
  void run(const float* filters, void* packed, void* scratch);

 private:
  const Shape weight_;
  const std::int64_t block_;        // outputs of a block; 0: other_ packs
  std::unique_ptr<Reorder> other_;  // to any other format
};

/// One kind of piece: a primitive, and the memory objects that each thread binds.
struct PieceKind {
  struct Bindings {
    memory x, y, weight, bias, workspace;
  };
  dnnl::primitive primitive;
  std::vector<Bindings> by_worker;

  std::size_t work_bytes() const { return aligned(by_worker[0].workspace.get_desc().get_size()); }
};

/// The primitives of a layer's pieces; equal pieces share one.
struct PieceKinds {
  std::vector<std::size_t> kind_of;  // piece -> kind
  std::vector<PieceKind> kinds;
  std::size_t work_bytes = 0;  // the largest workspace of a piece

  /// `describe(formats)` is the description of a piece's Primitive; `packed` its filter's format.
  /// Kinds are made in parallel: each compiles its code.
  template <class Primitive, class Describe>
  void build(const ConvShape& shape, const std::vector<Piece>& pieces, const memory::desc& packed,
             int workers, const Describe& describe) {
    std::vector<Piece> known;
    for (const Piece& piece : pieces) {
      const auto same = std::find_if(known.begin(), known.end(),
                                     [&](const Piece& other) { return other.like(piece); });
      kind_of.push_back(static_cast<std::size_t>(same - known.begin()));
      if (same == known.end()) known.push_back(piece);
    }
    kinds.resize(known.size());
    parallel_pieces(static_cast<std::int64_t>(known.size()), workers, [&](std::size_t i, int) {
      const OneThread one;
      Formats formats(shape, known[i]);
      formats.packed = packed;
      kinds[i] = kind_of_piece<Primitive>(formats, describe(formats), workers);
    });
    for (const PieceKind& kind : kinds) work_bytes = std::max(work_bytes, kind.work_bytes());
  }

  /// What worker binds for a piece, its workspace at `work`.
  PieceKind::Bindings& bindings(std::size_t piece, int worker, std::byte* work) {
    const auto w = static_cast<std::size_t>(worker);
    PieceKind::Bindings& own = kinds[kind_of[piece]].by_worker[w];
    set_data(own.workspace, work + w * work_bytes);
    return own;
  }
  const dnnl::primitive& primitive(std::size_t piece) const {
    return kinds[kind_of[piece]].primitive;
  }

 private:
  template <class Primitive, class Description>
  static PieceKind kind_of_piece(const Formats& f, const Description& description, int workers) {
    PieceKind kind{Primitive(description), {}};
    for (int i = 0; i < workers; ++i)
      kind.by_worker.push_back({unbound(f.x), unbound(f.y), unbound(f.packed), unbound(f.bias),
                                unbound(description.scratchpad_desc())});
    return kind;
  }
};

/// oneDNN's exceptions become ours, with the layer's shape.
[[noreturn]] void fail(const ConvShape& shape, const dnnl::error& error);

template <class Build>
auto prepared(const ConvShape& shape, const Build& build) {
  try {
    const OneThread one;
    return build();
  } catch (const dnnl::error& error) {
    fail(shape, error);
  }
}

}  // namespace fjord::onednn
