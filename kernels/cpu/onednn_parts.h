// What the oneDNN files share: formats, descriptions, reorders. Included by onednn*.cpp alone.
#pragma once

#include <omp.h>

#include <memory>
#include <oneapi/dnnl/dnnl.hpp>
#include <string>

#include "kernels/conv.h"
#include "kernels/cpu/pieces.h"

namespace fjord::onednn {

using dnnl::memory;

const dnnl::engine& engine();
dnnl::stream& stream();  // the calling thread's

/// oneDNN decides by the number of threads that it sees; a piece is one thread's work.
class OneThread {
 public:
  OneThread() : before_(omp_get_max_threads()) { omp_set_num_threads(1); }
  ~OneThread() { omp_set_num_threads(before_); }
  OneThread(const OneThread&) = delete;

 private:
  const int before_;
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

/// A copy between two filter formats, stored or added.
class Reorder {
 public:
  Reorder(const memory::desc& from, const memory::desc& to, Write write);
  std::size_t scratch_bytes() const { return workspace_.get_desc().get_size(); }
  void run(const void* from, void* to, void* scratch);

 private:
  memory source_, target_, workspace_;
  dnnl::primitive primitive_;
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
