// The one thread pool of the kernels: OpenMP's.
#pragma once

namespace fjord {

/// Threads of every kernel from now on; 0 means one per core that this process may use.
void set_threads(int count);
int threads();

}  // namespace fjord
