// fjord-bench: how long a training step, a forward pass, each convolution or the loader takes.
#pragma once

namespace fjord {

/// Returns the exit code. Throws Error.
int benchmark(int argc, char** argv);

}  // namespace fjord
