// The door through which a program takes this library's kernels.
#include <cstring>
#include <string>

#include "kernels/cuda/backend.h"
#include "kernels/cuda/device.h"
#include "kernels/plugin.h"

namespace {

using namespace fjord;

const char* told(const std::string& slug, const std::string& why, const std::string& remedy) {
  static std::string line;
  line = slug + "\n" + why + "\n" + remedy;
  return line.c_str();
}

AnyKernel* own_slot(const char* name) {
  for (AnyKernel* own = AnyKernel::first; own; own = own->next)
    if (std::strcmp(own->name, name) == 0) return own;
  return nullptr;
}

// Without what the program says itself ("error[E-slug] what - why - remedy").
const char* told(const Error& error) {
  std::string line = error.what();
  line.erase(0, line.find("] ") + 2);
  const std::size_t end = line.rfind(" - ");
  return told(error.slug, line.substr(0, end), line.substr(end + 3));
}

}  // namespace

extern "C" __attribute__((visibility("default"))) const char* fjord_fill_cuda(const char* key,
                                                                              AnyKernel* first,
                                                                              Device** device) {
  if (std::strcmp(key, plugin_key()) != 0)
    return told("device-library", "its CUDA backend is of another build", "install both from one");
  try {
    if (device) {
      *device = &cuda_device();
      enable_cuda_kernels();
    } else {
      cuda::fill_conv();
    }
  } catch (const Error& error) {
    return told(error);
  } catch (const std::exception& error) {
    return told("device", error.what(), "use --device cpu");
  }
  for (AnyKernel* slot = first; slot; slot = slot->next) {
    const AnyKernel* own = own_slot(slot->name);
    if (own && !slot->take_cuda(*own))
      return told("device-library", "its CUDA backend is of another build",
                  "install both from one");
  }
  return nullptr;
}
