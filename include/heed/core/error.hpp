#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdio>
#include <initializer_list>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

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

/// A part of a message: a text, a number, or a shape, to which it refers. Of one type, so that what
/// writes messages is compiled once.
class message_part {
  public:
    message_part(const char* text) : kind_(kind::text), text_(text) {}
    message_part(std::string_view text) : kind_(kind::text), text_(text) {}
    message_part(const std::string& text) : kind_(kind::text), text_(text) {}
    message_part(bool value) : kind_(kind::text), text_(value ? "true" : "false") {}
    message_part(double value) : kind_(kind::real), real_(value) {}
    message_part(std::span<const index> shape) : kind_(kind::shape), shape_(shape) {}
    template <std::size_t Rank>
    message_part(const std::array<index, Rank>& shape) : kind_(kind::shape), shape_(shape) {}
    template <std::signed_integral T>
    message_part(T value) : kind_(kind::integer), integer_(value) {}
    template <std::unsigned_integral T>
    message_part(T value) : kind_(kind::natural), natural_(value) {}

    [[gnu::cold, gnu::noinline]] void append_to(std::string& message) const {
        switch (kind_) {
            case kind::text:
                message += text_;
                break;
            case kind::real: {
                // As many digits as tell a double apart for a reader: 0.1, 1e+30, nan, -inf.
                char digits[32];
                std::snprintf(digits, sizeof digits, "%.9g", real_);
                message += digits;
                break;
            }
            case kind::integer:
                message += std::to_string(integer_);
                break;
            case kind::natural:
                message += std::to_string(natural_);
                break;
            case kind::shape: {  // as [2, 8, 128, 64]
                message += '[';
                const char* between = "";
                for (index extent : shape_) {
                    message += std::exchange(between, ", ");
                    message += std::to_string(extent);
                }
                message += ']';
                break;
            }
        }
    }

  private:
    enum class kind { text, real, integer, natural, shape };

    kind kind_;
    union {
        std::string_view text_;
        double real_;
        long long integer_;
        unsigned long long natural_;
        std::span<const index> shape_;
    };
};

/// The parts of a message, one after the other; numbers and shapes are written out.
[[gnu::cold, gnu::noinline]] inline std::string message(std::initializer_list<message_part> parts) {
    std::string text;
    for (const message_part& part : parts) part.append_to(text);
    return text;
}

/// Parts come by value, so that literals of all lengths are of one type.
template <class Error, class... Parts>
[[noreturn, gnu::cold, gnu::noinline]] void fail(Parts... parts) {
    throw Error(message({parts...}));
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
