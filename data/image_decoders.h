// What the decoders share: one pair of functions a format, and the rules that hold for them all.
#pragma once

#include "data/image.h"
#include "data/image_source.h"

namespace fjord {

/// The format of the content; throws for empty files and for what is no image, naming what it is.
ImageFormat find_format(ByteSource& source);
/// Notes content of one format under another's extension.
void note_wrong_extension(const ByteSource& source, Image& image);

ImageInfo probe_png(ByteSource& source, const ReadOptions& options);
Image decode_png(ByteSource& source, const ReadOptions& options);
ImageInfo probe_jpeg(ByteSource& source, const ReadOptions& options);
Image decode_jpeg(ByteSource& source, const ReadOptions& options);
ImageInfo probe_tiff(ByteSource& source, const ReadOptions& options);
Image decode_tiff(ByteSource& source, const ReadOptions& options);
ImageInfo probe_pnm(ByteSource& source, const ReadOptions& options);
Image decode_pnm(ByteSource& source, const ReadOptions& options);
/// BMP, GIF, PSD and TGA by stb_image.
ImageInfo probe_other(ByteSource& source, ImageFormat format, const ReadOptions& options);
Image decode_other(ByteSource& source, ImageFormat format, const ReadOptions& options);

/// The budget, before anything is allocated: refuses empty and oversized images, naming the size.
void check_size(const ByteSource& source, std::int64_t width, std::int64_t height,
                std::int64_t bands, DType dtype, const ReadOptions& options);

/// The last band as alpha: dropped with a note when it is opaque everywhere, kept with keep_alpha,
/// an error otherwise.
void settle_alpha(const ByteSource& source, Image& image, const ReadOptions& options);

}  // namespace fjord
