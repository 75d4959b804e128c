// Lifetimes, the layout of the arena, what is kept of the weights, replay and its checks.
#include "engine/plan.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "engine/safetensors.h"
#include "kernels/device.h"

namespace fjord {

namespace {

// Tensors of a step that runs beside others. What is larger fills a card by itself, and would have
// to be kept longer.
constexpr std::size_t kLargestBeside = std::size_t{16} << 20;

std::size_t largest_bytes(const Step& step) {
  std::size_t largest = 0;
  for (const auto& slots : {step.reads, step.writes})
    for (const Slot* slot : slots)
      if (slot->kind != Kind::scratch) largest = std::max(largest, slot->bytes());
  return largest;
}

// Whether `later` has to wait for `step`: it touches what that writes, or writes what it reads.
bool depends(const Step& later, const Step& step) {
  const auto share = [](const std::vector<Slot*>& a, const std::vector<Slot*>& b) {
    return std::ranges::any_of(a, [&](Slot* slot) { return std::ranges::count(b, slot) > 0; });
  };
  return share(later.reads, step.writes) || share(later.writes, step.writes) ||
         share(later.writes, step.reads);
}

template <class T>
std::int64_t count_nonfinite(std::span<const T> values) {
  return std::ranges::count_if(values, [](T value) { return !std::isfinite(value); });
}

template <class T>
std::span<const T> values_in(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const T*>(bytes.data()), bytes.size() / sizeof(T)};
}

std::int64_t count_nonfinite(const Buffer& buffer, Stream& stream) {
  if (buffer.dtype == DType::u8 || buffer.dtype == DType::i64) return 0;
  Device& home = device(stream.backend);
  std::vector<std::byte> fetched;
  std::span bytes(static_cast<const std::byte*>(buffer.data), buffer.bytes());
  if (!home.is_host()) {
    fetched.resize(buffer.bytes());
    home.download(fetched.data(), buffer.data, buffer.bytes(), stream);
    bytes = fetched;
  }
  if (buffer.dtype == DType::f32) return count_nonfinite(values_in<float>(bytes));
  if (buffer.dtype == DType::f64) return count_nonfinite(values_in<double>(bytes));
  const std::vector<float> wide = to_floats(file_type(buffer.dtype), bytes);
  return count_nonfinite(std::span<const float>(wide));
}

// All ones: a NaN in every floating-point type, an impossible class, an odd tap.
void poison(const Slot& slot, Stream& stream) {
  device(stream.backend).fill(slot.data, 0xFF, slot.bytes(), stream);
}

}  // namespace

Plan::Plan(Tape& tape, Arena& arena, PlanOptions options)
    : tape_(tape), arena_(arena), options_(options), stream_(stream(tape.options.backend)) {
  check(tape.parameters.allocated(), "Plan", "the parameters are not allocated yet");
  if (size_of(tape.options.dtype) == 2) tape.parameters.make_shadow(tape.options.dtype);
  find_lifetimes();
  find_overlaps();
  peak_ = find_peak(planned_, static_cast<int>(tape.steps.size()));
  lay_out();
  find_moves();
}

void Plan::find_lifetimes() {
  std::vector<Turn> order;
  for (const Step& step : tape_.steps) order.push_back({&step, step.again});
  const int steps = static_cast<int>(order.size());
  planned_ = find_lives(tape_, order);
  if (options_.check)
    for (Slot* slot : planned_) slot->lives = {{0, steps}};
}

// A step that may run beside those after it does so until the next of its kind, or a step that
// touches what it writes or writes what it reads. Until then its tensors keep their memory.
void Plan::find_overlaps() {
  const int steps = static_cast<int>(tape_.steps.size());
  forks_.assign(steps, false);
  joins_.assign(steps, false);
  if (options_.check || tape_.options.backend != Backend::cuda) return;
  for (int i = 0; i < steps; ++i) {
    const Step& side = tape_.steps[i];
    if (!side.beside || largest_bytes(side) > kLargestBeside) continue;
    int end = i + 1;
    while (end < steps && !tape_.steps[end].beside && !depends(tape_.steps[end], side)) ++end;
    if (end == i + 1) continue;
    forks_[i] = joins_[end - 1] = true;
    for (const auto& slots : {side.reads, side.writes})
      for (Slot* slot : slots)
        for (Life& life : slot->lives)
          if (life.first <= i && i <= life.last) life.last = std::max(life.last, end - 1);
  }
}

// Largest first, each life at the lowest offset that is free for all of it.
void Plan::lay_out() {
  struct Piece {
    const Slot* slot;
    Life* life;
  };
  std::vector<Piece> order, placed;  // placed: by offset
  for (Slot* slot : planned_)
    for (Life& life : slot->lives) order.push_back({slot, &life});
  std::stable_sort(order.begin(), order.end(), [](const Piece& a, const Piece& b) {
    return a.slot->bytes() > b.slot->bytes();
  });
  for (const Piece& piece : order) {
    Life& life = *piece.life;
    const std::size_t bytes = planned_bytes(*piece.slot);
    for (const auto& [rival, its] : placed) {
      if (its->first > life.last || life.first > its->last) continue;
      if (life.offset + bytes <= its->offset) break;
      life.offset = std::max(life.offset, its->offset + planned_bytes(*rival));
    }
    arena_bytes_ = std::max(arena_bytes_, life.offset + bytes);
    placed.insert(std::upper_bound(placed.begin(), placed.end(), piece,
                                   [](const Piece& a, const Piece& b) {
                                     return a.life->offset < b.life->offset;
                                   }),
                  piece);
  }
}

