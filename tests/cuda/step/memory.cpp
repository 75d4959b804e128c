// The memory of a card that is demanded before the first step is enough for the whole run.
#include <doctest/doctest.h>

#include "tests/cuda/emulation/runtime.h"
#include "tests/cuda/step/toys.h"

using namespace fjord;
using namespace fjord::test;

namespace {

constexpr Shape kImages{4, 16, 16, 3};

/// A card of which so many bytes are free, for a while.
struct SmallCard {
  explicit SmallCard(std::size_t free) {
    const DeviceMemory memory = device(Backend::cuda).memory();
    emulation::card().memory_bytes = memory.total - memory.free + free;
  }
  ~SmallCard() { emulation::card() = whole; }
  const emulation::Card whole = emulation::card();
};

bool accepted(const TrainerOptions& o, std::size_t free) {
  const SmallCard card(free);
  try {
    const Toy toy(o);
    return true;
  } catch (const Error& error) {
    CHECK(error.exit == ExitCode::device);
    return false;
  }
}

}  // namespace

TEST_CASE("the least memory with which a run begins is enough for its steps and its validation") {
  enable_backends();
  for (const Precision precision : {Precision::fp32, Precision::bf16}) {
    TrainerOptions o = toy_options(Backend::cuda, precision);
    o.image = kImages;
    std::size_t refused = 0, enough = std::size_t{1} << 24;
    REQUIRE(accepted(o, enough));
    while (enough - refused > 1) {
      const std::size_t middle = (refused + enough) / 2;
      (accepted(o, middle) ? enough : refused) = middle;
    }
    const SmallCard card(enough);
    Toy toy(o);
    Waves training(kImages, 3), validation(kImages, 2);
    struct : Observer {
    } silent;
    CHECK_NOTHROW(toy.trainer.fit(training, validation, silent));
  }
}
