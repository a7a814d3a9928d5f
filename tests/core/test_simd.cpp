#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include <heed/core/simd.hpp>

#include "support/catch.hpp"
#include "support/random.hpp"

namespace test_simd {

/// Every mask, if there are few; some, where a vector has many lanes.
template <class T, class F>
void for_each_mask(F&& f) {
    const auto all = std::uint64_t(1) << heed::vec<T>::size;
    const std::uint64_t step = all > 4096 ? 37 : 1;
    for (std::uint64_t bits = 0; bits < all; bits += step) f(bits);
    f(all - 1);
}

TEMPLATE_TEST_CASE("a mask becomes bits, and bits a mask", "", float, double) {
    for_each_mask<TestType>([](std::uint64_t bits) {
        const auto mask = heed::vec_mask<TestType>::from_bits(bits);
        heed::index count = 0;
        for (std::uint64_t rest = bits; rest != 0; rest &= rest - 1) ++count;
        if (mask.bits() != bits || mask.count() != count) FAIL(bits);
    });
    SUCCEED();
}

TEMPLATE_TEST_CASE("compress keeps the lanes of a mask, in their order", "", float, double) {
    using T = TestType;
    constexpr heed::index size = heed::vec<T>::size;
    heed_test::generator random;
    auto from = random.numbers<T>(static_cast<std::size_t>(size));
    from[0] = std::numeric_limits<T>::quiet_NaN();
    from[1] = -std::numeric_limits<T>::infinity();
    const heed::index first = (heed::index{1} << 31) - 2 * size;  // the largest positions there are
    for_each_mask<T>([&](std::uint64_t bits) {
        const auto mask = heed::vec_mask<T>::from_bits(bits);
        // A vector behind the last written place must stay as it was.
        std::vector<T> numbers(static_cast<std::size_t>(2 * size), T(-77));
        std::vector<std::int32_t> positions(static_cast<std::size_t>(2 * size), -77);
        heed::vec<T>::load(from.data()).compress(mask, numbers.data());
        mask.compress_positions(first, positions.data());
        std::vector<std::int32_t> moved(positions.size(), -77);
        for (std::size_t l = 0; l < static_cast<std::size_t>(size); ++l)
            moved[l] = static_cast<std::int32_t>(first + static_cast<heed::index>(l));
        mask.compress_positions(moved.data(), moved.data());
        std::size_t n = 0;
        bool right = true;
        for (std::size_t l = 0; l < static_cast<std::size_t>(size); ++l) {
            if ((bits >> l & 1) == 0) continue;
            right &= numbers[n] == from[l] || (std::isnan(numbers[n]) && std::isnan(from[l]));
            right &= positions[n] == first + static_cast<heed::index>(l);
            right &= moved[n] == positions[n];
            ++n;
        }
        for (auto l = static_cast<std::size_t>(size); l < numbers.size(); ++l)
            right &= numbers[l] == T(-77) && positions[l] == -77 && moved[l] == -77;
        if (!right) FAIL(bits);
    });
    SUCCEED();
}

}  // namespace test_simd
