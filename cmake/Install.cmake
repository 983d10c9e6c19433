# What is installed: the program and its manual page, the library in both
# forms, the public headers, and the two ways by which a build finds them,
# krait.pc and KraitConfig.cmake.

include(CMakePackageConfigHelpers)

install(TARGETS krait_static krait_shared EXPORT KraitTargets
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
        FILES_MATCHING PATTERN "*.h")
if(TARGET krait)
  install(TARGETS krait RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
foreach(section 1 3 7)
  file(GLOB pages CONFIGURE_DEPENDS man/*.${section})
  if(pages)
    install(FILES ${pages} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
  endif()
endforeach()

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/Krait)
install(EXPORT KraitTargets NAMESPACE Krait:: DESTINATION ${package_dir})
configure_package_config_file(cmake/KraitConfig.cmake.in KraitConfig.cmake
                              INSTALL_DESTINATION ${package_dir})
# Before 1.0 a minor version may break what the one before it promised.
write_basic_package_version_file(KraitConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/KraitConfig.cmake
              ${CMAKE_CURRENT_BINARY_DIR}/KraitConfigVersion.cmake
        DESTINATION ${package_dir})

# What libkrait.a needs. No Requires.private: for that, pkg-config would want
# liburing.pc of those too who link the shared library.
set(libs_private -pthread)
if(KRAIT_URING)
  list(TRANSFORM liburing_LIBRARIES PREPEND -l OUTPUT_VARIABLE uring_flags)
  list(APPEND libs_private ${uring_flags})
endif()
list(JOIN libs_private " " libs_private)

# krait.pc names the prefix, which `cmake --install --prefix` may still change:
# so it is written when the rest is installed, not when it is configured.
set(pc_template ${CMAKE_CURRENT_SOURCE_DIR}/krait.pc.in)
set(pc_file ${CMAKE_CURRENT_BINARY_DIR}/krait.pc)
install(CODE "
  set(prefix \"\${CMAKE_INSTALL_PREFIX}\")
  set(libdir \"${CMAKE_INSTALL_LIBDIR}\")
  set(includedir \"${CMAKE_INSTALL_INCLUDEDIR}\")
  foreach(dir libdir includedir)
    if(NOT IS_ABSOLUTE \"\${\${dir}}\")
      set(\${dir} \"\\\${prefix}/\${\${dir}}\")
    endif()
  endforeach()
  set(description \"${PROJECT_DESCRIPTION}\")
  set(version \"${PROJECT_VERSION}\")
  set(libs_private \"${libs_private}\")
  configure_file(\"${pc_template}\" \"${pc_file}\" @ONLY)
")
install(FILES ${pc_file} DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
