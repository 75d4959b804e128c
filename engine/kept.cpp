// Shared memory of what follows from the weights.
#include "engine/kept.h"

#include "kernels/error.h"

namespace fjord {

std::shared_ptr<Kept> KeptStore::get(const std::string& key, std::size_t bytes) {
  std::weak_ptr<Kept>& known = by_key_[key];
  std::shared_ptr<Kept> kept = known.lock();
  if (!kept) known = kept = std::make_shared<Kept>(Kept{bytes, {}, 0});
  check(kept->bytes == bytes, key, "kept in {} bytes before and in {} now", kept->bytes, bytes);
  return kept;
}

std::size_t KeptStore::bytes() const {
  std::size_t bytes = 0;
  for (const auto& [key, shared] : by_key_)
    if (const auto kept = shared.lock()) bytes += kept->bytes;
  return bytes;
}

}  // namespace fjord
