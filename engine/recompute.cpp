// Which forward steps are run again going backward, and when.
#include "engine/recompute.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "engine/multiply_adds.h"
#include "engine/plan_lifetime.h"

namespace fjord {

namespace {

constexpr double kLargestShare = 0.2;  // of the step's work
constexpr double kByte = 20;           // what moving one takes, in multiply-adds
// What is smaller is kept rather than made again for the sake of others: vectors, mostly.
constexpr std::size_t kSmall = 16 << 10;
constexpr int kNever = -1;

double work_of(const Step& step) {
  double bytes = 0;
  for (const auto& slots : {step.reads, step.writes})
    for (const Slot* slot : slots)
      if (slot->kind != Kind::scratch) bytes += static_cast<double>(slot->bytes());
  return static_cast<double>(multiply_adds(step)) + kByte * bytes;
}

/// What is known of a tensor that forward steps touch.
struct Made {
  int maker = kNever;  // the one step that writes it, where that can be run again
  int last_forward = kNever;
  int first_backward = kNever;  // in the order in hand
};

/// Steps that have to be run again together, and what that is worth.
struct Candidate {
  std::vector<int> steps;
  double work = 0;
  std::ptrdiff_t bytes = 0;  // given back where the peak is
  int turns = 0;             // for how long

  bool has(int step) const { return std::ranges::count(steps, step) > 0; }
  /// `patience`: how much it counts for how long the bytes are given back.
  double worth(int patience) const {
    return static_cast<double>(bytes) * std::pow(turns, patience) / std::max(work, 1.0);
  }
};

class Recompute {
 public:
  explicit Recompute(Tape& tape);
  void choose();
  void rewrite();

 private:
  using Writers = std::unordered_map<const Slot*, std::vector<int>>;
  void find_makers();
  bool can_run_again(int step, const Writers& writers) const;
  std::vector<Turn> order() const;
  void make_again(const Slot* slot, std::vector<Turn>& order, std::vector<bool>& made) const;
  int maker_of(const Slot* slot) const;
  Peak measure();
  Candidate candidate(int step) const;
  bool collect(int step, int turn, Candidate& candidate) const;
  bool take_best(int patience);
  void take(const Candidate& candidate, bool taken);
  void drop_useless();

