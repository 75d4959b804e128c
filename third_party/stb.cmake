# stb_image, compiled by the distribution; the headers say #include <stb/stb_image.h>.
find_path(stb_HEADERS stb/stb_image.h REQUIRED)
find_library(stb_LIBRARY stb REQUIRED)
add_library(fjord_stb INTERFACE IMPORTED GLOBAL)
target_include_directories(fjord_stb SYSTEM INTERFACE ${stb_HEADERS})
target_link_libraries(fjord_stb INTERFACE ${stb_LIBRARY})
