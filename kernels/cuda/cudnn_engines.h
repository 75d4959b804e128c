// Which of cuDNN's engines can run a graph, what they ask for, and which of them are allowed.
#pragma once

#include <optional>

#include "kernels/cuda/conv_choice.h"
#include "kernels/cuda/cudnn_device.h"
#include "kernels/cuda/cudnn_graph.h"

namespace fjord::cuda {

struct Candidate {
  Descriptor config;
  EngineChoice choice;
  std::size_t workspace_bytes = 0;
  std::vector<cudnnBackendNumericalNote_t> notes;
  bool runtime_compiled = false;
};

/// cuDNN's suggestions, best first. Empty when it has none.
std::vector<Candidate> candidates(const ConvGraph& graph, const CudnnDevice& device,
                                  cudnnBackendHeurMode_t mode);
/// A configuration given by its choice; nothing when cuDNN refuses it (another version, card).
std::optional<Candidate> candidate(const ConvGraph& graph, const CudnnDevice& device,
                                   const EngineChoice& choice);

/// The rule: workspace at most kConvWorkspaceBytes; the same bits every run; f32 products as the
/// problem asks (exact: neither tensor cores nor Winograd's transforms).
bool allowed(const Candidate& candidate, const ConvProblem& problem);

/// Engines that fuse an ending are compiled at run time, half a second each at every start. Without
/// timing they are for results of more than 16 MiB: a pass behind a smaller one costs little. The
/// bound is a judgement until a card has timed both.
bool worth_building(const Candidate& candidate, const ConvProblem& problem);

/// "engine 62 k2=5 k27=1 tensor-core".
std::string to_string(const Candidate& candidate);

}  // namespace fjord::cuda
