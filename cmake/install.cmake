# The development package: headers, static and shared library, and targets for find_package(secousti).
set(targets secousti_static)
if(SECOUSTI_BUILD_SHARED)
    list(APPEND targets secousti_shared)
endif()
install(TARGETS ${targets} EXPORT secousti-targets)
install(DIRECTORY csrc/include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT secousti-targets NAMESPACE secousti:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/secousti)

include(CMakePackageConfigHelpers)
configure_package_config_file(cmake/secousti-config.cmake.in ${CMAKE_CURRENT_BINARY_DIR}/secousti-config.cmake
    INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/secousti)
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/secousti-config-version.cmake
    COMPATIBILITY SameMajorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/secousti-config.cmake
    ${CMAKE_CURRENT_BINARY_DIR}/secousti-config-version.cmake
    DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/secousti)
