# An installed package that is too old.
if(NOT TARGET xsimd)
    add_library(xsimd INTERFACE IMPORTED)
endif()
