// The arena's memory comes from the operating system directly.
#include "engine/arena.h"

#include <sys/mman.h>

#include "kernels/error.h"

namespace fjord {

Arena::~Arena() {
  if (data_) munmap(data_, bytes_);
}

void Arena::reserve(std::size_t bytes) {
  if (bytes <= bytes_) return;
  // Before the smaller block is given back, so that a failure leaves that one; neither costs memory
  // that was not touched.
  void* block = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (block == MAP_FAILED)
    throw Error(ExitCode::io, "memory",
                fmt::format("{:.0f} MiB could not be had", static_cast<double>(bytes) / 0x1p20),
                "the plan needs that much memory at once", "use a smaller --batch or --size");
  if (data_) munmap(data_, bytes_);
  data_ = static_cast<std::byte*>(block);
  bytes_ = bytes;
}

}  // namespace fjord
