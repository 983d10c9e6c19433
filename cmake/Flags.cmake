# What every compilation and link of the project is told: the language, the
# warnings, the hardening, and the instruments that a preset asks for.
#
# These are options of the directory, not of a target, because an option that
# hangs on a target would be exported with the static library to its users.

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
# "[ 50%] Building ..." says enough; a build with nothing to do says nothing.
set_property(GLOBAL PROPERTY TARGET_MESSAGES OFF)

include(CheckPIESupported)
check_pie_supported(LANGUAGES C)

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "" FORCE)
endif()

# Warnings.  gcc and clang both know all of these.
add_compile_options(
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion
  -Wformat=2 -Wpointer-arith -Wundef -Wvla)
foreach(warning strict-prototypes missing-prototypes old-style-definition)
  add_compile_options($<$<COMPILE_LANGUAGE:C>:-W${warning}>)
endforeach()
if(KRAIT_WERROR)
  add_compile_options(-Werror)
endif()

# Hardening.  A fortified call hides from the sanitizers' interceptors and
# needs optimisation, so _FORTIFY_SOURCE is for plain optimised builds only.
add_compile_options(-fstack-protector-strong)
add_link_options(-Wl,-z,relro,-z,now)
if(NOT KRAIT_SANITIZE AND NOT KRAIT_COVERAGE)
  add_compile_options(
    "$<$<NOT:$<CONFIG:Debug>>:-U_FORTIFY_SOURCE;-D_FORTIFY_SOURCE=2>")
endif()

# clang leaves a sanitizer's symbols to the program that loads the library.
if(KRAIT_SANITIZE)
  add_compile_options(-fsanitize=${KRAIT_SANITIZE} -fno-omit-frame-pointer
                      -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${KRAIT_SANITIZE})
else()
  add_link_options($<$<STREQUAL:$<TARGET_PROPERTY:TYPE>,SHARED_LIBRARY>:-Wl,-z,defs>)
endif()

if(KRAIT_COVERAGE)
  add_compile_options(--coverage)
  add_link_options(--coverage)
endif()
