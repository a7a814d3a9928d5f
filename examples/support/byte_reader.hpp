#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <type_traits>

#include "file_error.hpp"

namespace examples {

/// Reads numbers and texts one behind the other, lowest byte first, and never beyond the end.
class byte_reader {
  public:
    explicit byte_reader(std::span<const std::byte> bytes) : bytes_(bytes) {}

    [[nodiscard]] std::size_t position() const { return position_; }
    [[nodiscard]] std::size_t left() const { return bytes_.size() - position_; }

    /// Throws file_error, as all that reads does, where fewer bytes are left.
    std::span<const std::byte> take(std::uint64_t count, const std::string& what) {
        if (count > left())
            throw file_error(what + " takes " + std::to_string(count) + " bytes at byte " +
                             std::to_string(position_) + ", but only " + std::to_string(left()) +
                             " are left: the file is cut short, or lies about its sizes");
        const auto taken = bytes_.subspan(position_, count);
        position_ += taken.size();
        return taken;
    }

    template <class Number>
    Number number(const std::string& what) {
        static_assert(std::endian::native == std::endian::little && std::is_arithmetic_v<Number>);
        Number value;
        std::memcpy(&value, take(sizeof(Number), what).data(), sizeof(Number));
        return value;
    }

    /// Its length, of 64 bits, and its bytes.
    std::string text(const std::string& what) {
        const auto length = number<std::uint64_t>("the length of " + what);
        const auto taken = take(length, what);
        return {reinterpret_cast<const char*>(taken.data()), taken.size()};
    }

  private:
    std::span<const std::byte> bytes_;
    std::size_t position_ = 0;
};

}  // namespace examples
