// The one header that knows whether a compiler builds for the device.
#pragma once

#ifdef __CUDACC__
#define FJORD_HD __host__ __device__ inline
#else
#define FJORD_HD inline __attribute__((always_inline))
#endif
