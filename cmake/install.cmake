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
    ${CMAKE_CURRENT_BINARY_DIR}/secousti-config-version.cmake cmake/secousti_embed_model.cmake
    DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/secousti)

# For pkg-config. The folder is found from the file's own place, so that an installed tree can be moved; Debian's and
# others' multiarch folders make the number of steps back variable.
set(SECOUSTI_PC_FOLDER ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
file(RELATIVE_PATH steps "/${SECOUSTI_PC_FOLDER}" "/")
string(REGEX REPLACE "/$" "" steps "${steps}")
set(SECOUSTI_PC_PREFIX "\${pcfiledir}/${steps}")
list(JOIN CMAKE_CXX_IMPLICIT_LINK_LIBRARIES " -l" implicit)
string(REGEX MATCH "-lstdc\\+\\+|-lc\\+\\+" SECOUSTI_PC_PRIVATE_LIBS "-l${implicit}")
string(APPEND SECOUSTI_PC_PRIVATE_LIBS " -lm ${CMAKE_THREAD_LIBS_INIT}")
if(SECOUSTI_CUDA_BACKEND STREQUAL "ON")
    string(APPEND SECOUSTI_PC_PRIVATE_LIBS " -L${CUDAToolkit_LIBRARY_DIR} -lcudart_static -ldl -lrt")
endif()
set(SECOUSTI_PC_LIBS "")
if(NOT SECOUSTI_BUILD_SHARED)  # whoever links then links the static library
    set(SECOUSTI_PC_LIBS " ${SECOUSTI_PC_PRIVATE_LIBS}")
    set(SECOUSTI_PC_PRIVATE_LIBS "")
endif()
configure_file(cmake/secousti.pc.in ${CMAKE_CURRENT_BINARY_DIR}/secousti.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/secousti.pc DESTINATION ${SECOUSTI_PC_FOLDER})
