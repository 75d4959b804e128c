// The one thread pool of the kernels: OpenMP's.
#pragma once

namespace fjord {

/// Threads of every kernel called from this thread from now on; 0 means one per core that this
/// process may use. To be called before a plan is recorded: convolutions are made ready for the
/// number of threads of that moment. No result's bits depend on it.
void set_threads(int count);
int threads();

/// Makes threads that wait for each other sleep soon instead of spinning: on a busy machine a step
/// is two to three times faster. The OpenMP library reads this wish only while it is loaded, so the
/// program is started once more, with the same arguments; first thing in main, before any output.
/// Whoever says himself how threads wait, or on which cores, has it so.
void wait_politely(char** argv);

}  // namespace fjord
