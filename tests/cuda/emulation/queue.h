// Work queued on streams and in graphs: who has to wait for whom, and a free order within that.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace emulation {

/// One kernel, copy, fill or mere meeting point.
struct Work {
  std::string what;
  std::function<void()> run;
  std::vector<std::shared_ptr<Work>> needs;
  bool queued = false, done = false;
};
using WorkPointer = std::shared_ptr<Work>;

/// Adds work whose `needs` are queued or done.
void enqueue(const WorkPointer& work);
/// Runs queued work in a random order that respects `needs`, until `work` is done.
void run_until(const WorkPointer& work);
/// Runs all of it, or one piece.
void run_all();
void run_one();

}  // namespace emulation
