// The samples of a TIFF: strips and tiles, planes or not, gathered into H x W x C.
#pragma once

#include <cstddef>
#include <vector>

#include "data/tiff_layout.h"

namespace fjord {

/// Samples as stored, in the machine's byte order. Throws Error{dataset} for any block that is
/// short or damaged.
std::vector<std::byte> read_samples(TiffFile& file, const TiffLayout& layout);

}  // namespace fjord
