// A model opened to run it: found on disk, its weights loaded, images to logits.
#pragma once

#include <filesystem>
#include <memory>

#include "data/image.h"
#include "engine/trainer.h"
#include "tools/compute.h"
#include "tools/model_flags.h"
#include "tools/model_record.h"
#include "tools/options.h"

namespace fjord {

/// What a program was told about a model that may not say everything itself.
struct ModelRequest {
  std::string path;               // run folder, checkpoint folder, SMP's folder, or a .safetensors
  std::string which = "best";     // of a run folder: best or last
  ModelFlags flags;               // for a file that does not say what it is
  std::optional<ImageSize> size;  // --size
  std::optional<std::string> normalize;  // --normalize
  std::optional<double> range;           // --range
  const Options* options = nullptr;      // tells which of the flags were given
  Compute compute;
};

/// Logits of one image: h x w x classes values.
struct Logits {
  int height = 0, width = 0, classes = 0;
  std::vector<float> values;
};

/// The normalisation that the request and the model ask for, for images of that type where neither
/// says it.
Normalization normalization_of(const ModelRecord& record, const ModelRequest& request, DType dtype);
/// --size, else as it was trained; crops and files of other programs run at the image's own size.
Framing framing_of(const ModelRecord& record, const ModelRequest& request);

class Network {
 public:
  /// Throws Error{usage} for a path that is no model, Error{model_file} for a damaged one.
  explicit Network(const ModelRequest& request);

  const ModelRecord& record() const { return record_; }
  const std::string& name() const { return name_; }
  Normalization normalization(DType dtype) const {
    return normalization_of(record_, request_, dtype);
  }
  Framing framing() const { return framing_of(record_, request_); }
  Evaluator& evaluator() { return *evaluator_; }

  /// Reads an image as this model takes it (grey repeated, bands checked, nodata as 0).
  Image read(const std::filesystem::path& path) const;
  /// Resizes, normalises, runs. Sizes that the architecture does not take are padded by reflection
  /// at the bottom and the right, and the logits cropped.
  Logits run(const Image& image);

 private:
  ModelRequest request_;
  ModelRecord record_;
  std::string name_;
  Parameters parameters_;
  Arena arena_;  // of the request's device
  std::unique_ptr<Evaluator> evaluator_;
};

/// Bilinear, half-pixel centres (align_corners=False), as the network's logits are brought back.
Logits resize_logits(const Logits& logits, int height, int width);
std::vector<std::uint8_t> classes_of(const Logits& logits, double threshold);

/// Flags of programs that open a model: --which, --size, --normalize, --range and the network's.
void add_request_flags(Options& options, ModelRequest& request);

}  // namespace fjord
