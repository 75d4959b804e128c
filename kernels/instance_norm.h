// Instance normalisation (Ulyanov, Vedaldi, Lempitsky 2016): batch normalisation of each image by
// itself. So no backend has kernels of its own for it; both words below are those of norm.h, image
// by image.
#pragma once

#include "kernels/norm.h"

namespace fjord {

/// x, gamma, beta -> y = act(gamma * xhat + beta), and of each image (n x 1 x 5 x c) mean, biased
/// variance, scale, shift, inv_std.
inline Kernel<In, In, In, Out, Out, Act, BatchNorm> instance_norm_forward{"instance_norm_forward"};
/// x, dy, those vectors -> sums (n x 1 x 2 x c, as batch_norm_backward_reduce), dgamma, dbeta, dx;
/// the last three may be absent.
inline Kernel<In, In, In, Out, Out, Out, Out, Act> instance_norm_backward{"instance_norm_backward"};

/// Image i of a tensor; row r of an image's vectors.
inline Buffer image_of(const Buffer& all, std::int64_t i) {
  Buffer image{{}, all.shape, all.dtype, all.data};
  image.shape.n = 1;
  image.data = static_cast<std::byte*>(all.data) + static_cast<std::size_t>(i) * image.bytes();
  return image;
}
inline Buffer row_of(const Buffer& vectors, std::int64_t r) {
  Buffer row{{}, {1, 1, 1, vectors.shape.c}, vectors.dtype, vectors.data};
  row.data = static_cast<std::byte*>(vectors.data) + static_cast<std::size_t>(r) * row.bytes();
  return row;
}

/// What CPU and CUDA fill the slots with; their batch_norm slots do the work.
inline void normalize_images(In x, In gamma, In beta, Out y, Out vectors, Act act, BatchNorm norm,
                             Stream& stream) {
  for (std::int64_t i = 0; i < x.shape().n; ++i) {
    Buffer from = image_of(*x.buffer, i), to = image_of(*y.buffer, i);
    Buffer own = image_of(*vectors.buffer, i);
    Buffer mean = row_of(own, 0), variance = row_of(own, 1), scale = row_of(own, 2),
           shift = row_of(own, 3), inv_std = row_of(own, 4);
    batch_norm_statistics(In{&from}, Out{&mean}, Out{&variance}, stream);
    batch_norm_finalize(In{&mean}, In{&variance}, gamma, beta, {}, {}, {}, Out{&scale}, Out{&shift},
                        Out{&inv_std}, from.shape.pixels(), norm, stream);
    batch_norm_apply(In{&from}, In{&scale}, In{&shift}, {}, Out{&to, y.write}, act, stream);
  }
}

inline void normalize_images_backward(In x, In dy, In vectors, Out sums, Out dgamma, Out dbeta,
                                      Out dx, Act act, Stream& stream) {
  for (std::int64_t i = 0; i < x.shape().n; ++i) {
    Buffer from = image_of(*x.buffer, i), gradient = image_of(*dy.buffer, i);
    Buffer own = image_of(*vectors.buffer, i), own_sums = image_of(*sums.buffer, i);
    Buffer mean = row_of(own, 0), scale = row_of(own, 2), shift = row_of(own, 3),
           inv_std = row_of(own, 4);
    batch_norm_backward_reduce(In{&from}, {}, In{&gradient}, In{&scale}, In{&shift}, In{&mean},
                               In{&inv_std}, Out{&own_sums}, dgamma, dbeta, act, stream);
    dgamma.write = dbeta.write = Write::add;  // of the images after the first
    if (!dx) continue;
    Buffer to = image_of(*dx.buffer, i);
    batch_norm_backward_apply(In{&from}, {}, In{&gradient}, In{&scale}, In{&shift}, In{&mean},
                              In{&inv_std}, In{&own_sums}, Out{&to, dx.write}, {}, act, stream);
  }
}

}  // namespace fjord
