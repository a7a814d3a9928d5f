#pragma once

#include <concepts>
#include <cstddef>
#include <cstdio>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

#include <heed/core/architecture.hpp>

/// \file
/// The two errors that heed throws, and the small helpers that word their messages.
///
/// A message names the argument, its value, and what is allowed. Both errors are thrown before
/// anything is written.

namespace heed::inline HEED_ARCHITECTURE {

/// The shape of an argument is impossible, or does not fit the shape of another one.
class shape_error : public std::invalid_argument {
  public:
    using std::invalid_argument::invalid_argument;
};

/// A parameter lies outside its range.
class argument_error : public std::invalid_argument {
  public:
    using std::invalid_argument::invalid_argument;
};

namespace detail {

[[gnu::cold, gnu::noinline]] inline std::string to_text(std::string_view value) {
    return std::string(value);
}
[[gnu::cold, gnu::noinline]] inline std::string to_text(const char* value) {
    return value;
}  // or a literal would be a bool

[[gnu::cold, gnu::noinline]] inline std::string to_text(bool value) {
    return value ? "true" : "false";
}

template <std::integral T>
std::string to_text(T value) {
    return std::to_string(value);
}

/// As many digits as tell a double apart for a reader: 0.1, 1e+30, nan, -inf.
[[gnu::cold, gnu::noinline]] inline std::string to_text(double value) {
    char digits[32];
    std::snprintf(digits, sizeof digits, "%.9g", value);
    return digits;
}

/// A shape, as [2, 8, 128, 64].
[[gnu::cold, gnu::noinline]] inline std::string to_text(std::span<const index> extents) {
    std::string text = "[";
    for (std::size_t axis = 0; axis < extents.size(); ++axis) {
        if (axis > 0) text += ", ";
        text += std::to_string(extents[axis]);
    }
    return text + "]";
}

// Messages are built where something has gone wrong: cold, and small to compile. Parts come by
// value, so that literals of all lengths are of one type.

/// The parts of a message, one after the other; numbers and shapes are written out.
template <class... Parts>
[[gnu::cold, gnu::noinline]] std::string message(Parts... parts) {
    std::string text;
    for (const std::string& part : {to_text(parts)...}) text += part;
    return text;
}

template <class Error, class... Parts>
[[noreturn, gnu::cold, gnu::noinline]] void fail(Parts... parts) {
    throw Error(message(parts...));
}

/// Throws shape_error("<parts…>") unless `holds`. The message is built only when it is needed.
template <class... Parts>
void require_shape(bool holds, Parts... parts) {
    if (!holds) [[unlikely]]
        fail<shape_error>(parts...);
}

/// Throws argument_error("<parts…>") unless `holds`.
template <class... Parts>
void require_argument(bool holds, Parts... parts) {
    if (!holds) [[unlikely]]
        fail<argument_error>(parts...);
}

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
