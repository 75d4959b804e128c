// The progress line: in place on a terminal, plain lines every few seconds elsewhere.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace fjord {

/// What the line says. Rates and rests are worked out from the steps.
struct ProgressState {
  std::int64_t epoch = 0, epochs = 0;  // epochs 0: open end
  std::int64_t step = 0, steps = 0;    // of the epoch
  double loss = 0, images_per_s = 0;
  double remaining_seconds = -1;  // below 0: unknown
  double memory_mib = 0;
};

/// One line of at most `columns` characters; parts that do not fit are left out, last ones first.
std::string progress_text(const ProgressState& state, int columns);
std::string duration_text(double seconds);

class ProgressLine {
 public:
  ProgressLine();
  /// Shows the state when the last was long enough ago.
  void show(const ProgressState& state);
  /// Removes the line from a terminal.
  void clear();

 private:
  bool in_place_ = false;  // stderr is a terminal that can move its cursor
  std::chrono::steady_clock::time_point last_;
};

/// Resident memory of this process now and at its peak, in MiB.
double resident_mib();
double peak_resident_mib();

}  // namespace fjord
