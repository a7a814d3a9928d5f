#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include <Eigen/Core>

/// \file
/// How bytes of a file become floats. Nothing is asked of where they lie.

namespace examples {

/// Floats, and numbers of 16 bits, whose floats are exact.
template <class Number>
void widen_numbers(const std::byte* from, float* to, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
        Number number;
        std::memcpy(&number, from + i * sizeof(Number), sizeof(Number));
        to[i] = static_cast<float>(number);
    }
}

/// ggml's Q8_0: a float16 s and 32 integers of 8 bits, which stand for s·q.
inline void widen_q8_0(const std::byte* from, float* to, std::size_t blocks) {
    for (std::size_t block = 0; block < blocks; ++block, from += 34, to += 32) {
        Eigen::half scale;
        std::memcpy(&scale, from, sizeof scale);
        for (std::size_t i = 0; i < 32; ++i)
            to[i] = static_cast<float>(scale) *
                    static_cast<float>(static_cast<std::int8_t>(from[2 + i]));
    }
}

/// ggml's Q4_0: a float16 s and 32 integers of 4 bits, which stand for s·(q − 8); the lower halves
/// of the bytes come first.
inline void widen_q4_0(const std::byte* from, float* to, std::size_t blocks) {
    for (std::size_t block = 0; block < blocks; ++block, from += 18, to += 32) {
        Eigen::half scale;
        std::memcpy(&scale, from, sizeof scale);
        for (std::size_t i = 0; i < 16; ++i) {
            const auto pair = std::to_integer<int>(from[2 + i]);
            to[i] = static_cast<float>(scale) * static_cast<float>((pair & 15) - 8);
            to[i + 16] = static_cast<float>(scale) * static_cast<float>((pair >> 4) - 8);
        }
    }
}

}  // namespace examples
