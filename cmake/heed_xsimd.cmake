# heed::xsimd: the headers of the xsimd that find_package found, and nothing else of it. Its own
# target asks, as some distributions build it, for a library (xtl) that they do not install with it.

add_library(heed::xsimd INTERFACE IMPORTED GLOBAL)
get_target_property(heed_xsimd_headers xsimd INTERFACE_INCLUDE_DIRECTORIES)
set_target_properties(heed::xsimd PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${heed_xsimd_headers}")
unset(heed_xsimd_headers)
