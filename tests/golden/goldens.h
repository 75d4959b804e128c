// Every golden as rows of the table.
#pragma once

#include "tests/golden/entries.h"
#include "tests/golden/model_run.h"
#include "tests/golden/table.h"

namespace fjord::golden {

/// Where a golden runs, and by which convolutions.
struct On {
  Backend backend = Backend::cpu;
  DType dtype = DType::f32;
  ConvAlgorithm algorithm = ConvAlgorithm::any;
};
inline constexpr On cpu_f32{Backend::cpu, DType::f32};
inline constexpr On cpu_exact{Backend::cpu, DType::f32, ConvAlgorithm::direct};
inline constexpr On reference_f64{Backend::reference, DType::f64};

/// Evaluation mode: <= 1e-5 of the tensor's rms (figures were computed by PyTorch in fp32), 5e-5
/// where convolutions may be Winograd's, and under instance norms in either case.
std::string to_string(On on);
std::vector<Row> model_rows(const ModelEntry& entry, On on);

/// Three steps of training. In double the proof, 1e-9; in fp32 the sieve for gross faults, whose
/// bounds allow for the decisions of ReLU and max-pool that rounding flips.
std::vector<Row> training_rows(const TrainingEntry& entry, On on);

/// The weights after so many steps of a training golden.
std::vector<double> trained_weights(const TrainingEntry& entry, On on, int steps);

/// Every loss: its value and its gradient, <= 1e-5 (figures were computed by PyTorch in fp32).
std::vector<Row> loss_rows(On on);

/// smp.metrics: scores and reductions of five tables of counts, computed by SMP in fp32.
std::vector<Row> metric_rows();

}  // namespace fjord::golden
