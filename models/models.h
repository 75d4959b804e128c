// Every architecture and encoder, and the options that a model is made from.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/tape.h"
#include "kernels/spatial.h"

namespace fjord {

enum class Attention : std::uint8_t { none, scse };
enum class DecoderNorm : std::uint8_t { batchnorm, identity, instance };

/// What SMP's module makes of a head's outputs: those that it knows by name.
enum class FinalActivation : std::uint8_t {
  none,
  sigmoid,
  softmax,  // over the classes, as softmax2d
  softmax2d,
  logsoftmax,
  tanh,
  argmax,  // one number for a whole batch
  argmax2d,
  clamp,  // to 0..1
};

enum class Pooling : std::uint8_t { avg, max };
/// SMP's aux_params: scores of the whole image, made from the deepest feature.
struct ClassificationHead {
  int classes = 1;
  Pooling pooling = Pooling::avg;
  double dropout = 0.2;                                // 0 to below 1
  FinalActivation activation = FinalActivation::none;  // of exports alone
};

/// SMP's constructor arguments. Defaults are SMP's.
struct ModelOptions {
  std::string arch = "unet";
  std::string encoder = "resnet34";
  int in_channels = 3;
  int classes = 1;
  int encoder_depth = 5;                                       // 3..5
  std::vector<int> decoder_channels = {256, 128, 64, 32, 16};  // one per level
  Attention attention = Attention::none;                       // of Unet, UnetPlusPlus
  Interpolation interpolation = Interpolation::nearest;        // not of Linknet
  DecoderNorm decoder_norm = DecoderNorm::batchnorm;
  int pab_channels = 64;  // of MAnet
  std::optional<ClassificationHead> classification = {};
  FinalActivation activation = FinalActivation::none;  // of exports alone: fjord computes logits
  // Of training alone; no file has them.
  bool freeze_encoder = false;
  double deep_supervision = 0;  // of UnetPlusPlus: what the loss of each inner head counts
};

/// Throws Error{usage} for unknown names (with the nearest), impossible combinations and options
/// that the architecture does not have.
void validate(const ModelOptions& options);

/// Whether the architecture takes --decoder-attention.
bool has_attention(std::string_view arch);
/// What height and width of an image have to be divisible by: 1 where any size goes.
int size_divisor(const ModelOptions& options);
/// SMP's decoder channels, as many as the depth.
std::vector<int> default_channels(int depth);

/// image n x h x w x in_channels -> logits n x h x w x classes. The parameters' names are SMP's; a
/// classification head has its own and is not computed.
Tensor build_model(Net net, Tensor image, const ModelOptions& options);

/// With the classification head's logits, n x 1 x 1 x its classes; absent without a head.
struct ModelOutputs {
  Tensor logits, scores;
};
ModelOutputs build_model_and_scores(Net net, Tensor image, const ModelOptions& options);

/// Encoder features f0 (the image) to f_depth; the unused deeper stages still get parameters.
std::vector<Tensor> build_encoder(Net net, Tensor image, const ModelOptions& options);

std::vector<std::string_view> architecture_names();
std::vector<std::string_view> encoder_names();

}  // namespace fjord
