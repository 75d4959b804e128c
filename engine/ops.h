// The vocabulary a model is written in: one declaration per op. Each op is one function in
// engine/ops/ that checks shapes, records the forward step and registers its backward.
#pragma once

#include <optional>

#include "engine/tape.h"
#include "kernels/conv.h"
#include "kernels/gate.h"
#include "kernels/matrix.h"
#include "kernels/norm.h"
#include "kernels/pointwise.h"
#include "kernels/spatial.h"

namespace fjord {

struct LossExpression;  // engine/loss_expression.h

struct Conv2dOptions {
  int channels = 0;  // of the output
  int kernel = 3, stride = 1;
  std::optional<int> padding = {};  // default: kernel / 2
  int dilation = 1, groups = 1;
  bool bias = false;
  Init init = Init::torch_default;
};

/// n x h x w x c -> n x h' x w' x channels, h' and w' by conv_size. Parameters: weight, bias. Every
/// op throws Error{usage, "shape"} naming its place when shapes or attributes do not fit.
Tensor conv2d(Net net, Tensor x, Conv2dOptions options);

/// The transposed convolution: n x h x w x c -> n x h' x w' x channels, h' = (h - 1) * stride - 2 *
/// padding + kernel. Parameters: weight (c x channels x kernel x kernel in files), bias.
Tensor conv_transpose2d(Net net, Tensor x, Conv2dOptions options);

/// Normalises over n, h, w. Parameters: weight, bias, running_mean, running_var,
/// num_batches_tracked. The result is deferred; so are residual and activation given here.
struct BatchNormOptions {
  BatchNorm norm = {};
  Act act = Act::none;
  Tensor residual = {};
};
Tensor batch_norm(Net net, Tensor x, BatchNormOptions options = {});

/// Normalises over h and w of each image, the same in training and evaluation. Parameters: weight,
/// bias.
struct InstanceNorm {
  double eps = 1e-5;
  Act act = Act::none;
};
Tensor instance_norm(Net net, Tensor x, InstanceNorm options = {});

/// The fused word: act(batch_norm(conv2d(x)) + residual). `conv_name` and `norm_name` are the
/// scopes of the two inside net. Its meaning is the plain composition, and a test holds them
/// together.
struct ConvBnAct {
  Conv2dOptions conv;
  const char* conv_name = "0";
  const char* norm_name = "1";
  Act act = Act::relu;
  Tensor residual = {};
  BatchNorm norm = {};
};
Tensor conv_bn_act(Net net, Tensor x, ConvBnAct options);

/// max(x, 0).
Tensor relu(Net net, Tensor x);
/// a + b, of one shape.
Tensor add(Net net, Tensor a, Tensor b);
/// The largest of each window: n x h x w x c -> n x h' x w' x c, h' and w' by conv_size. Windows of
/// at most 15 x 15, padded by at most half of that.
Tensor max_pool(Net net, Tensor x, Pool2d pool);

/// act(x), as a pass of its own.
Tensor activate(Net net, Tensor x, Act act);
/// n x h x w x c -> n x 1 x 1 x c: the mean over the pixels.
Tensor channel_means(Net net, Tensor x);
/// x * s: s is n x 1 x 1 x c (a number a channel) or n x h x w x 1 (a number a pixel).
Tensor scale_channels(Net net, Tensor x, Tensor s);
Tensor scale_pixels(Net net, Tensor x, Tensor s);
/// The sum of so many groups of neighbouring channels.
Tensor fold_channels(Net net, Tensor x, int groups);
/// Split attention's softmax.
Tensor split_softmax(Net net, Tensor x, SplitSoftmax split);
/// The mean of each window.
Tensor avg_pool(Net net, Tensor x, AvgPool2d pool);
/// a * b, an image a product (transpose_a is not taken), as a tensor of that shape.
Tensor matrix_multiply(Net net, Tensor a, Tensor b, MatrixProduct product, Shape shape);
/// The matrices of so many rows that x holds, an image one, transposed; of x's shape.
Tensor transposed(Net net, Tensor x, std::int64_t rows);
/// Zeros around x; negative numbers cut.
struct Border {
  int top = 0, bottom = 0, left = 0, right = 0;
};
Tensor pad(Net net, Tensor x, Border border);
/// Stochastic depth (Huang et al. 2016): in training a sample is dropped with probability `rate`,
/// the others are divided by 1 - rate. `steps` counts the training steps: the batch counter of a
/// norm, so that a resumed run draws what an unbroken one would.
Tensor drop_path(Net net, Tensor x, Tensor steps, double rate);

/// Each value is 0 with probability `rate`, else divided by 1 - rate; likewise. x is n x 1 x 1 x c.
Tensor dropout(Net net, Tensor x, Tensor steps, double rate);

/// PyTorch's Linear: x, n x 1 x 1 x c, times a matrix, plus a bias. Parameters: weight (channels x
/// c in files), bias.
struct Linear {
  int channels = 0;
  Init init = Init::torch_default;
};
Tensor linear(Net net, Tensor x, Linear options);

/// low upsampled (nearest) to skip's size, then skip's channels. Deferred.
Tensor upsample_concat(Net net, Tensor low, Tensor skip);
/// low upsampled (nearest) to h x w. Deferred.
Tensor upsample(Net net, Tensor low, std::int64_t h, std::int64_t w);

/// x at h x w by any interpolation.
Tensor resize(Net net, Tensor x, std::int64_t h, std::int64_t w, Interpolation mode);

/// The weighted sum of losses of an expression: a resident scalar (1 x 1 x 1 x 1). `label` is
/// n x h x w x 1 u8 (class, or 0/1 for one class), or n x h x w x c, u8 or of the tape's dtype, for
/// multi-label and soft targets. The gradient, not the loss, is multiplied by `scale` (one f32 that
/// is read when the step runs) where one is given; the loss is added to `sum`, where one is given.
Tensor loss(Net net, Tensor logits, Tensor label, const LossExpression& expression,
            Tensor scale = {}, Tensor sum = {});

}  // namespace fjord
