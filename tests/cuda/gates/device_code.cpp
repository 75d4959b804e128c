// Reads kernels out of CUDA's ELF images.
#include "tests/cuda/gates/device_code.h"

#include <cxxabi.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <regex>
#include <stdexcept>
#include <string_view>

namespace fjord {

namespace {

// One image inside of the file. Offsets are checked, since the search for images may be misled.
class Image {
 public:
  Image(const std::string& file, std::size_t begin) : file_(file), begin_(begin) {}

  template <class T>
  T at(std::uint64_t offset) const {
    T value;
    std::memcpy(&value, range(offset, sizeof value), sizeof value);
    return value;
  }
  const char* range(std::uint64_t offset, std::uint64_t bytes) const {
    const std::uint64_t left = file_.size() - begin_;
    if (offset > left || bytes > left - offset) throw std::runtime_error("a CUDA image is cut off");
    return file_.data() + begin_ + offset;
  }
  std::string text(std::uint64_t offset) const {
    const char* begin = range(offset, 1);
    const void* end = std::memchr(begin, 0, file_.size() - begin_ - offset);
    if (!end) throw std::runtime_error("a name in a CUDA image has no end");
    return {begin, static_cast<const char*>(end)};
  }

 private:
  const std::string& file_;
  const std::size_t begin_;
};

struct Section {
  std::string name;
  std::uint64_t offset = 0, bytes = 0;
};

// The ELF-64 fields that are needed, by their offsets in the standard's structures.
std::vector<Section> sections_of(const Image& image) {
  const auto table = image.at<std::uint64_t>(40);
  const auto count = image.at<std::uint16_t>(60), names = image.at<std::uint16_t>(62);
  const auto field = [&](int section, int offset) {
    return image.at<std::uint64_t>(table + 64u * static_cast<unsigned>(section) +
                                   static_cast<unsigned>(offset));
  };
  std::vector<Section> sections;
  for (int i = 0; i < count; ++i) {
    const std::uint64_t name = field(i, 0) & 0xffffffff;  // and the type
    sections.push_back({image.text(field(names, 24) + name), field(i, 24), field(i, 32)});
  }
  return sections;
}

constexpr std::string_view kCode = ".text.", kShared = ".nv.shared.", kInfo = ".nv.info.";

// Records of .nv.info sections: a format, an attribute, a size, then the value.
template <class Visit>
void for_records(const Image& image, const Section& info, Visit visit) {
  constexpr std::uint8_t sized = 4;
  for (std::uint64_t at = info.offset; at + 4 <= info.offset + info.bytes;) {
    const auto format = image.at<std::uint8_t>(at), attribute = image.at<std::uint8_t>(at + 1);
    const auto size = image.at<std::uint16_t>(at + 2);
    at += 4;
    if (format != sized) continue;  // the value stood in place of the size
    visit(attribute, at, size);
    at += size;
  }
}

// The product of the three sizes of __launch_bounds__.
int threads_of(const Image& image, const Section& info) {
  constexpr std::uint8_t most_threads = 0x05;
  int threads = 0;
  for_records(image, info, [&](std::uint8_t attribute, std::uint64_t at, int size) {
    if (attribute == most_threads && size >= 12)
      threads = static_cast<int>(image.at<std::uint32_t>(at) * image.at<std::uint32_t>(at + 4) *
                                 image.at<std::uint32_t>(at + 8));
  });
  return threads;
}

struct SymbolFacts {
  int registers = 0, stack = 0;
};

// .nv.info itself holds a symbol and a value a record.
std::map<std::uint32_t, SymbolFacts> facts_of(const Image& image, const Section& info) {
  constexpr std::uint8_t frame_size = 0x11, least_stack = 0x12, register_count = 0x2f;
  std::map<std::uint32_t, SymbolFacts> facts;
  for_records(image, info, [&](std::uint8_t attribute, std::uint64_t at, int size) {
    if (size < 8) return;
    const auto symbol = image.at<std::uint32_t>(at);
    const int value = static_cast<int>(image.at<std::uint32_t>(at + 4));
    if (attribute == register_count) facts[symbol].registers = value;
    if (attribute == frame_size || attribute == least_stack)
      facts[symbol].stack = std::max(facts[symbol].stack, value);
  });
  return facts;
}

// Names of the symbols that .nv.info speaks of.
std::vector<std::string> symbols_of(const Image& image, const std::vector<Section>& sections) {
  std::vector<std::string> names;
  const auto find = [&](std::string_view name) -> const Section* {
    for (const Section& section : sections)
      if (section.name == name) return &section;
    return nullptr;
  };
  const Section *table = find(".symtab"), *text = find(".strtab");
  if (!table || !text) return names;
  for (std::uint64_t at = table->offset; at + 24 <= table->offset + table->bytes; at += 24)
    names.push_back(image.text(text->offset + image.at<std::uint32_t>(at)));
  return names;
}

// Of a kernel's section of shared memory: from sm_90 on it begins with what the system keeps, which
// limits_of() counts for every block.
std::uint64_t systems_share(int architecture) { return architecture >= 90 ? 1024 : 0; }

void read_image(const Image& image, std::vector<KernelCode>& kernels) {
  const int architecture = static_cast<int>((image.at<std::uint32_t>(48) >> 8) & 0xff);
  const std::vector<Section> sections = sections_of(image);
  const std::vector<std::string> symbols = symbols_of(image, sections);
  std::map<std::string, KernelCode> found;
  for (const Section& section : sections) {
    if (!section.name.starts_with(kCode)) continue;
    const std::string name = section.name.substr(kCode.size());
    const auto* code =
        reinterpret_cast<const unsigned char*>(image.range(section.offset, section.bytes));
    found[name] = {.name = short_name(name),
                   .architecture = architecture,
                   .counts = count_instructions(code, section.bytes)};
  }
  for (const Section& section : sections) {
    if (section.name == ".nv.info")
      for (const auto& [symbol, fact] : facts_of(image, section))
        if (symbol < symbols.size() && found.contains(symbols[symbol])) {
          KernelCode& kernel = found[symbols[symbol]];
          kernel.registers = fact.registers, kernel.stack = fact.stack;
        }
    const auto named = [&](std::string_view prefix) {
      return section.name.starts_with(prefix) ? found.find(section.name.substr(prefix.size()))
                                              : found.end();
    };
    if (const auto kernel = named(kShared); kernel != found.end())
      kernel->second.shared = section.bytes - std::min(section.bytes, systems_share(architecture));
    if (const auto kernel = named(kInfo); kernel != found.end())
      kernel->second.threads = threads_of(image, section);
  }
  for (auto& [name, kernel] : found) {
    if (kernel.registers == 0)
      throw std::runtime_error("nothing says how many registers " + kernel.name + " takes");
    kernels.push_back(std::move(kernel));
  }
}

}  // namespace

InstructionCounts count_instructions(const unsigned char* code, std::size_t bytes) {
  InstructionCounts counts;
  for (std::size_t at = 0; at + 16 <= bytes; at += 16) {
    std::uint64_t words[2];
    std::memcpy(words, code + at, sizeof words);
    // Nine bits name the instruction, three more the kind of its operands. The size of an access
    // stands in three bits of the second half: 6 is 16 bytes, larger ones are above.
    const bool wide = ((words[1] >> 9) & 7) == 6;
    ++counts.total;
    switch (words[0] & 0x1ff) {
      case 0x181:
        ++counts.loads, counts.loads128 += wide;
        break;
      case 0x186:
        ++counts.stores, counts.stores128 += wide;
        break;
      case 0x183:
      case 0x187:
        ++counts.local;
        break;
      case 0x03c:
        ++counts.tensor;
        break;
      case 0x1ae:
        ++counts.async;
        break;
      case 0x18e:  // up to sm_89, and integers
      case 0x1a8:
      case 0x1a3:  // floats from sm_90 on
      case 0x1a6:
        ++counts.atomic;
        break;
      default:
        break;
    }
  }
  return counts;
}

std::string short_name(const std::string& mangled) {
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> text(
      abi::__cxa_demangle(mangled.c_str(), nullptr, nullptr, &status), std::free);
  std::string name = status == 0 ? text.get() : mangled;
  static const std::regex noise(
      R"(^void |fjord::(cuda::)?|_GLOBAL__N__\w+::|\(anonymous namespace\)::)");
  name = std::regex_replace(name, noise, "");
  static const std::regex literals(R"(\((bool|int|unsigned int|long|unsigned long)\))");
  name = std::regex_replace(name, literals, "");
  // The arguments begin at the first bracket that no template argument encloses.
  int depth = 0;
  for (std::size_t i = 0; i < name.size(); ++i) {
    if (name[i] == '<') ++depth;
    if (name[i] == '>') --depth;
    if (name[i] == '(' && depth == 0) return name.substr(0, i);
  }
  return name;
}

std::vector<KernelCode> read_device_code(const std::string& file) {
  std::ifstream stream(file, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(stream), {}};
  if (!stream.good() && bytes.empty()) throw std::runtime_error("cannot read " + file);
  constexpr std::string_view magic(
      "\x7f"
      "ELF\x02\x01",
      6);
  constexpr std::uint16_t cuda = 190;
  std::vector<KernelCode> kernels;
  for (std::size_t at = bytes.find(magic); at != std::string::npos;
       at = bytes.find(magic, at + 1)) {
    const Image image(bytes, at);
    if (bytes.size() - at >= 64 && image.at<std::uint16_t>(18) == cuda) read_image(image, kernels);
  }
  std::sort(kernels.begin(), kernels.end(), [](const KernelCode& a, const KernelCode& b) {
    return std::tie(a.name, a.architecture) < std::tie(b.name, b.architecture);
  });
  return kernels;
}

}  // namespace fjord
