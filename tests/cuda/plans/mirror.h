// Values of a tensor on the card and here.
#pragma once

#include <cuda_runtime.h>

#include <cstring>
#include <vector>

#include "kernels/cuda/launch.h"

namespace fjord::cuda {

template <class T>
class Mirror {
 public:
  explicit Mirror(std::vector<T> values) : here(std::move(values)) {
    check_cuda(cudaMalloc(&data_, bytes()), "memory of a test");
    send();
  }
  ~Mirror() { cudaFree(data_); }
  Mirror(const Mirror&) = delete;

  void* data() const { return data_; }
  /// NaN in f32, bf16 and f16.
  void poison() { check_cuda(cudaMemset(data_, 0xFF, bytes()), "poison"); }
  void send() {
    check_cuda(cudaMemcpy(data_, here.data(), bytes(), cudaMemcpyHostToDevice), "operands");
  }
  void fetch() {
    check_cuda(cudaMemcpy(here.data(), data_, bytes(), cudaMemcpyDeviceToHost), "results");
  }

  std::vector<T> here;

 private:
  std::size_t bytes() const { return here.size() * sizeof(T); }
  void* data_ = nullptr;
};

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

}  // namespace fjord::cuda
