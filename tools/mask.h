// Classes as the label image that a data set's own labels look like.
#pragma once

#include <cstdint>
#include <vector>

#include "data/image.h"
#include "tools/model_record.h"

namespace fjord {

/// Binary: 0/255. Several classes: the values (or colours) that the model's label map was trained
/// on, else the class numbers.
Image mask_of(const std::vector<std::uint8_t>& classes, int height, int width,
              const ModelRecord& record);

}  // namespace fjord
