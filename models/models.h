// Every architecture and encoder, and the options that a model is made from.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/tape.h"
#include "kernels/spatial.h"

namespace fjord {

enum class Attention : std::uint8_t { none, scse };
enum class DecoderNorm : std::uint8_t { batchnorm, identity };

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
  bool freeze_encoder = false;
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

/// image n x h x w x in_channels -> logits n x h x w x classes. The parameters' names are SMP's.
Tensor build_model(Net net, Tensor image, const ModelOptions& options);

/// Encoder features f0 (the image) to f_depth; the unused deeper stages still get parameters.
std::vector<Tensor> build_encoder(Net net, Tensor image, const ModelOptions& options);

std::vector<std::string_view> architecture_names();
std::vector<std::string_view> encoder_names();

}  // namespace fjord
