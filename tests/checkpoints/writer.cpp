// A program to be killed: saves checkpoints of a stand-in for training until then, and says on
// stdout (8 bytes each) which step it has saved.
#include <unistd.h>

#include <cstdlib>

#include "kernels/error.h"
#include "tests/checkpoints/training.h"

int main(int argc, char** argv) try {
  if (argc != 3) return 2;
  fjord::test::TinyTraining training;
  for (std::int64_t step = std::atoll(argv[2]);; ++step) {
    training.go_to(step);
    fjord::save_checkpoint(argv[1], training.checkpoint(step),
                           {.step = step, .best = step % 3 == 0});
    if (write(STDOUT_FILENO, &step, sizeof step) != sizeof step) return 5;
  }
} catch (const fjord::Error& error) {
  fmt::print(stderr, "{}\n", error.what());
  return static_cast<int>(error.exit);
}
