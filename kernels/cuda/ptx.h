// The instructions that C++ has no words for, each in a small function. The tests compile kernels
// for the CPU with a header of the same name in this one's place.
//
// sm_75 has neither asynchronous copies nor these matrix instructions: copies are plain there, and
// the host must not choose kernels that multiply.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

namespace fjord {

/// The block's shared memory, aligned to 16 bytes; the launch says how much there is.
template <class T>
__device__ T* dynamic_shared() {
  extern __shared__ uint4 fjord_shared[];
  return reinterpret_cast<T*>(fjord_shared);
}

/// A structure of up to 16 bytes, aligned to its size, in one access.
template <class Whole>
__device__ Whole load_whole(const Whole* p) {
  return *p;
}
template <class Whole>
__device__ void store_whole(Whole* p, const Whole& value) {
  *p = value;
}

__device__ inline std::uint32_t shared_address(const void* shared) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(shared));
}

/// Copies 16 bytes (both addresses aligned to them) past the registers; wait before reading.
__device__ inline void cp_async16(void* shared, const void* global) {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared_address(shared)),
               "l"(__cvta_generic_to_global(global))
               : "memory");
#else
  *static_cast<uint4*>(shared) = *static_cast<const uint4*>(global);
#endif
}

/// Ends a group of copies of this thread.
__device__ inline void cp_async_commit() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

/// Waits until at most `groups_left` of this thread's latest groups are under way. A barrier is
/// needed before other threads read.
template <int groups_left>
__device__ void cp_async_wait() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(groups_left) : "memory");
#endif
}

/// Waits for all copies of this thread, committed or not.
__device__ inline void cp_async_wait_all() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_all;" ::: "memory");
#endif
}

/// Four 8 x 8 matrices of 16-bit values from shared memory. Lane 8 * m + r gives the address of row
/// r of matrix m (16 bytes); lane l receives values (l / 4, 2 * (l % 4) + {0, 1}) of each.
__device__ inline void ldmatrix_x4(std::uint32_t (&words)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
               : "r"(shared_address(row))
               : "memory");
}

/// The same, each matrix transposed.
__device__ inline void ldmatrix_x4_trans(std::uint32_t (&words)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
               : "r"(shared_address(row))
               : "memory");
}

/// sums (16 x 8, fp32) += a (16 x 16, row by row) * b (16 x 8, column by column), of bf16; operands
/// lie over the lanes as PTX's mma.m16n8k16 says. The last argument chooses the type.
__device__ inline void mma16816(float (&sums)[4], const std::uint32_t (&a)[4],
                                const std::uint32_t (&b)[2], __nv_bfloat16) {
#if __CUDA_ARCH__ >= 800
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  __trap();
#endif
}

/// The same of fp16.
__device__ inline void mma16816(float (&sums)[4], const std::uint32_t (&a)[4],
                                const std::uint32_t (&b)[2], __half) {
#if __CUDA_ARCH__ >= 800
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  __trap();
#endif
}

}  // namespace fjord