// Where a step finds the tensors that have several lives.
void Plan::find_moves() {
  const int steps = static_cast<int>(tape_.steps.size());
  moves_.assign(steps, {});
  for (int i = 0; i < steps; ++i)
    for (const auto& slots : {tape_.steps[i].reads, tape_.steps[i].writes})
      for (Slot* slot : slots)
        if (slot->lives.size() > 1) moves_[i].push_back({slot, life_at(*slot, i)->offset});
}

bool Plan::bind() {
  tape_.parameters.refresh_shadow(stream_);
  const bool moved = bind_addresses();
  make_kept();
  return moved;
}

// Runs what follows from the weights alone where that is of another version than they are.
void Plan::make_kept() {
  const std::uint64_t version = tape_.parameters.version();
  const auto stale = [&](const KeptSlot& k) { return k.kept->version != version; };
  if (std::ranges::none_of(tape_.kept, stale)) return;
  for (Step& step : tape_.once) {
    const bool due = std::ranges::any_of(tape_.kept, [&](const KeptSlot& k) {
      return stale(k) && std::ranges::count(step.writes, k.slot) > 0;
    });
    if (due) step.run(stream_);
  }
  for (KeptSlot& k : tape_.kept) k.kept->version = version;
}

std::size_t Plan::kept_bytes() const {
  std::size_t bytes = 0;
  for (const KeptSlot& k : tape_.kept) bytes += k.kept->bytes;
  return bytes;
}

bool Plan::bind_addresses() {
  arena_.reserve(arena_bytes_);
  for (KeptSlot& k : tape_.kept) {
    if (!k.kept->memory.data()) k.kept->memory = DeviceBlock(tape_.options.backend, k.kept->bytes);
    k.slot->data = k.kept->memory.data();
  }
  if (bound_ == arena_.data()) return false;
  bound_ = arena_.data();
  for (Slot* slot : planned_) slot->data = bound_ + slot->lives[0].offset;
  for (Slot& slot : tape_.slots) {
    if (!slot.parameter) continue;
    const Parameter& p = *slot.parameter;
    slot.data = slot.kind == Kind::gradient   ? p.gradient.data
                : slot.dtype == p.value.dtype ? p.value.data
                                              : p.shadow.data;
  }
  return true;
}

void Plan::run() {
  bind();
  enqueue();
}

void Plan::enqueue() {
  if (tape_.options.mode == Mode::train) tape_.parameters.changed();  // running statistics
  run_steps(0, tape_.steps.size());
}

void Plan::run_forward() {
  bind();
  if (tape_.options.mode == Mode::train) tape_.parameters.changed();
  run_steps(0, tape_.forward_steps ? tape_.forward_steps : tape_.steps.size());
}

void Plan::run_steps(std::size_t begin, std::size_t end) {
  for (std::size_t i = begin; i < end; ++i) {
    run_beside(i);
    // Under fp16 gradients may overflow: the update is skipped, and the loss scale halved.
    const bool scaled = tape_.options.dtype == DType::f16 && i >= tape_.forward_steps;
    if (options_.check && !(scaled && tape_.in_backward)) check_step(tape_.steps[i]);
    if (options_.poison) poison_after(static_cast<int>(i));
  }
}

void Plan::run_step(std::size_t i) { run_on(i, stream_); }

void Plan::run_on(std::size_t i, Stream& stream) {
  for (const Move& move : moves_[i]) move.slot->data = bound_ + move.offset;
  tape_.steps[i].run(stream);
}

void Plan::run_beside(std::size_t i) {
  Device& home = device(stream_.backend);
  if (forks_[i]) {
    Stream side = home.side_stream();
    home.fork(stream_, side);
    run_on(i, side);
  } else {
    run_on(i, stream_);
  }
  if (!joins_[i]) return;
  Stream side = home.side_stream();
  home.join(stream_, side);
}

void Plan::check_step(const Step& step) {
  for (const Slot* slot : step.writes) {
    if (slot->kind == Kind::scratch) continue;
    const std::int64_t bad = count_nonfinite(*slot, stream_);
    if (bad > 0)
      throw Error(ExitCode::numeric, "nonfinite",
                  fmt::format("{}{}: {} of {} values of {} are not finite", step.path, step.op, bad,
                              slot->shape.count(), slot->name),
                  "the first such tensor of the step", "lower --lr or look at the input images");
  }
}

void Plan::poison_after(int step) {
  for (Slot* slot : planned_)
    for (const Life& life : slot->lives)
      if (life.last == step) poison(*slot, stream_);
}

}  // namespace fjord
