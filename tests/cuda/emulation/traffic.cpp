// The table of what kernels moved.
#include <cstdio>

#include "tests/cuda/emulation/watch.h"

namespace emulation::watch {

void add(Traffic& sum, const Traffic& more) {
  sum.launches += more.launches;
  sum.unique_read += more.unique_read;
  sum.unique_written += more.unique_written;
  sum.unique_read_sectors += more.unique_read_sectors;
  sum.unique_written_sectors += more.unique_written_sectors;
  sum.read_sectors += more.read_sectors;
  sum.written_sectors += more.written_sectors;
  sum.ideal_read_sectors += more.ideal_read_sectors;
  sum.ideal_written_sectors += more.ideal_written_sectors;
  sum.global_instructions += more.global_instructions;
  sum.shared_instructions += more.shared_instructions;
  sum.shared_turns += more.shared_turns;
  sum.ideal_shared_turns += more.ideal_shared_turns;
}

namespace {

double ratio(std::int64_t a, std::int64_t b) {
  return b == 0 ? 1 : static_cast<double>(a) / static_cast<double>(b);
}

}  // namespace

std::string table(const std::vector<Traffic>& traffic) {
  std::string text =
      "| kernel | grid | threads | shared B | launches | touched B | moved / touched | asked / "
      "moved | sectors / ideal | bank turns / ideal |\n|---|---|---|---|---|---|---|---|---|---|\n";
  for (const Traffic& t : traffic) {
    const std::int64_t touched = t.unique_read + t.unique_written;
    const std::int64_t moved = 32 * (t.unique_read_sectors + t.unique_written_sectors);
    const std::int64_t asked = 32 * (t.read_sectors + t.written_sectors);
    const std::int64_t ideal = 32 * (t.ideal_read_sectors + t.ideal_written_sectors);
    char line[512];
    std::snprintf(line, sizeof line,
                  "| %s | %ux%ux%u | %u | %zu | %lld | %lld | %.2f | %.2f | %.2f | %.2f |\n",
                  t.kernel.c_str(), t.grid.x, t.grid.y, t.grid.z, t.block.x * t.block.y * t.block.z,
                  t.shared_bytes, static_cast<long long>(t.launches),
                  static_cast<long long>(touched), ratio(moved, touched), ratio(asked, moved),
                  ratio(asked, ideal), ratio(t.shared_turns, t.ideal_shared_turns));
    text += line;
  }
  return text;
}

}  // namespace emulation::watch
