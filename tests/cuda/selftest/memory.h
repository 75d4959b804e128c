// Memory of the emulated card for small tests, and the end of a test's work.
#pragma once

#include <string>
#include <vector>

#include "tests/cuda/emulation/block.h"
#include "tests/cuda/emulation/findings.h"
#include "tests/cuda/emulation/runtime.h"
#include "tests/cuda/emulation/watch.h"

namespace fjord::selftest {

template <class T>
class OnCard {
 public:
  explicit OnCard(const std::vector<T>& values) : count_(values.size()) {
    cudaMalloc(&data_, bytes());
    cudaMemcpy(data_, values.data(), bytes(), cudaMemcpyHostToDevice);
  }
  ~OnCard() { cudaFree(data_); }
  OnCard(const OnCard&) = delete;

  T* data() const { return data_; }
  std::size_t bytes() const { return count_ * sizeof(T); }
  /// Waits for the null stream.
  std::vector<T> values() const {
    std::vector<T> values(count_);
    cudaMemcpy(values.data(), data_, bytes(), cudaMemcpyDeviceToHost);
    return values;
  }

 private:
  std::size_t count_;
  T* data_ = nullptr;
};

template <class T>
std::vector<T> zeros(int count) {
  return std::vector<T>(static_cast<std::size_t>(count));
}

/// Waits for all work; what the emulation found since the last call.
inline std::vector<std::string> finish() {
  cudaDeviceSynchronize();
  return emulation::take_findings();
}

struct Watching {
  Watching() { emulation::watch::set_on(true); }
  ~Watching() { emulation::watch::set_on(false); }
};

}  // namespace fjord::selftest
