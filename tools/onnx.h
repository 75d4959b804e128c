// A network with its weights as an ONNX file.
#pragma once

#include <filesystem>

#include "engine/parameters.h"
#include "engine/tensor_file.h"
#include "models/models.h"

namespace fjord {

/// One file, opset 17: "image" (batch x channels x height x width, f32) to "logits" (batch x
/// classes x height x width), or what the model's activation makes of them under a name of its own
/// ("probabilities"), and to "scores" (batch x classes) where the model has a classification head;
/// for any batch and size that the network takes. Normalisations are folded into the convolutions.
/// Throws Error{usage, "onnx"} for a network that ONNX cannot express or of more than 2 GB, and
/// where the program was built without ONNX.
void write_onnx(const std::filesystem::path& path, const ModelOptions& model,
                Parameters& parameters, const Metadata& metadata);

}  // namespace fjord
