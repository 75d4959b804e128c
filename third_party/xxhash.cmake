# xxHash: older distributions ship no CMake package of it.
find_path(xxhash_HEADERS xxhash.h REQUIRED)
find_library(xxhash_LIBRARY xxhash REQUIRED)
add_library(fjord_xxhash INTERFACE IMPORTED GLOBAL)
target_include_directories(fjord_xxhash SYSTEM INTERFACE ${xxhash_HEADERS})
target_link_libraries(fjord_xxhash INTERFACE ${xxhash_LIBRARY})
