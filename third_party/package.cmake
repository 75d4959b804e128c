# cmake --install: the libraries, their headers, the programs, and a package that other projects
# find by find_package(fjord). docs/library.md shows its use.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

add_library(fjord INTERFACE)
add_library(fjord::fjord ALIAS fjord)
foreach(layer kernels engine models data)
  if(TARGET fjord_${layer})
    target_link_libraries(fjord INTERFACE fjord_${layer})
    install(TARGETS fjord_${layer} EXPORT fjord-targets)
    install(DIRECTORY ${layer} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/fjord
            FILES_MATCHING PATTERN "*.h" PATTERN no_xxhash EXCLUDE)
  endif()
endforeach()
install(TARGETS fjord EXPORT fjord-targets)

foreach(program train evaluate predict inspect data bench import export)
  if(TARGET fjord-${program})
    install(TARGETS fjord-${program})
  endif()
endforeach()

set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/fjord)
if(TARGET fjord_cuda)
  install(TARGETS fjord_cuda LIBRARY DESTINATION lib)  # where programs look: ../lib
endif()
install(EXPORT fjord-targets NAMESPACE fjord:: DESTINATION ${package_folder})
configure_package_config_file(${PROJECT_SOURCE_DIR}/third_party/fjord-config.cmake.in
                              ${PROJECT_BINARY_DIR}/fjord-config.cmake
                              INSTALL_DESTINATION ${package_folder})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/fjord-config-version.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/fjord-config.cmake
              ${PROJECT_BINARY_DIR}/fjord-config-version.cmake
              third_party/opencv.cmake third_party/stb.cmake third_party/xxhash.cmake
        DESTINATION ${package_folder})