  Tape& tape_;
  const int forward_;
  std::vector<double> work_;  // of each step
  double all_work_ = 0, again_work_ = 0;
  std::unordered_map<const Slot*, Made> made_;
  std::vector<bool> runnable_, again_, refused_;  // by forward step
  Peak peak_;
};

Recompute::Recompute(Tape& tape)
    : tape_(tape),
      forward_(static_cast<int>(tape.forward_steps)),
      runnable_(forward_),
      again_(forward_),
      refused_(forward_) {
  for (const Step& step : tape.steps) work_.push_back(work_of(step));
  for (const double work : work_) all_work_ += work;
  find_makers();
}

// A step can run again if nobody else writes what it writes, and what it reads stays as it was.
bool Recompute::can_run_again(int step, const Writers& writers) const {
  const auto its_own = [&](const Slot* slot) {
    return slot->kind == Kind::scratch ||
           (slot->kind == Kind::activation && in_arena(*slot) && writers.at(slot).size() == 1);
  };
  const auto unchanged = [&](const Slot* slot) {
    const auto found = writers.find(slot);
    return found == writers.end() || found->second.back() < step;
  };
  return std::ranges::all_of(tape_.steps[step].writes, its_own) &&
         std::ranges::all_of(tape_.steps[step].reads, unchanged);
}

void Recompute::find_makers() {
  Writers writers;
  for (int i = 0; i < static_cast<int>(tape_.steps.size()); ++i)
    if (!tape_.steps[i].again)
      for (const Slot* slot : tape_.steps[i].writes) writers[slot].push_back(i);
  for (int i = 0; i < forward_; ++i) {
    const Step& step = tape_.steps[i];
    runnable_[i] = can_run_again(i, writers);
    for (const auto& slots : {step.reads, step.writes})
      for (const Slot* slot : slots) made_[slot].last_forward = i;
    if (!runnable_[i]) continue;
    for (const Slot* slot : step.writes)
      if (slot->kind != Kind::scratch) made_[slot].maker = i;
  }
  // A deferred tensor's second pass is there in any case.
  for (const Step& step : tape_.steps)
    if (const int maker = step.again ? maker_of(step.writes[0]) : kNever; maker != kNever)
      work_[maker] = 0;
}

int Recompute::maker_of(const Slot* slot) const {
  const auto found = made_.find(slot);
  return found == made_.end() ? kNever : found->second.maker;
}

void Recompute::make_again(const Slot* slot, std::vector<Turn>& order,
                           std::vector<bool>& made) const {
  const int maker = maker_of(slot);
  if (maker == kNever || !again_[maker] || made[maker]) return;
  made[maker] = true;
  const Step& step = tape_.steps[maker];
  for (const Slot* read : step.reads) make_again(read, order, made);
  order.push_back({&step, true});
}

// Each chosen step is run again just before what it makes is read.
std::vector<Turn> Recompute::order() const {
  std::vector<Turn> order;
  std::vector<bool> made(forward_);
  for (int i = 0; i < static_cast<int>(tape_.steps.size()); ++i) {
    const Step& step = tape_.steps[i];
    if (step.again)
      if (const int maker = maker_of(step.writes[0]); maker != kNever && again_[maker]) {
        make_again(step.writes[0], order, made);  // in place of the pass
        continue;
      }
    if (i >= forward_)
      for (const Slot* slot : step.reads) make_again(slot, order, made);
    order.push_back({&step, step.again});
  }
  return order;
}

Peak Recompute::measure() {
  const std::vector<Turn> turns = order();
  const int count = static_cast<int>(turns.size());
  const std::vector<Slot*> slots = find_lives(tape_, turns);
  for (auto& [slot, made] : made_) made.first_backward = kNever;
  for (int i = count - 1; i >= forward_; --i)
    for (const auto& touched : {turns[i].step->reads, turns[i].step->writes})
      for (const Slot* slot : touched)
        if (const auto found = made_.find(slot); found != made_.end())
          found->second.first_backward = i;
  return find_peak(slots, count);
}

// Adds a step that has to run before that turn, and those that make what it reads and is gone by
// then.
bool Recompute::collect(int step, int turn, Candidate& candidate) const {
  if (again_[step] || candidate.has(step)) return true;
  candidate.steps.push_back(step);
  candidate.work += work_[step];
  if (again_work_ + candidate.work > kLargestShare * all_work_) return false;
  for (const Slot* slot : tape_.steps[step].reads) {
    if (!in_arena(*slot) || slot->kind == Kind::resident || alive(*slot, turn)) continue;
    if (const int maker = maker_of(slot); maker != kNever && slot->bytes() >= kSmall) {
      if (!collect(maker, turn, candidate)) return false;
    } else {
      candidate.bytes -= static_cast<std::ptrdiff_t>(planned_bytes(*slot));
    }
  }
  return true;
}

// Running that step again; worth nothing where that gives back nothing at the peak.
Candidate Recompute::candidate(int step) const {
  Candidate candidate;
  int turn = kNever;
  for (const Slot* slot : tape_.steps[step].writes) {
    if (slot->bytes() < kSmall || slot->kind == Kind::scratch) continue;
    const Made& made = made_.at(slot);
    if (made.first_backward == kNever) continue;
    if (made.first_backward <= peak_.step) return {};
    turn = turn == kNever ? made.first_backward : std::min(turn, made.first_backward);
    if (made.last_forward < peak_.step && alive(*slot, peak_.step))
      candidate.bytes += static_cast<std::ptrdiff_t>(planned_bytes(*slot));
  }
  if (candidate.bytes <= 0 || !collect(step, turn, candidate)) return {};
  candidate.turns = turn - peak_.step;
  return candidate;
}

void Recompute::take(const Candidate& candidate, bool taken) {
  for (const int step : candidate.steps) {
    again_[step] = taken;
    again_work_ += taken ? work_[step] : -work_[step];
  }
}

bool Recompute::take_best(int patience) {
  Candidate best;
  int of = kNever;
  for (int step = 0; step < forward_; ++step) {
    if (!runnable_[step] || again_[step] || refused_[step]) continue;
    Candidate next = candidate(step);
    if (next.bytes <= 0 || (of != kNever && next.worth(patience) <= best.worth(patience))) continue;
    best = std::move(next);
    of = step;
  }
  if (of == kNever) return false;
  take(best, true);
  const Peak peak = measure();
  if (peak.bytes <= peak_.bytes) {
    peak_ = peak;
    return true;
  }
  take(best, false);
  refused_[of] = true;
  measure();
  return true;
}

// What no longer counts for the peak, the most work first.
void Recompute::drop_useless() {
  std::vector<int> chosen;
  for (int step = 0; step < forward_; ++step)
    if (again_[step]) chosen.push_back(step);
  std::ranges::stable_sort(chosen, [&](int a, int b) { return work_[a] > work_[b]; });
  for (const int step : chosen) {
    const Candidate one{{step}};
    take(one, false);
    if (measure().bytes > peak_.bytes) take(one, true);
  }
  peak_ = measure();
}

// The lowest peak that one of three orders comes to.
void Recompute::choose() {
  std::vector<bool> lowest(forward_);
  Peak peak = measure();
  for (const int patience : {0, 1, 2}) {
    again_.assign(forward_, false);
    refused_.assign(forward_, false);
    again_work_ = 0;
    peak_ = measure();
    while (take_best(patience)) {
    }
    drop_useless();
    if (peak_.bytes < peak.bytes) peak = peak_, lowest = again_;
  }
  again_ = lowest;
  again_work_ = 0;
  for (int step = 0; step < forward_; ++step) again_work_ += again_[step] ? work_[step] : 0;
}

void Recompute::rewrite() {
  std::vector<Step> steps;
  std::vector<Pass> passes;
  for (const Turn& turn : order()) {
    steps.push_back(*turn.step);
    Step& step = steps.back();
    step.again = turn.again;
    if (!step.again) continue;
    for (const Slot* slot : step.writes)
      if (slot->kind != Kind::scratch && slot->bytes() >= kSmall) passes.push_back({slot, true});
  }
  std::erase_if(tape_.passes, [](const Pass& pass) { return pass.again; });
  tape_.passes.insert(tape_.passes.end(), passes.begin(), passes.end());
  tape_.recomputed_share = again_work_ / all_work_;
  tape_.steps = std::move(steps);
}

}  // namespace

void recompute_activations(Tape& tape) {
  Recompute recompute(tape);
  recompute.choose();
  recompute.rewrite();
}

}  // namespace fjord
