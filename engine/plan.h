// Lifetimes become offsets in one arena; a training step replays the tape's steps.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "engine/arena.h"
#include "engine/plan_lifetime.h"
#include "engine/tape.h"

namespace fjord {

struct PlanOptions {
  bool poison = false;  // overwrite memory with NaN when its planned life ends: proves lifetimes
  bool check = false;   // --check: each tensor its own memory, every float output scanned for NaN
};

class Plan {
 public:
  /// Lays the tape's tensors out for the arena; both must outlive the plan. The parameters must be
  /// allocated.
  Plan(Tape& tape, Arena& arena, PlanOptions options = {});

  /// Has the arena grow where it must, and gives every tensor its address, so that inputs can be
  /// filled. Done by run() as well; needed again after another plan of the same arena made it grow,
  /// when inputs must be refilled. True when addresses have changed.
  bool bind();
  /// Runs every step in order, or the forward steps alone. With PlanOptions::check throws
  /// Error{numeric} at the first value that is not finite.
  void run();
  void run_forward();
  /// Queues one step of the tape by itself, for a plan that is bound.
  void run_step(std::size_t i);
  /// Queues every step, for a plan that is bound: what a Replay records.
  void enqueue();
  /// Whether enqueue() only queues work: not where values are looked at between steps.
  bool replayable() const { return !options_.check; }

  std::size_t arena_bytes() const { return arena_bytes_; }
  /// What inference keeps of the weights, perhaps shared with other plans.
  std::size_t kept_bytes() const;
  /// The largest sum of tensors alive at once: no plan can need less.
  std::size_t lower_bound_bytes() const { return peak_.bytes; }
  /// A table: peak by kind, the largest tensors at the peak, which deferred tensors were given
  /// memory and which tensors are made again going backward.
  std::string report() const;

 private:
  struct Move {
    Slot* slot = nullptr;
    std::size_t offset = 0;
  };
  void find_lifetimes();
  void find_overlaps();
  void lay_out();
  void find_moves();
  bool bind_addresses();
  void make_kept();
  void run_steps(std::size_t begin, std::size_t end);
  void run_on(std::size_t i, Stream& stream);
  void run_beside(std::size_t i);
  void check_step(const Step& step);
  void poison_after(int step);

  Tape& tape_;
  Arena& arena_;
  const PlanOptions options_;
  Stream stream_;
  std::vector<Slot*> planned_;
  std::size_t arena_bytes_ = 0;
  Peak peak_;
  std::vector<std::vector<Move>> moves_;  // by step
  std::vector<bool> forks_, joins_;  // by step: runs on the side stream; after it that one is met
  std::byte* bound_ = nullptr;
};

}  // namespace fjord
