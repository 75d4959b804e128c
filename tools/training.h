// A training run from flags to a run folder: data, network, trainer, and who watches it.
#pragma once

#include "data/doctor.h"
#include "tools/batches.h"
#include "tools/model_record.h"
#include "tools/run_folder.h"
#include "tools/train_settings.h"

namespace fjord {

/// fjord-train: returns the exit code. Throws Error.
int train(int argc, char** argv);

/// The data of a run, looked at once and said aloud.
struct TrainingData {
  Dataset dataset;
  TrainingFacts facts;
  LabelMap labels;
  Normalization normalization;
  int channels = 3;

  const std::vector<Sample>& training() const { return dataset.at("train").samples; }
  const std::vector<Sample>& validation() const { return dataset.at("val").samples; }
};
/// The names of its files alone. Throws Error{usage} without DATA, Error{dataset} for none there.
Dataset find_dataset(const TrainSettings& settings);
/// Writes what was inferred (in_channels, normalize, range) back into the settings.
TrainingData open_training_data(TrainSettings& settings);

/// The loader of a split: shuffled and augmented for training, plain for validation.
enum class SplitUse : std::uint8_t { training, validation };
LoaderOptions loader_options(const TrainSettings& settings, const TrainingData& data, SplitUse use);
/// Who augments the training images: a card takes what is decoded and does it itself; images that
/// differ in size are made alike first, by the loader's threads.
AugmentBy augment_by(const TrainSettings& settings, const TrainingData& data, Backend backend);

/// What --init says of its network, and flags leave open, goes into the settings. Throws
/// Error{usage} where the two contradict.
void adopt_network(TrainSettings& settings, const Options& options);
/// Loads --init or --encoder-weights into the parameters, and says where the start is from.
void load_start(const TrainSettings& settings, Parameters& parameters);

}  // namespace fjord
