#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include <Eigen/Core>

#include <heed/core/simd/widen.hpp>

#include "support/catch.hpp"

namespace test_widen {

/// Whether widen(numbers + i) is static_cast<float> of the numbers, wherever i is; a NaN is a NaN.
template <class Number, class Widen>
bool is_exact(const std::vector<Number>& numbers, Widen widen) {
    constexpr auto size = static_cast<std::size_t>(heed::vec<float>::size);
    bool exact = true;
    for (std::size_t i = 0; i + size <= numbers.size(); i += size - 1) {
        std::array<float, size> found;
        widen(&numbers[i]).store(found.data());
        for (std::size_t l = 0; l < size; ++l) {
            const auto expected = static_cast<float>(numbers[i + l]);
            exact &= expected != expected ? found[l] != found[l]
                                          : std::memcmp(&expected, &found[l], sizeof(float)) == 0;
        }
    }
    return exact;
}

/// Every number of 16 bits.
template <class Number>
std::vector<Number> all_numbers() {
    std::vector<Number> numbers(65536 + 16);
    for (std::size_t i = 0; i < numbers.size(); ++i) {
        const auto bits = static_cast<std::uint16_t>(i);
        std::memcpy(static_cast<void*>(&numbers[i]), &bits, sizeof bits);
    }
    return numbers;
}

TEST_CASE("numbers of 16 and 8 bits become the floats that they are") {
    namespace own = heed::detail;
    CHECK(is_exact(all_numbers<Eigen::bfloat16>(),
                   [](const void* from) { return own::widen_bfloat16(from); }));
    CHECK(is_exact(all_numbers<Eigen::half>(),
                   [](const void* from) { return own::widen_half(from); }));
    std::vector<std::int8_t> integers;
    for (int i = -128; i < 128 + 16; ++i) integers.push_back(static_cast<std::int8_t>(i));
    CHECK(is_exact(integers, [](const void* from) { return own::widen_int8(from); }));
}

TEST_CASE("the forms lane by lane widen exactly too") {
    namespace own = heed::detail;
    CHECK(is_exact(all_numbers<Eigen::bfloat16>(), [](const void* from) {
        return own::widen_lanes<std::uint16_t>(
            from, [](std::uint16_t bits) { return own::widen_bfloat16(bits); });
    }));
    CHECK(is_exact(all_numbers<Eigen::half>(), [](const void* from) {
        return own::widen_lanes<std::uint16_t>(
            from, [](std::uint16_t bits) { return own::widen_half(bits); });
    }));
}

}  // namespace test_widen
