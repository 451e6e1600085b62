# Which instruction sets are built, and with which flags. Every kernel source is compiled without contraction of
# multiply and add, so that results depend on the fused operations written in the code and not on the compiler.

set(SECOUSTI_ISAS "" CACHE STRING "Instruction sets built beside scalar, e.g. avx2|avx512; empty: all there are")

function(secousti_select_isas sources)
    if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
        set(isas scalar avx2 avx512 avx512vnni avx512bf16)
    elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64|ARM64)$")
        set(isas scalar neon)
    else()
        set(isas scalar)
    endif()
    if(SECOUSTI_ISAS)
        list(FILTER isas INCLUDE REGEX "^(scalar|${SECOUSTI_ISAS})$")
    endif()
    set(flags_avx2 -mavx2 -mfma -mf16c)
    set(flags_avx512 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mf16c)
    set(flags_avx512vnni ${flags_avx512} -mavx512vnni)
    set(flags_avx512bf16 ${flags_avx512vnni} -mavx512bf16)

    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
        # False alarms inside GCC's own avx512fintrin.h.
        list(APPEND flags_avx512 -Wno-maybe-uninitialized -Wno-uninitialized)
        list(APPEND flags_avx512vnni -Wno-maybe-uninitialized -Wno-uninitialized)
        list(APPEND flags_avx512bf16 -Wno-maybe-uninitialized -Wno-uninitialized)
    endif()

    set(selected ${${sources}})
    set(definitions)
    foreach(isa IN ITEMS scalar avx2 avx512 avx512vnni avx512bf16 neon)
        set(file "${CMAKE_CURRENT_SOURCE_DIR}/csrc/kernels/cpu/isa_${isa}.cpp")
        if(isa IN_LIST isas)
            set_source_files_properties("${file}" PROPERTIES COMPILE_OPTIONS "-ffp-contract=off;${flags_${isa}}")
            string(TOUPPER "SECOUSTI_HAVE_${isa}" definition)
            list(APPEND definitions ${definition})
        else()
            list(REMOVE_ITEM selected "${file}")
        endif()
    endforeach()
    set_source_files_properties("${CMAKE_CURRENT_SOURCE_DIR}/csrc/kernels/dispatch.cpp" PROPERTIES
        COMPILE_DEFINITIONS "${definitions}")
    set(${sources} ${selected} PARENT_SCOPE)
endfunction()
