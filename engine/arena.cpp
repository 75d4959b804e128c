// Growing an arena.
#include "engine/arena.h"

namespace fjord {

void Arena::reserve(std::size_t bytes) {
  if (bytes <= block_.bytes()) return;
  // On the host before the smaller block is given back, so that a failure leaves that one: neither
  // costs memory that was not touched. Elsewhere both would count.
  if (!device(backend_).is_host()) block_ = DeviceBlock();
  block_ = DeviceBlock(backend_, bytes);
}

}  // namespace fjord
