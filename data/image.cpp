// The image value itself: shape, memory, names of formats.
#include "data/image.h"

#include "kernels/error.h"

namespace fjord {

std::string_view to_string(ImageFormat format) {
  switch (format) {
    case ImageFormat::png:
      return "PNG";
    case ImageFormat::jpeg:
      return "JPEG";
    case ImageFormat::tiff:
      return "TIFF";
    case ImageFormat::bmp:
      return "BMP";
    case ImageFormat::gif:
      return "GIF";
    case ImageFormat::psd:
      return "PSD";
    case ImageFormat::pnm:
      return "PNM";
    case ImageFormat::tga:
      return "TGA";
  }
  return "?";
}

Image make_image(int height, int width, int bands, DType dtype) {
  Image image;
  image.height = height;
  image.width = width;
  image.bands = bands;
  image.dtype = dtype;
  image.pixels.resize(static_cast<std::size_t>(image.count()) * size_of(dtype));
  return image;
}

double Image::value(int y, int x, int band) const {
  const std::size_t at = (static_cast<std::size_t>(y) * static_cast<std::size_t>(width) +
                          static_cast<std::size_t>(x)) *
                             static_cast<std::size_t>(bands) +
                         static_cast<std::size_t>(band);
  switch (dtype) {
    case DType::u8:
      return as<std::uint8_t>()[at];
    case DType::u16:
      return as<std::uint16_t>()[at];
    case DType::i32:
      return as<std::int32_t>()[at];
    case DType::f32:
      return as<float>()[at];
    default:
      throw Error(ExitCode::bug, "image-dtype", "an image holds u8, u16, i32 or f32",
                  "another type was stored", "report this with the command that showed it");
  }
}

}  // namespace fjord
