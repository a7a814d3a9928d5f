#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include <Eigen/Core>

#include <heed/core/simd/narrow.hpp>
#include <heed/core/simd/vec.hpp>
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

/// Floats at and beside every number of 16 bits and every middle between two of them.
template <class Number>
std::vector<float> hard_to_round() {
    std::vector<float> floats;
    const std::vector<Number> numbers = all_numbers<Number>();
    for (std::size_t i = 0; i + 1 < numbers.size(); ++i) {
        const auto number = static_cast<float>(numbers[i]),
                   next = static_cast<float>(numbers[i + 1]);
        for (const float x : {number, number / 2 + next / 2})
            for (const float y : {x, std::nextafter(x, 1e38F), std::nextafter(x, -1e38F)})
                floats.push_back(y);
    }
    return floats;
}

/// Whether store(vector, to) is static_cast<Number> of its lanes; a NaN is a NaN.
template <class Number, class Store>
bool is_nearest(Store store) {
    constexpr auto size = static_cast<std::size_t>(heed::vec<float>::size);
    const std::vector<float> floats = hard_to_round<Number>();
    bool nearest = true;
    for (std::size_t i = 0; i + size <= floats.size(); i += size) {
        std::array<Number, size> found;
        store(heed::vec<float>::load(&floats[i]), found.data());
        for (std::size_t l = 0; l < size; ++l) {
            const float x = floats[i + l], back = static_cast<float>(found[l]);
            const auto expected = static_cast<float>(static_cast<Number>(x));
            nearest &= x != x ? back != back : std::memcmp(&expected, &back, sizeof back) == 0;
        }
    }
    return nearest;
}

TEST_CASE("floats become the nearest numbers of 16 bits, ties to even") {
    namespace own = heed::detail;
    CHECK(is_nearest<Eigen::bfloat16>(
        [](heed::vec<float> x, void* to) { own::store_bfloat16(x, to); }));
    CHECK(is_nearest<Eigen::half>([](heed::vec<float> x, void* to) { own::store_half(x, to); }));
}

}  // namespace test_widen
