# Compiler flags, and the functions that declare libraries, programs, tests and benchmarks.

add_library(dqueue_flags INTERFACE)
target_include_directories(dqueue_flags INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(dqueue_flags INTERFACE -Wall -Wextra -Wshadow -Wnon-virtual-dtor
                       -Woverloaded-virtual -Werror -fstack-protector-strong)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # g++ 12 reports these warnings wrongly for inlined library code.
  target_compile_options(dqueue_flags INTERFACE -Wno-error=maybe-uninitialized -Wno-error=restrict
                         -Wno-error=stringop-overflow -Wno-error=array-bounds -Wno-error=free-nonheap-object
                         -Wno-error=stringop-overread -Wno-error=dangling-pointer)
endif()
if(DQUEUE_SANITIZER)
  target_compile_options(dqueue_flags INTERFACE -fsanitize=${DQUEUE_SANITIZER} -fno-omit-frame-pointer
                         -fno-sanitize-recover=all)
  target_link_options(dqueue_flags INTERFACE -fsanitize=${DQUEUE_SANITIZER})
  if(DQUEUE_SANITIZER STREQUAL "thread")
    # Protobuf's headers use another object layout if __SANITIZE_THREAD__ is defined, and Debian's
    # library was built without it. So undefine it, and define what the standard library and the
    # tests need instead.
    add_compile_options(-U__SANITIZE_THREAD__ -D_GLIBCXX_TSAN=1 -DDQUEUE_TSAN=1)
  endif()
else()
  target_compile_options(dqueue_flags INTERFACE -fstack-clash-protection -fcf-protection)
  target_compile_definitions(dqueue_flags INTERFACE _GLIBCXX_ASSERTIONS
                             $<$<NOT:$<CONFIG:Debug>>:_FORTIFY_SOURCE=3>)
  target_link_options(dqueue_flags INTERFACE -Wl,-z,relro,-z,now,-z,noexecstack)
endif()
set(CMAKE_EXE_LINKER_FLAGS "${CMAKE_EXE_LINKER_FLAGS} -pie")

# refuse_fixtures(NAME SRCS … DEPS …): ends the configuration if the product target NAME contains a
# fixture or links fixtures.
function(refuse_fixtures name)
  cmake_parse_arguments(ARG "" "" "SRCS;DEPS" ${ARGN})
  foreach(src ${ARG_SRCS})
    if(src MATCHES "(^|/)testing/")
      message(FATAL_ERROR "${name} is a product target and contains the fixture ${src}")
    endif()
  endforeach()
  foreach(dep ${ARG_DEPS})
    if(TARGET ${dep})
      get_target_property(testing ${dep} DQUEUE_TESTING)
      if(testing)
        message(FATAL_ERROR "${name} is a product target and links the fixtures of ${dep}")
      endif()
    endif()
  endforeach()
endfunction()

# dq_library(NAME [MUTANTS] [TESTING] SRCS … DEPS …): a static library. MUTANTS adds the library
# NAME_mutants: the same sources with the deliberate bugs (mutants.h) compiled in. TESTING: fixtures,
# which only tests, benchmarks and the simulator link.
function(dq_library name)
  cmake_parse_arguments(ARG "MUTANTS;TESTING" "" "SRCS;DEPS" ${ARGN})
  if(NOT ARG_TESTING)
    refuse_fixtures(${name} SRCS ${ARG_SRCS} DEPS ${ARG_DEPS})
  endif()
  add_library(${name} STATIC ${ARG_SRCS})
  target_link_libraries(${name} PUBLIC ${ARG_DEPS} PRIVATE dqueue_flags)
  target_include_directories(${name} PUBLIC ${PROJECT_SOURCE_DIR})
  set_target_properties(${name} PROPERTIES DQUEUE_TESTING ${ARG_TESTING})
  if(ARG_MUTANTS)
    add_library(${name}_mutants STATIC ${ARG_SRCS})
    set(deps)
    foreach(dep ${ARG_DEPS})
      if(TARGET ${dep}_mutants)
        list(APPEND deps ${dep}_mutants)
      else()
        list(APPEND deps ${dep})
      endif()
    endforeach()
    target_link_libraries(${name}_mutants PUBLIC ${deps} PRIVATE dqueue_flags)
    target_include_directories(${name}_mutants PUBLIC ${PROJECT_SOURCE_DIR})
    target_compile_definitions(${name}_mutants PUBLIC DQUEUE_MUTANTS=1)
    set_target_properties(${name}_mutants PROPERTIES DQUEUE_TESTING TRUE)
  endif()
endfunction()

# dq_program(NAME [TESTING] SRCS … DEPS …): a program in bin/. TESTING: it links fixtures.
function(dq_program name)
  cmake_parse_arguments(ARG "TESTING" "" "SRCS;DEPS" ${ARGN})
  if(NOT ARG_TESTING)
    refuse_fixtures(${name} SRCS ${ARG_SRCS} DEPS ${ARG_DEPS})
  endif()
  add_executable(${name} ${ARG_SRCS})
  target_link_libraries(${name} PRIVATE ${JEMALLOC_LIBRARY} ${ARG_DEPS} dqueue_flags)
endfunction()

# dq_test(NAME SRCS … DEPS … [LABELS …] [TIMEOUT SECONDS]): a GoogleTest program and one CTest
# entry. Defaults: label unit, 300 seconds.
function(dq_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SRCS;DEPS;LABELS" ${ARGN})
  add_executable(${name} ${ARG_SRCS})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} GTest::gmock GTest::gtest GTest::gtest_main dqueue_flags)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  add_test(NAME ${name} COMMAND ${name})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  if(NOT ARG_LABELS)
    set(ARG_LABELS unit)
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}")
endfunction()

# dq_benchmark(NAME SRCS … DEPS …): a Google Benchmark program in bin/. CTest runs it briefly, to
# test that it works.
function(dq_benchmark name)
  cmake_parse_arguments(ARG "" "" "SRCS;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SRCS})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} benchmark::benchmark benchmark::benchmark_main dqueue_flags)
  add_test(NAME ${name} COMMAND ${name} --benchmark_min_time=0.01)
  set_tests_properties(${name} PROPERTIES TIMEOUT 300 LABELS benchmark
                       ENVIRONMENT "DQUEUE_BENCHMARK_JOBS=20000")
endfunction()
