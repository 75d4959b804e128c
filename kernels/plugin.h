// The CUDA backend as a shared library that is opened when it is asked for, so that other starts do
// not pay for it.
#pragma once

#include <filesystem>
#include <optional>

#include "kernels/device.h"

namespace fjord {

/// libfjord_cuda.so beside the running program or in ../lib; absent in a build without CUDA.
std::optional<std::filesystem::path> find_cuda_library();
/// Whether this machine has an NVIDIA driver at all.
bool has_cuda_driver();

/// Loads the library, fills the CUDA slots and enables the CUDA device; a second call does nothing.
/// Throws Error{device} saying what is missing (library, driver, card) or too old, and what to do.
void enable_cuda();
/// The same from a given library file.
void enable_cuda_from(const std::filesystem::path& library);

/// Fills the slots of convolutions alone, for recording: where there is no card they plan for a
/// described one. Needs no driver. False where there is no library, or it can't be opened.
bool describe_cuda();

/// What program and library must agree on: compiler and state of the headers that they share
/// (kernels/*.h). Made while building, by kernels/plugin_key.cmake; each carries its own.
const char* plugin_key();

/// The library's one door, named fjord_fill_cuda: copies its functions into the slots of the list
/// that starts at `first`, by name, and says which device runs them (null: see describe_cuda).
/// Null, or the one line of an Error's what, why and remedy, separated by '\n'.
using FillCuda = const char*(const char* key, AnyKernel* first, Device** device);

}  // namespace fjord
