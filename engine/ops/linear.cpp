// A fully connected layer: a 1x1 convolution of one pixel, whose weight is a matrix in files.
#include "engine/ops.h"
#include "kernels/error.h"

namespace fjord {

Tensor linear(Net net, Tensor x, Linear options) {
  check(x.h() == 1 && x.w() == 1, net.path, "linear is of n x 1 x 1 x c, got {}",
        to_string(x.shape()));
  const Tensor y = conv2d(
      net, x, {.channels = options.channels, .kernel = 1, .bias = true, .init = options.init});
  net.tape->parameters.find(net.path + "weight")->matrix = true;
  return y;
}

}  // namespace fjord
