// Names of functions from the symbol tables of the loaded ELF files.
#include <cxxabi.h>
#include <dlfcn.h>
#include <elf.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>

#include "tests/cuda/emulation/findings.h"

namespace emulation {

namespace {

struct Symbol {
  std::uint64_t size = 0;
  std::string name;
};
using Symbols = std::map<std::uint64_t, Symbol>;  // by offset from the load address

Symbols read_symbols(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes(std::istreambuf_iterator<char>(file), {});
  Symbols symbols;
  if (bytes.size() < sizeof(Elf64_Ehdr)) return symbols;
  const auto* header = reinterpret_cast<const Elf64_Ehdr*>(bytes.data());
  const auto* sections = reinterpret_cast<const Elf64_Shdr*>(bytes.data() + header->e_shoff);
  for (int i = 0; i < header->e_shnum; ++i) {
    if (sections[i].sh_type != SHT_SYMTAB) continue;
    const char* names = bytes.data() + sections[sections[i].sh_link].sh_offset;
    const auto* first = reinterpret_cast<const Elf64_Sym*>(bytes.data() + sections[i].sh_offset);
    for (std::size_t k = 0; k < sections[i].sh_size / sizeof(Elf64_Sym); ++k)
      if (ELF64_ST_TYPE(first[k].st_info) == STT_FUNC)
        symbols[first[k].st_value] = {first[k].st_size, names + first[k].st_name};
  }
  return symbols;
}

std::string demangled(const std::string& name) {
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> text(
      abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status), std::free);
  return status == 0 ? text.get() : name;
}

void erase_all(std::string& text, const std::string& what) {
  for (auto at = text.find(what); at != std::string::npos; at = text.find(what))
    text.erase(at, what.size());
}

// "void fjord::(anonymous namespace)::scale<float>(float*)" -> "scale<float>".
std::string shortened(std::string text) {
  for (const char* noise : {"(anonymous namespace)::", "fjord::", "cuda::", "void "})
    erase_all(text, noise);
  int depth = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '<') ++depth;
    if (text[i] == '>') --depth;
    if (text[i] == '(' && depth == 0) return text.substr(0, i);
  }
  return text;
}

struct Place {
  std::string file, function;
  std::uint64_t offset = 0, into = 0;
};

Place place_of(const void* address) {
  static std::map<std::string, Symbols> files;
  Dl_info info{};
  if (!dladdr(address, &info) || !info.dli_fname) return {};
  const std::string path = info.dli_fname;
  auto [found, fresh] = files.try_emplace(path);
  if (fresh) found->second = read_symbols(path[0] == '/' ? path : "/proc/self/exe");
  const auto offset = static_cast<std::uint64_t>(static_cast<const char*>(address) -
                                                 static_cast<const char*>(info.dli_fbase));
  auto symbol = found->second.upper_bound(offset);
  if (symbol == found->second.begin()) return {path, "", offset, 0};
  --symbol;
  return {path, demangled(symbol->second.name), offset, offset - symbol->first};
}

}  // namespace

std::string function_name(const void* address) { return shortened(place_of(address).function); }

std::string source_line(const void* address) {
  static std::map<const void*, std::string> known;
  auto [line, fresh] = known.try_emplace(address);
  if (!fresh) return line->second;
  const Place place = place_of(address);
  std::array<char, 512> text{};
  // The call's own instruction, not the one it returns to.
  std::snprintf(text.data(), text.size(), "addr2line -s -e '%s' 0x%llx 2>/dev/null",
                place.file.c_str(), static_cast<unsigned long long>(place.offset - 1));
  std::string found;
  if (FILE* pipe = popen(text.data(), "r")) {
    if (std::fgets(text.data(), text.size(), pipe)) found = text.data();
    pclose(pipe);
  }
  found = found.substr(0, found.find_first_of(" \n"));
  if (found.empty() || found[0] == '?')
    found = shortened(place.function) + "+" + std::to_string(place.into);
  return line->second = found;
}

}  // namespace emulation
