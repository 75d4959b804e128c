// Telling files of torch.save, and reading their tensors.
#include "engine/torch_file.h"

#include <algorithm>
#include <cstring>

#include "engine/torch_reader.h"
#include "engine/zip.h"
#include "kernels/error.h"

namespace fjord {

namespace {

// PROTO and a protocol's number. A safetensors header of 640 bytes begins with the same two (its
// length), and then has its '{' at byte 8, where no pickle of torch.save has one.
bool is_pickle(std::string_view head) {
  const bool safetensors = head.size() > 8 && head[8] == '{';
  return head.size() >= 2 && head[0] == '\x80' && static_cast<unsigned char>(head[1]) <= 5 &&
         !safetensors;
}

}  // namespace

bool is_torch_file(const FileBytes& file) {
  const std::string head = file.text(0, std::min<std::uint64_t>(file.size, 262));
  return head.starts_with("PK") || is_pickle(head) ||
         (head.size() == 262 && head.substr(257) == "ustar");
}

TorchFile::TorchFile(FileBytes file) : file_(std::move(file)) { TorchReader(*this).run(); }

namespace {

bool is_dense(const TensorEntry& tensor, const std::vector<std::int64_t>& strides) {
  std::int64_t expected = 1;
  for (std::size_t i = strides.size(); i-- > 0; expected *= tensor.shape[i])
    if (tensor.shape[i] != 1 && strides[i] != expected) return false;
  return true;
}

// Elements in C order, whatever their strides: an odometer over the shape.
void gather(const TensorEntry& tensor, const std::vector<std::int64_t>& strides,
            const std::byte* from, std::span<std::byte> into) {
  const std::size_t bytes = size_of(tensor.type), rank = tensor.shape.size();
  std::vector<std::int64_t> index(rank, 0);
  std::int64_t at = 0;
  for (std::size_t to = 0; to < into.size(); to += bytes) {
    std::memcpy(into.data() + to, from + at * static_cast<std::int64_t>(bytes), bytes);
    for (std::size_t i = rank; i-- > 0;) {
      at += strides[i];
      if (++index[i] < tensor.shape[i]) break;
      at -= strides[i] * tensor.shape[i];
      index[i] = 0;
    }
  }
}

}  // namespace

void TorchFile::read(const TensorEntry& tensor, std::span<std::byte> into) const {
  check(into.size() == tensor.bytes(), tensor.name, "read into {} bytes, it has {}", into.size(),
        tensor.bytes());
  if (into.empty()) return;  // its shape, strides and offset may be anything
  const Place& place = places_[static_cast<std::size_t>(&tensor - tensors_.data())];
  const ZipEntry entry{tensor.name, place.storage, place.bytes,
                       static_cast<std::uint32_t>(place.crc)};
  const bool checked = place.crc >= 0, dense = is_dense(tensor, place.strides);
  if (checked && dense && place.bytes == into.size()) return read_entry(file_, entry, into);
  if (checked) verify_entry(file_, entry);
  const std::uint64_t first =
      place.storage + static_cast<std::uint64_t>(place.offset) * size_of(tensor.type);
  if (dense) return file_.read(first, into);
  std::vector<std::byte> extent(place.extent(tensor.shape) * size_of(tensor.type));
  file_.read(first, extent);
  gather(tensor, place.strides, extent.data(), into);
}

std::uint64_t TorchFile::Place::extent(const std::vector<std::int64_t>& shape) const {
  std::int64_t last = 0;
  for (std::size_t i = 0; i < shape.size(); ++i) last += (shape[i] - 1) * strides[i];
  return static_cast<std::uint64_t>(last) + 1;
}

std::unique_ptr<TensorFile> open_torch_file(FileBytes file) {
  return std::make_unique<TorchFile>(std::move(file));
}

}  // namespace fjord
