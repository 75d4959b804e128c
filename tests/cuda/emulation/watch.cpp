// Judges every access of a kernel and counts it.
#include "tests/cuda/emulation/watch.h"

#include <sys/mman.h>

#include <map>
#include <set>
#include <utility>

#include "tests/cuda/emulation/block.h"
#include "tests/cuda/emulation/findings.h"
#include "tests/cuda/emulation/instructions.h"
#include "tests/cuda/emulation/marks.h"
#include "tests/cuda/emulation/memory.h"

namespace emulation::watch {

namespace {

constexpr std::size_t kSector = 32;

bool has_hooks = false, wanted = false, active = false;
Position position;
Traffic launch;
std::map<std::pair<std::string, std::string>, Traffic> all;
std::set<std::pair<const void*, std::string>> told;  // in this launch

// The number of the launch that last read or wrote each sector.
struct SectorUse {
  std::uint32_t read, written;
};
SectorUse* sectors() {
  static auto* const uses = static_cast<SectorUse*>(
      mmap(nullptr, memory::kRange / kSector * sizeof(SectorUse), PROT_READ | PROT_WRITE,
           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  return uses;
}
std::uint32_t launch_number = 0;

void tell(const void* caller, const std::string& what) {
  if (!told.emplace(caller, what.substr(0, 24)).second) return;
  find(launch_name() + ", " + name_of(block().current()) + ": " + what + " at " +
       source_line(caller));
}

// What a card's hardware would stop at.
void stop(const void* caller, const std::string& what) {
  tell(caller, what);
  block().abort();
}

std::string text_of(Kind kind) {
  return kind == Kind::read ? "reads" : kind == Kind::write ? "writes" : "updates";
}

void tell_race(const Verdict& verdict, const std::string& access, const void* caller) {
  const bool mine = verdict.other_thread == position.thread;
  const std::string other = verdict.race_between_blocks ? "another block"
                            : mine                      ? "another thread"
                                   : "thread " + std::to_string(verdict.other_thread);
  tell(caller, access + ", which " + other + (verdict.was_read ? " reads" : " wrote") +
                   (verdict.race_between_blocks ? "," : " with no barrier between,"));
}

void count_sectors(std::size_t offset, std::size_t bytes, Kind kind) {
  for (std::size_t i = offset / kSector; i <= (offset + bytes - 1) / kSector; ++i) {
    SectorUse& use = sectors()[i];
    if (kind != Kind::write && std::exchange(use.read, launch_number) != launch_number)
      ++launch.unique_read_sectors;
    if (kind != Kind::read && std::exchange(use.written, launch_number) != launch_number)
      ++launch.unique_written_sectors;
  }
}

void judge_shared(std::size_t offset, std::size_t bytes, Kind kind, const void* caller) {
  const std::size_t begin = static_cast<std::size_t>(memory::shared() - memory::base());
  if (offset < begin || offset + bytes > begin + memory::shared_bytes())
    return stop(caller, text_of(kind) + " outside of shared memory");
  FirstTouch first;
  const Verdict verdict = mark(offset, bytes, kind, position, first);
  if (kind == Kind::read && !verdict.written)
    tell(caller, "reads shared memory that no thread has written");
  if (verdict.race_in_block) tell_race(verdict, text_of(kind) + " shared memory", caller);
}

void judge_global(std::size_t offset, std::size_t bytes, Kind kind, const void* caller) {
  if (!memory::holds(memory::base() + offset, bytes))
    return stop(caller, text_of(kind) + " outside of every allocation");
  FirstTouch first;
  const Verdict verdict = mark(offset, bytes, kind, position, first);
  launch.unique_read += first.read;
  launch.unique_written += first.written;
  count_sectors(offset, bytes, kind);
  if (verdict.race_in_block || verdict.race_between_blocks)
    tell_race(verdict, text_of(kind) + " global memory", caller);
}

void judge(std::size_t offset, std::size_t bytes, Kind kind, const void* caller) {
  const bool power_of_two = (bytes & (bytes - 1)) == 0;
  if (power_of_two && bytes <= 16 && offset % bytes != 0)
    stop(caller, text_of(kind) + " " + std::to_string(bytes) + " bytes at an odd address");
  const Thread& thread = block().current();
  position.thread = static_cast<std::uint16_t>(thread.linear);
  position.epoch = block().warp().epoch;
  if (offset < memory::kSharedWindow)
    judge_shared(offset, bytes, kind, caller);
  else
    judge_global(offset, bytes, kind, caller);
}

}  // namespace

void set_has_hooks() { has_hooks = true; }
bool available() { return has_hooks; }
void set_on(bool on) { wanted = on && has_hooks; }
bool on() { return wanted; }

void begin_launch(const std::string& kernel, dim3 grid, dim3 block_shape,
                  std::size_t shared_bytes) {
  active = wanted;
  if (!active) return;
  launch = {.kernel = kernel, .grid = grid, .block = block_shape, .shared_bytes = shared_bytes};
  launch.launches = 1;
  position.launch_begin = ++position.phase;
  ++launch_number;
  told.clear();
}

void begin_block() { position.block_begin = ++position.phase; }

void end_block() {
  if (active) count_block(launch);
}

void end_launch() {
  if (!std::exchange(active, false)) return;
  const std::string shape = std::to_string(launch.grid.x) + "x" + std::to_string(launch.grid.y) +
                            "x" + std::to_string(launch.grid.z);
  auto [entry, fresh] = all.try_emplace({launch.kernel, shape}, launch);
  if (!fresh) add(entry->second, launch);
}

void next_phase() { ++position.phase; }

void access(const void* address, std::size_t bytes, Kind kind, const void* caller) {
  if (!active || !block().inside() || bytes == 0) return;
  if (!memory::in_range(address)) {
    if (block().in_other_stack(address)) tell(caller, text_of(kind) + " another thread's variable");
    return;
  }
  const auto offset = static_cast<std::size_t>(static_cast<const char*>(address) - memory::base());
  const bool shared = offset < memory::kSharedWindow;
  gather({caller, block().current().linear, offset, bytes, kind != Kind::read, shared});
  judge(offset, bytes, kind, caller);
}

void touch(const void* address, std::size_t bytes, Kind kind, const void* caller) {
  if (!active || !memory::in_range(address)) return;
  judge(static_cast<std::size_t>(static_cast<const char*>(address) - memory::base()), bytes, kind,
        caller);
}

void forget(const void* address, std::size_t bytes) {
  if (!has_hooks) return;
  erase_marks(static_cast<std::size_t>(static_cast<const char*>(address) - memory::base()), bytes);
}

std::vector<Traffic> take_traffic() {
  std::vector<Traffic> traffic;
  for (auto& [name, entry] : all) traffic.push_back(entry);
  all.clear();
  return traffic;
}

}  // namespace emulation::watch
