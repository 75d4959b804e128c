// What a raw batch becomes, by the CPU's kernels.
#include "engine/batch_source.h"

namespace fjord {

void augment_on_host(const RawImages& raw, const RawBatch& batch, Shape images, float* values,
                     std::uint8_t* labels) {
  // Kernels take mutable buffers for outputs and inputs alike; inputs are read only.
  const auto view = [](Shape s, DType type, const void* data) {
    return Buffer{"", s, type, const_cast<void*>(data)};
  };
  const Shape source{images.n, raw.source.h, raw.source.w, images.c}, bands{1, 1, 1, images.c};
  const Buffer pixels = view(source, raw.dtype, batch.pixels);
  const Buffer classes = view({source.n, source.h, source.w, 1}, DType::u8, batch.classes);
  const Buffer samples = view({1, 1, images.n, sizeof(AugmentSample)}, DType::u8, batch.samples);
  const Buffer scale = view(bands, DType::f32, raw.scale.data());
  const Buffer offset = view(bands, DType::f32, raw.offset.data());
  Buffer image = view(images, DType::f32, values);
  Buffer label = view({images.n, images.h, images.w, 1}, DType::u8, labels);
  Stream stream;
  augment_image({&pixels}, {&samples}, {&scale}, {&offset}, {&image}, raw.image, stream);
  augment_label({&classes}, {&samples}, {&label}, raw.label, stream);
}

}  // namespace fjord
