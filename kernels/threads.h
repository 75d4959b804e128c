// The one thread pool of the kernels: OpenMP's.
#pragma once

namespace fjord {

/// Threads of every kernel called from this thread from now on; 0 means one per core that this
/// process may use. To be called before a plan is recorded: convolutions are made ready for the
/// number of threads of that moment. No result's bits depend on it.
void set_threads(int count);
int threads();

}  // namespace fjord
