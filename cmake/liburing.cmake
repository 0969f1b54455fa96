# SPDX-License-Identifier: ISC
#
# How liburing, which pkg-config has found as noria_liburing, gets into the libraries. Sets
#
#   noria_liburing_inside   its archive becomes a part of them, so that no program needs it to start
#   noria_liburing_why      otherwise: why not
#   noria_liburing_beside   otherwise: what to link

# The archive is of use only when its code can stand in a shared library: it is linked into one, whole.
function(noria_check_liburing_archive)
    file(WRITE "${CMAKE_BINARY_DIR}/CMakeFiles/liburing_archive.c"
        "struct io_uring;\n"
        "void io_uring_queue_exit(struct io_uring *ring);\n"
        "void noria_probe(struct io_uring *ring);\n"
        "void noria_probe(struct io_uring *ring) { io_uring_queue_exit(ring); }\n")
    try_compile(NORIA_LIBURING_ARCHIVE_IS_PIC
        "${CMAKE_BINARY_DIR}/CMakeFiles/liburing_archive" "${CMAKE_BINARY_DIR}/CMakeFiles/liburing_archive.c"
        COMPILE_DEFINITIONS -fPIC
        LINK_OPTIONS -shared LINKER:-z,text LINKER:--no-undefined
        LINK_LIBRARIES -Wl,--whole-archive "${NORIA_LIBURING_ARCHIVE}" -Wl,--no-whole-archive)
endfunction()

# noria_link_liburing(OBJECTS OUTPUT): links an object library with liburing into one object, and makes liburing's
# functions local to it.
function(noria_link_liburing objects output)
    # Not for link-time optimization, which would leave nothing to link yet.
    set_target_properties(${objects} PROPERTIES INTERPROCEDURAL_OPTIMIZATION OFF)
    target_compile_options(${objects} PRIVATE -fno-lto)
    # A custom command depends on a library in every generator, and not on objects.
    add_library(${objects}_archive STATIC EXCLUDE_FROM_ALL $<TARGET_OBJECTS:${objects}>)
    separate_arguments(flags UNIX_COMMAND "${CMAKE_C_FLAGS}")
    add_custom_command(OUTPUT "${output}"
        COMMAND "${CMAKE_C_COMPILER}" ${flags} -r -nostdlib -o "${output}"
            -Wl,--whole-archive "$<TARGET_FILE:${objects}_archive>" -Wl,--no-whole-archive "${NORIA_LIBURING_ARCHIVE}"
        COMMAND "${CMAKE_OBJCOPY}" --wildcard "--localize-symbol=io_uring_*" "--localize-symbol=__io_uring_*"
            "--localize-symbol=__uring_*" "${output}"
        DEPENDS ${objects}_archive "${NORIA_LIBURING_ARCHIVE}"
        COMMENT "Linking liburing into ${output}"
        VERBATIM)
    set_source_files_properties("${output}" PROPERTIES EXTERNAL_OBJECT ON GENERATED ON)
endfunction()

# Beside the library that pkg-config's answer has led to.
list(FILTER noria_liburing_LINK_LIBRARIES INCLUDE REGEX "/liburing\\.")
cmake_path(GET noria_liburing_LINK_LIBRARIES PARENT_PATH noria_liburing_dir)
find_file(NORIA_LIBURING_ARCHIVE liburing.a PATHS "${noria_liburing_dir}" NO_DEFAULT_PATH)
mark_as_advanced(NORIA_LIBURING_ARCHIVE)

set(noria_liburing_inside OFF)
set(noria_liburing_beside PkgConfig::noria_liburing)
if(NOT NORIA_LIBURING_STATIC)
    set(noria_liburing_why "NORIA_LIBURING_STATIC is off")
elseif(NOT NORIA_LIBURING_ARCHIVE)
    set(noria_liburing_why "there is no liburing.a in ${noria_liburing_dir}")
elseif(NOT CMAKE_OBJCOPY)
    set(noria_liburing_why "there is no objcopy to hide the names of liburing.a")
else()
    noria_check_liburing_archive()
    if(NORIA_LIBURING_ARCHIVE_IS_PIC)
        set(noria_liburing_inside ON)
        set(noria_liburing_beside "")
    else()
        set(noria_liburing_why "the code of ${NORIA_LIBURING_ARCHIVE} cannot stand in a shared library")
    endif()
endif()
