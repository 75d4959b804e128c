// CUDA slots that are there to be recorded.
#include "tools/paper_cuda.h"

#include "kernels/augment.h"
#include "kernels/confusion.h"
#include "kernels/conv.h"
#include "kernels/conv_inference.h"
#include "kernels/conv_norm.h"
#include "kernels/device.h"
#include "kernels/formula_loss.h"
#include "kernels/gate.h"
#include "kernels/instance_norm.h"
#include "kernels/loss.h"
#include "kernels/matrix.h"
#include "kernels/norm.h"
#include "kernels/optimizer.h"
#include "kernels/plugin.h"
#include "kernels/pointwise.h"
#include "kernels/spatial.h"

namespace fjord {

namespace {

[[noreturn]] void throw_on_paper() {
  throw Error(ExitCode::bug, "on-paper", "the CUDA backend", "is only described in this program",
              "use --device cpu");
}

template <class... Args>
void fill(Kernel<Args...>& slot) {
  if (!slot.cuda) slot.cuda = [](Args..., Stream&) { throw_on_paper(); };
}

// A convolution's slot is called while recording: it leaves a pass that asks for no scratch.
template <class Shape, class Pass>
void fill(Kernel<const Shape&, Pass&>& slot) {
  if (!slot.cuda)
    slot.cuda = [](const Shape&, Pass& pass, Stream&) {
      pass.implementation = "on paper";
      pass.run = [](auto&&...) { throw_on_paper(); };
    };
}

// What a backend may leave out, it leaves out: the plain composition is recorded.
template <class Shape, class Pass>
void leave_out(Kernel<const Shape&, Pass&>& slot) {
  if (!slot.cuda) slot.cuda = [](const Shape&, Pass&, Stream&) {};
}

template <class... Slots>
void fill_all(Slots&... slots) {
  (fill(slots), ...);
}

}  // namespace

PaperCuda enable_cuda_on_paper() {
  const bool described = describe_cuda();
  fill_all(prepare_conv_forward, prepare_conv_backward_data, prepare_conv_backward_filter,
           prepare_upsample_conv_forward, prepare_upsample_conv_backward_data,
           prepare_upsample_conv_backward_filter);
  leave_out(prepare_conv_inference);
  leave_out(prepare_conv_norm_forward);
  leave_out(prepare_conv_norm_backward_filter);
  leave_out(prepare_conv_norm_backward_data);
  fill_all(batch_norm_statistics, batch_norm_finalize, batch_norm_fold, batch_norm_apply,
           batch_norm_backward_reduce, batch_norm_backward_apply, scale_shift_backward,
           instance_norm_forward, instance_norm_backward);
  fill_all(relu_forward, relu_backward, add_forward, copy_forward, max_pool_forward,
           batch_norm_apply_max_pool, max_pool_backward, upsample_concat_forward,
           upsample_concat_backward);
  fill_all(activate_forward, activate_backward, random_mask, channel_scale, channel_sums,
           channel_fold, channel_repeat, pixel_scale, pixel_sums, split_softmax_forward,
           split_softmax_backward, avg_pool_forward, avg_pool_backward, resize_forward,
           resize_backward, window_copy, matrix_product, matrix_transpose);
  fill_all(formula_loss_forward, formula_loss_backward, loss_forward, lovasz_forward, loss_backward,
           prepare_update, adamw_update, sgd_update, ema_update, gradient_norm, confusion_count,
           augment_image, augment_label);
  enable_device(Backend::cuda, device(Backend::cpu));
  return described ? PaperCuda::from_library : PaperCuda::empty;
}

}  // namespace fjord
