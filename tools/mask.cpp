// Classes as a label image.
#include "tools/mask.h"

#include <algorithm>

namespace fjord {

namespace {

bool is_plain(const LabelMap& map) {
  return map == LabelMap::binary(1) || map == LabelMap::binary(255) || map.threshold ||
         map == LabelMap::identity(map.classes);
}

}  // namespace

Image mask_of(const std::vector<std::uint8_t>& classes, int height, int width,
              const ModelRecord& record) {
  const bool plain = !record.labels || is_plain(*record.labels);
  if (!plain && !record.labels->colors.empty()) {
    Image mask = make_image(height, width, 3);
    const std::vector<std::uint32_t> colors = record.labels->colors_of_classes();
    auto pixels = mask.as<std::uint8_t>();
    for (std::size_t i = 0; i < classes.size(); ++i)
      for (std::size_t channel = 0; channel < 3; ++channel)
        pixels[3 * i + channel] =
            static_cast<std::uint8_t>(colors[classes[i]] >> (16 - 8 * channel) & 255);
    return mask;
  }
  std::vector<std::int64_t> values(256);
  for (std::size_t k = 0; k < values.size(); ++k) values[k] = static_cast<std::int64_t>(k);
  if (!plain) values = record.labels->values_of_classes();
  if (plain && record.model.classes == 1) values[1] = 255;
  const bool wide = !plain && *std::max_element(values.begin(), values.end()) > 255;
  Image mask = make_image(height, width, 1, wide ? DType::u16 : DType::u8);
  for (std::size_t i = 0; i < classes.size(); ++i)
    if (wide)
      mask.as<std::uint16_t>()[i] = static_cast<std::uint16_t>(values[classes[i]]);
    else
      mask.as<std::uint8_t>()[i] = static_cast<std::uint8_t>(values[classes[i]]);
  return mask;
}

}  // namespace fjord
