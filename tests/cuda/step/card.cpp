// Machines without a driver, without a card, with an old one.
#include <doctest/doctest.h>

#include "kernels/cuda/backend.h"
#include "kernels/cuda/device.h"
#include "tests/cuda/emulation/runtime.h"

using namespace fjord;

namespace {

template <class F>
std::string refusal(F start) {
  try {
    start();
  } catch (const Error& error) {
    CHECK(error.exit == ExitCode::device);
    return error.what();
  }
  return "accepted";
}

}  // namespace

TEST_CASE("no driver, no card, a card that is too old: exit 6, and what to do") {
  emulation::Card& card = emulation::card();
  const emulation::Card whole = card;
  emulation::set_driver_status(cudaErrorInsufficientDriver);
  CHECK(refusal([] { cuda_device(); }) ==
        "error[E-device-driver] CUDA - the NVIDIA driver is missing or older than this build needs "
        "- update the driver, or use --device cpu");
  emulation::set_driver_status(cudaErrorNoDevice);
  CHECK(refusal([] { cuda_device(); }) ==
        "error[E-device-card] CUDA - the driver shows no card - check CUDA_VISIBLE_DEVICES and "
        "nvidia-smi, or use --device cpu");
  emulation::set_driver_status(cudaSuccess);
  card.major = 7;
  card.minor = 0;
  CHECK(refusal([] { cuda_device(); }) ==
        "error[E-device-card] emulated card - it is sm_70, and kernels are built from sm_75 - use "
        "--device cpu");
  card = whole;
}

TEST_CASE("a card that this build holds no code for: named, with the way to build for it") {
  emulation::Card& card = emulation::card();
  const emulation::Card whole = card;
  for (const cudaError_t answer :
       {cudaErrorNoKernelImageForDevice, cudaErrorInvalidDeviceFunction}) {
    card.code = answer;
    card.minor = 5, card.major = 7;
    CHECK(refusal([] { enable_cuda_kernels(); }) ==
          "error[E-device-code] emulated card (sm_75) - this build holds code for sm_90, and none "
          "that this card can run - build with cmake -DFJORD_CUDA_ARCHITECTURES=75, or use "
          "--device cpu");
    card = whole;
  }
  CHECK(refusal([] { enable_cuda_kernels(); }) == "accepted");
}
