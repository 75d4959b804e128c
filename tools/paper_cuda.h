// The CUDA backend on paper: its steps can be recorded and planned on any machine, and never run.
#pragma once

namespace fjord {

/// Where the slots' functions came from: with this build's library convolutions have the plans and
/// the scratch memory of a described card.
enum class PaperCuda { from_library, empty };

/// Fills the CUDA slots, those that the library leaves empty too, and lets the host stand in for a
/// card. For predictions; a program that calls it must not compute on Backend::cuda.
PaperCuda enable_cuda_on_paper();

}  // namespace fjord
