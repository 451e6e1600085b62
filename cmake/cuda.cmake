# Which implementation of csrc/kernels/cuda/device.h and launchers.h the library gets:
#   AUTO      CUDA for this machine's GPUs where nvcc and one that runs the kernels are found, else OFF
#   ON        CUDA for all targets, with the static runtime: the library loads and works where there is no driver
#   OFF       none: device="cuda" says that this build has no CUDA
#   EMULATED  the same kernels on the CPU, thread by thread (csrc/emulator): for tests of the whole engine, very slow
set(default AUTO)
if(DEFINED ENV{SECOUSTI_CUDA})  # the environment decides for builds whose options are hard to reach: pip install
    set(default "$ENV{SECOUSTI_CUDA}")
endif()
set(SECOUSTI_CUDA ${default} CACHE STRING "CUDA backend: AUTO, ON, OFF or EMULATED")
set_property(CACHE SECOUSTI_CUDA PROPERTY STRINGS AUTO ON OFF EMULATED)
if(NOT SECOUSTI_CUDA MATCHES "^(AUTO|ON|OFF|EMULATED)$")
    message(FATAL_ERROR "SECOUSTI_CUDA is '${SECOUSTI_CUDA}', expected AUTO, ON, OFF or EMULATED")
endif()

# The architectures of this machine's GPUs that run the kernels: 8.0 is the least.
function(secousti_find_gpus architectures)
    execute_process(COMMAND nvidia-smi --query-gpu=compute_cap --format=csv,noheader
        RESULT_VARIABLE failed OUTPUT_VARIABLE found ERROR_QUIET)
    set(list "")
    if(NOT failed)
        string(REGEX MATCHALL "[0-9]+\\.[0-9]+" capabilities "${found}")
        list(REMOVE_DUPLICATES capabilities)
        foreach(capability IN LISTS capabilities)
            if(capability VERSION_GREATER_EQUAL 8.0)
                string(REPLACE "." "" number ${capability})
                list(APPEND list ${number}-real)
            endif()
        endforeach()
        list(TRANSFORM list REPLACE "^90-" "90a-")
    endif()
    set(${architectures} ${list} PARENT_SCOPE)
endfunction()

# ON if this nvcc has C++20 and knows the architectures, else OFF: AUTO never fails a build.
function(secousti_check_nvcc backend architectures)
    set(${backend} OFF PARENT_SCOPE)
    execute_process(COMMAND "${CMAKE_CUDA_COMPILER}" --version OUTPUT_VARIABLE version ERROR_QUIET)
    execute_process(COMMAND "${CMAKE_CUDA_COMPILER}" --list-gpu-arch OUTPUT_VARIABLE known ERROR_QUIET)
    if(NOT version MATCHES "release ([0-9]+)" OR CMAKE_MATCH_1 LESS 12)
        message(STATUS "CUDA: nvcc is older than 12.0, which has C++20")
        return()
    endif()
    foreach(architecture IN LISTS architectures)
        string(REGEX MATCH "^[0-9]+" number "${architecture}")
        if(NOT known MATCHES "compute_${number}[^0-9]")
            message(STATUS "CUDA: nvcc does not know this machine's GPU, compute_${number}")
            return()
        endif()
    endforeach()
    set(${backend} ON PARENT_SCOPE)
endfunction()

set(SECOUSTI_CUDA_BACKEND ${SECOUSTI_CUDA})
# Machine code for the A100 and the H100, and PTX that a driver compiles for anything newer than the A100.
set(architectures 80 90a-real)
if(SECOUSTI_CUDA STREQUAL "AUTO")
    set(SECOUSTI_CUDA_BACKEND OFF)
    secousti_find_gpus(architectures)
    if(architectures)
        include(CheckLanguage)
        check_language(CUDA)
        if(CMAKE_CUDA_COMPILER)
            secousti_check_nvcc(SECOUSTI_CUDA_BACKEND "${architectures}")
        endif()
    endif()
endif()
if(SECOUSTI_CUDA_BACKEND STREQUAL "ON")
    if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
        set(CMAKE_CUDA_ARCHITECTURES ${architectures})
    endif()
    enable_language(CUDA)
    find_package(CUDAToolkit REQUIRED)
    if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 12)
        message(FATAL_ERROR "nvcc ${CMAKE_CUDA_COMPILER_VERSION} has no C++20: 12.0 does, or set SECOUSTI_CUDA=OFF")
    endif()
    set(CMAKE_CUDA_STANDARD 20)
    set(CMAKE_CUDA_STANDARD_REQUIRED ON)
    if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake 3.25.1, Debian 12's, does not know nvcc's
        set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
        set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
    endif()
endif()
if(SECOUSTI_CUDA_BACKEND STREQUAL "ON")
    message(STATUS "CUDA backend: ON, for ${CMAKE_CUDA_ARCHITECTURES}")
else()
    message(STATUS "CUDA backend: ${SECOUSTI_CUDA_BACKEND}")
endif()

# The device engine, csrc/cuda/*.cpp, is plain C++ over device.h and launchers.h. `secousti_device` is what it runs
# on. SECOUSTI_DEVICE names the object libraries that a program with secousti_objects needs: the registry, and where
# there is a backend the engine and the device.
function(secousti_add_device engine_sources)
    set(warnings
        $<$<COMPILE_LANG_AND_ID:CXX,GNU,Clang,AppleClang>:-Wall -Wextra -Wconversion -Wshadow>
        $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wno-restrict>
        $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<BOOL:${SECOUSTI_WERROR}>>:-Werror>)
    add_library(secousti_cuda_engine OBJECT EXCLUDE_FROM_ALL ${engine_sources})
    target_include_directories(secousti_cuda_engine PRIVATE csrc csrc/include)
    target_compile_options(secousti_cuda_engine PRIVATE ${warnings})
    secousti_add_engines(secousti_engines_cpu cpu)
    secousti_add_engines(secousti_engines_cuda cpu cuda)
    if(SECOUSTI_CUDA_BACKEND STREQUAL "OFF")
        set(SECOUSTI_DEVICE secousti_engines_cpu PARENT_SCOPE)
        return()
    endif()

    if(SECOUSTI_CUDA_BACKEND STREQUAL "EMULATED")
        set(SECOUSTI_DEVICE secousti_engines_cuda secousti_cuda_engine secousti_simt PARENT_SCOPE)
        return()
    endif()
    file(GLOB kernels CONFIGURE_DEPENDS csrc/kernels/cuda/*.cu)
    add_library(secousti_device OBJECT ${kernels})
    set_target_properties(secousti_device PROPERTIES CUDA_RUNTIME_LIBRARY Static)
    target_link_libraries(secousti_device PUBLIC CUDA::cudart_static)
    # No contraction of multiply and add, as on the CPU: one row gives the same bits in every kernel variant.
    target_compile_options(secousti_device PRIVATE
        $<$<COMPILE_LANGUAGE:CUDA>:--expt-relaxed-constexpr --fmad=false>)
    target_include_directories(secousti_device PRIVATE csrc csrc/include)
    target_compile_options(secousti_device PRIVATE ${warnings})
    set(SECOUSTI_DEVICE secousti_engines_cuda secousti_cuda_engine secousti_device PARENT_SCOPE)
endfunction()
