# The distribution's libopencv-core-dev and libopencv-imgproc-dev carry no CMake package of their own
# (that is in libopencv-dev, which pulls in 700 MB), so the two libraries are found by name.
find_path(OpenCV_HEADERS opencv2/core.hpp PATH_SUFFIXES opencv4 REQUIRED)
add_library(fjord_opencv INTERFACE IMPORTED GLOBAL)
target_include_directories(fjord_opencv SYSTEM INTERFACE ${OpenCV_HEADERS})
foreach(module core imgproc)
  find_library(OpenCV_${module} opencv_${module} REQUIRED)
  target_link_libraries(fjord_opencv INTERFACE ${OpenCV_${module}})
endforeach()
