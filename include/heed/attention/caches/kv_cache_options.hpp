#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string_view>

#include <heed/attention/masks/sliding_window.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/shape.hpp>

/// \file
/// What a cache is made for.

namespace heed::inline HEED_ARCHITECTURE {

/// What the scales of a cache of std::int8_t are for.
enum class key_scaling {
    per_key,     ///< a scale a key
    per_channel  ///< and from the 33rd key on a factor a channel, by the keys before
};
inline constexpr key_scaling per_key = key_scaling::per_key;
inline constexpr key_scaling per_channel = key_scaling::per_channel;

/// How products with a cache of std::int8_t are computed.
enum class cache_arithmetic {
    floats,  ///< each number becomes the float that it stands for
    /// Exact sums of integers, which are faster: q and weights are rounded too, to 16 bits. A row
    /// of q becomes multiples of its largest number over 32767, or over (2³¹ − 1)/(127·dim) if that
    /// is less; the weights of a page, times the scales of their values, multiples of the largest
    /// of these over 32767. Normalisers that need whole rows compute in floats.
    integer_dot
};
inline constexpr cache_arithmetic integer_dot = cache_arithmetic::integer_dot;

/// What a cache is made for.
struct kv_cache_options {
    detail::any_integral batch = 1;       ///< sequences
    detail::any_integral kv_heads = 1;    ///< heads of k and v
    detail::any_integral dim = 0;         ///< of a key
    detail::any_integral value_dim = 0;   ///< of a value; 0: as of a key
    detail::any_integral capacity = 256;  ///< keys a sequence for which memory is taken at once
    /// Keys, its own among them, that a query sees; what lies before is forgotten.
    detail::any_integral window = unlimited;
    detail::any_integral keep_first = 0;  ///< keys that are seen and kept all the same
    detail::any_integral rewind = 0;      ///< tokens that can be taken back with a full window
    /// Whether a key's first value_dim numbers are its value, and are stored once: append(k).
    bool values_in_keys = false;
    key_scaling key_scales = per_key;  ///< of std::int8_t
    /// Of std::int8_t; integer_dot with scales per_key and values of their own.
    cache_arithmetic arithmetic = cache_arithmetic::floats;
};

namespace detail {

/// Up to it numbers of q keep 8 bits beside their sign where sums are of integers.
inline constexpr index most_integer_dim = index{1} << 16;

/// Options within their ranges, or the argument_error that says which is not.
inline kv_cache_options checked(kv_cache_options options, bool has_scales) {
    const auto at_least = [](std::string_view name, const any_integral& value, index least) {
        require_argument(value.value >= least, "heed::kv_cache: ", name, " is ", value.value,
                         ", but must be at least ", least);
    };
    at_least("batch", options.batch, 1);
    at_least("kv_heads", options.kv_heads, 1);
    at_least("dim", options.dim, 1);
    at_least("value_dim", options.value_dim, 0);
    at_least("capacity", options.capacity, 1);
    at_least("window", options.window, 1);
    at_least("keep_first", options.keep_first, 0);
    at_least("rewind", options.rewind, 0);
    if (options.value_dim.value == 0) options.value_dim = options.dim;
    require_argument(!options.values_in_keys || options.value_dim.value <= options.dim.value,
                     "heed::kv_cache: value_dim is ", options.value_dim.value,
                     ", but values in keys have dim numbers at most, ", options.dim.value);
    require_argument(options.key_scales == per_key || has_scales,
                     "heed::kv_cache: key_scales is per_channel, but only std::int8_t "
                     "is stored with scales");
    if (options.arithmetic == integer_dot) {
        require_argument(
            has_scales,
            "heed::kv_cache: arithmetic is integer_dot, but only std::int8_t is made of "
            "integers");
        require_argument(
            options.key_scales == per_key && !options.values_in_keys,
            "heed::kv_cache: arithmetic is integer_dot, which takes key_scales per_key "
            "and no values_in_keys");
        require_argument(options.dim.value <= most_integer_dim,
                         "heed::kv_cache: arithmetic is integer_dot and dim is ", options.dim.value,
                         ", but sums of 32 bits hold ", most_integer_dim, " products at most");
    }
    constexpr index most = std::numeric_limits<index>::max() / 4;
    for (auto* reach : {&options.keep_first, &options.rewind})
        reach->value = std::min(reach->value, most);
    return options;
}

}  // namespace detail

}  // namespace heed::inline HEED_ARCHITECTURE
