// Finding and opening the CUDA library.
#include "kernels/plugin.h"

#include <dlfcn.h>

#include <string>
#include <string_view>

namespace fjord {

namespace {

namespace fs = std::filesystem;

constexpr const char* kLibrary = "libfjord_cuda.so";
constexpr const char* kAsked = "--device cuda";
bool enabled = false;

// The rest of a line that the library gave: slug, why, remedy.
[[noreturn]] void throw_told(std::string_view told) {
  const auto take = [&told] {
    const std::size_t end = told.find('\n');
    const std::string_view part = told.substr(0, end);
    told.remove_prefix(end == std::string_view::npos ? told.size() : end + 1);
    return std::string(part);
  };
  const std::string slug = take(), why = take(), remedy = take();
  throw Error(ExitCode::device, slug, kAsked, why, remedy);
}

}  // namespace

std::optional<fs::path> find_cuda_library() {
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  if (error) return {};
  for (const char* folder : {".", "../lib"}) {
    const fs::path path = (program.parent_path() / folder / kLibrary).lexically_normal();
    if (fs::exists(path, error)) return path;
  }
  return {};
}

bool has_cuda_driver() {
  static const bool found = [] {
    // Never closed: the library that is opened next uses it.
    return ::dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL) != nullptr;
  }();
  return found;
}

void enable_cuda() {
  if (enabled) return;
  const auto library = find_cuda_library();
  if (!library)
    throw Error(ExitCode::device, "device-build", kAsked, "this build has no CUDA backend",
                "use --device cpu");
  if (!has_cuda_driver())
    throw Error(ExitCode::device, "device-driver", kAsked,
                "this machine has no NVIDIA driver (no libcuda.so.1)",
                "install the driver of the card, or use --device cpu");
  enable_cuda_from(*library);
}

void enable_cuda_from(const fs::path& library) {
  if (enabled) return;
  void* const handle = ::dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle)
    throw Error(ExitCode::device, "device-library", printable(library.string()),
                printable(::dlerror()),
                "install the CUDA libraries that it names, or use --device cpu");
  auto* const fill = reinterpret_cast<FillCuda*>(::dlsym(handle, "fjord_fill_cuda"));
  if (!fill)
    throw Error(ExitCode::device, "device-library", printable(library.string()),
                "it is no CUDA backend of this program", "install both from one build");
  Device* device = nullptr;
  if (const char* told = fill(plugin_key(), AnyKernel::first, &device)) throw_told(told);
  enable_device(Backend::cuda, *device);
  enabled = true;
}

bool describe_cuda() {
  const auto library = find_cuda_library();
  void* const handle = library ? ::dlopen(library->c_str(), RTLD_NOW | RTLD_LOCAL) : nullptr;
  if (!handle) return false;
  auto* const fill = reinterpret_cast<FillCuda*>(::dlsym(handle, "fjord_fill_cuda"));
  return fill && fill(plugin_key(), AnyKernel::first, nullptr) == nullptr;
}

}  // namespace fjord
