// Sectors and bank conflicts of each instruction of a warp.
#include "tests/cuda/emulation/instructions.h"

#include <algorithm>
#include <array>
#include <unordered_map>
#include <vector>

#include "tests/cuda/emulation/block.h"
#include "tests/cuda/emulation/watch.h"

namespace emulation::watch {

namespace {

constexpr std::size_t kSector = 32, kBanks = 32, kBank = 4;
constexpr std::size_t kAbsent = ~std::size_t{0};

using Lanes = std::array<std::size_t, kWarp>;  // offsets

// A place of the code: what each warp did there in this block, and how often each thread came by.
struct Site {
  std::size_t bytes = 0;
  bool write = false, shared = false, used = false;
  std::array<std::uint32_t, kMostThreads> visits{};
  std::array<std::vector<Lanes>, kMostThreads / kWarp> warps;
};

std::vector<Site*> used_sites;

Site& site_of(const void* place) {
  static std::unordered_map<const void*, Site> sites;
  static std::array<std::pair<const void*, Site*>, 1024> recent{};
  auto& [known, site] = recent[reinterpret_cast<std::uintptr_t>(place) / 2 % recent.size()];
  if (known != place) {
    known = place;
    site = &sites[place];
  }
  return *site;
}

// Distinct values of a few, in ascending order.
struct Distinct {
  std::array<std::size_t, 4 * kWarp> values;
  std::size_t count = 0;

  void add(std::size_t value) {
    if (count == 0 || values[count - 1] != value) values[count++] = value;
  }
  std::size_t size() {
    const auto begin = values.begin(), end = begin + static_cast<std::ptrdiff_t>(count);
    if (!std::is_sorted(begin, end)) std::sort(begin, end);
    return count = static_cast<std::size_t>(std::unique(begin, end) - begin);
  }
};

void count_global(const Site& site, const Lanes& lanes, Traffic& traffic) {
  Distinct sectors, starts;
  for (const std::size_t offset : lanes) {
    if (offset == kAbsent) continue;
    starts.add(offset);
    sectors.add(offset / kSector);
    sectors.add((offset + site.bytes - 1) / kSector);
  }
  const auto asked = static_cast<std::int64_t>(sectors.size());
  const auto ideal =
      static_cast<std::int64_t>((starts.size() * site.bytes + kSector - 1) / kSector);
  (site.write ? traffic.written_sectors : traffic.read_sectors) += asked;
  (site.write ? traffic.ideal_written_sectors : traffic.ideal_read_sectors) +=
      std::min(asked, ideal);
  ++traffic.global_instructions;
}

// Lanes share a turn unless two want different words of one bank. 8-byte accesses take half of the
// warp at a time, 16-byte ones a quarter.
void count_shared(const Site& site, const Lanes& lanes, Traffic& traffic) {
  const std::size_t words_each = std::clamp(site.bytes / kBank, std::size_t{1}, std::size_t{4});
  const std::size_t together = kWarp / words_each;
  for (std::size_t first = 0; first < kWarp; first += together) {
    Distinct words;
    for (std::size_t lane = first; lane < first + together; ++lane)
      for (std::size_t i = 0; i < words_each && lanes[lane] != kAbsent; ++i)
        words.add(lanes[lane] / kBank + i);
    std::array<int, kBanks> in_bank{};
    int turns = 0;
    for (std::size_t i = 0, distinct = words.size(); i < distinct; ++i)
      turns = std::max(turns, ++in_bank[words.values[i] % kBanks]);
    traffic.shared_turns += turns;
    traffic.ideal_shared_turns += turns > 0;
  }
  ++traffic.shared_instructions;
}

}  // namespace

void gather(const Access& access) {
  Site& site = site_of(access.place);
  if (!site.used) {
    site.used = true;
    site.bytes = access.bytes;
    site.write = access.write;
    site.shared = access.shared;
    used_sites.push_back(&site);
  }
  auto& instructions = site.warps[access.thread / kWarp];
  const std::uint32_t visit = site.visits[access.thread]++;
  if (visit >= instructions.size()) {
    instructions.resize(visit + 1);
    instructions.back().fill(kAbsent);
  }
  instructions[visit][access.thread % kWarp] = access.offset;
}

void count_block(Traffic& traffic) {
  for (Site* site : used_sites) {
    site->used = false;
    site->visits.fill(0);
    for (auto& instructions : site->warps) {
      for (const Lanes& lanes : instructions)
        site->shared ? count_shared(*site, lanes, traffic) : count_global(*site, lanes, traffic);
      instructions.clear();
    }
  }
  used_sites.clear();
}

}  // namespace emulation::watch
