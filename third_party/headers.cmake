# For FJORD_BARE: libraries that are headers alone, from FJORD_HEADERS or where the system has them.
# FJORD_HEADERS holds fmt/, nlohmann/, CLI/, doctest/ and, if model files' hashes are to be checked,
# xxhash.h, itself or in include/, or each in a folder of its own as its archive unpacks
# (fmt/include/fmt, json/include/nlohmann, ...).
set(FJORD_HEADERS "" CACHE PATH "folder of header-only libraries")

# fjord_headers(target file [instead]): an interface target for the library that has this header; a
# folder with one that stands in for it where it is absent.
function(fjord_headers target file)
  string(MAKE_C_IDENTIFIER HEADER_${target} found)
  file(GLOB unpacked LIST_DIRECTORIES true ${FJORD_HEADERS}/*)
  find_path(${found} ${file} HINTS ${FJORD_HEADERS} ${unpacked} PATH_SUFFIXES include single_include)
  if(NOT ${found} AND ARGC GREATER 2)
    set(${found} ${ARGV2})
  endif()
  if(NOT ${found})
    message(FATAL_ERROR "FJORD_BARE needs ${file}: give its folder by -DFJORD_HEADERS=DIR")
  endif()
  message(STATUS "${file}: ${${found}}")
  add_library(${target} INTERFACE IMPORTED GLOBAL)
  target_include_directories(${target} SYSTEM INTERFACE ${${found}})
endfunction()

fjord_headers(fmt::fmt fmt/format.h)
target_compile_definitions(fmt::fmt INTERFACE FMT_HEADER_ONLY)
fjord_headers(nlohmann_json::nlohmann_json nlohmann/json.hpp)
fjord_headers(CLI11::CLI11 CLI/CLI.hpp)
fjord_headers(doctest::doctest doctest/doctest.h)
fjord_headers(xxhash xxhash.h ${PROJECT_SOURCE_DIR}/engine/no_xxhash)
target_compile_definitions(xxhash INTERFACE XXH_INLINE_ALL)
