#pragma once

/// \file
/// Caches of keys and values, and attention over them.

#include <heed/attention/caches/cached_attention.hpp>
#include <heed/attention/caches/kv_cache.hpp>
#include <heed/attention/caches/kv_cache_options.hpp>
