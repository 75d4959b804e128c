// Lifetimes become offsets in one arena; a training step replays the tape's steps.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "engine/tape.h"

namespace fjord {

/// Memory shared by the plans of one model (training, evaluation): they never run at once, so it is
/// as large as the largest of them. Pages are committed by the kernel when first touched.
class Arena {
 public:
  Arena() = default;
  Arena(const Arena&) = delete;
  ~Arena();

  void reserve(std::size_t bytes);
  std::byte* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }

 private:
  std::byte* data_ = nullptr;
  std::size_t bytes_ = 0;
};

struct PlanOptions {
  bool poison = false;  // overwrite memory with NaN when its planned life ends: proves lifetimes
  bool check = false;   // --check: each tensor its own memory, every float output scanned for NaN
};

class Plan {
 public:
  /// Lays the tape's tensors out in the arena. The parameters must be allocated.
  Plan(Tape& tape, Arena& arena, PlanOptions options = {});

  /// Runs every step in order, or the forward steps alone.
  void run();
  void run_forward();

  std::size_t arena_bytes() const { return arena_bytes_; }
  /// The largest sum of tensors alive at once: no plan can need less.
  std::size_t lower_bound_bytes() const { return lower_bound_bytes_; }
  /// A table: peak by kind, what was materialised, the largest tensors at the peak.
  std::string report() const;

 private:
  void lay_out();
  void bind();
  void run_steps(std::size_t begin, std::size_t end);
  void check_step(const Step& step) const;
  void poison_after(std::size_t step);

  Tape& tape_;
  Arena& arena_;
  const PlanOptions options_;
  Stream stream_;
  std::size_t arena_bytes_ = 0, lower_bound_bytes_ = 0;
  std::byte* bound_ = nullptr;
};

}  // namespace fjord
