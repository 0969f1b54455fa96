# SPDX-License-Identifier: ISC
#
# Libraries beside noria's own, which they are linked with: that of net/tls/, and that of net/names/. A program that uses
# neither links neither.
#
# noria_library_beside(PART) makes noria_PART_shared beside noria_shared, noria_PART_static beside noria_static, and
# noria_PART_simulated beside noria_simulated, of noria_PART_sources. They are compiled with noria_PART_definitions and
# linked with noria_PART_stands_on. Stores their names in noria_PART_libraries.

function(noria_compile_beside part name)
    noria_compile(${name} ${noria_${part}_sources})
    target_link_libraries(${name} PRIVATE ${noria_${part}_stands_on})
    target_compile_definitions(${name} PRIVATE ${noria_${part}_definitions} ${ARGN})
endfunction()

function(noria_library_beside part)
    set(variants shared static)
    noria_compile_beside(${part} noria_${part}_objects)
    add_library(noria_${part}_shared SHARED $<TARGET_OBJECTS:noria_${part}_objects>)
    add_library(noria_${part}_static STATIC $<TARGET_OBJECTS:noria_${part}_objects>)
    target_link_options(noria_${part}_shared PRIVATE "LINKER:--version-script=${noria_map}")
    if(NORIA_SANITIZE)
        target_link_options(noria_${part}_shared PRIVATE -fsanitize=${NORIA_SANITIZE})
    else()
        target_link_options(noria_${part}_shared PRIVATE LINKER:--no-undefined)
    endif()
    set_target_properties(noria_${part}_shared PROPERTIES
        VERSION "${PROJECT_VERSION}" SOVERSION "${noria_abi}" LINK_DEPENDS "${noria_map}")
    if(NORIA_SIMULATED)
        list(APPEND variants simulated)
        noria_compile_beside(${part} noria_${part}_simulated_objects NORIA_SIMULATED=1)
        add_library(noria_${part}_simulated STATIC $<TARGET_OBJECTS:noria_${part}_simulated_objects>)
    endif()
    foreach(variant IN LISTS variants)
        set(library noria_${part}_${variant})
        target_link_libraries(${library} PUBLIC noria_${variant} PRIVATE ${noria_${part}_stands_on})
        set_target_properties(${library} PROPERTIES
            OUTPUT_NAME noria-${part} EXPORT_NAME ${part}_${variant} LINKER_LANGUAGE C)
        if(NOT NORIA_INSTALL)
            set_target_properties(${library} PROPERTIES EXCLUDE_FROM_ALL ON)
        endif()
        add_library(noria::${part}_${variant} ALIAS ${library})
        list(APPEND libraries ${library})
    endforeach()
    if(NORIA_SIMULATED)
        set_target_properties(noria_${part}_simulated PROPERTIES OUTPUT_NAME noria-${part}-simulated)
    endif()
    add_library(noria::${part} ALIAS noria_${part}_${noria_default})
    set(noria_${part}_libraries ${libraries} PARENT_SCOPE)
endfunction()
