#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <type_traits>
#include <vector>

#include <heed/core/arena.hpp>
#include <heed/rope/detail/angles.hpp>
#include <heed/rope/detail/turn_table.hpp>
#include <heed/rope/frequencies.hpp>

#include "support/catch.hpp"
#include "support/random.hpp"

namespace test_angles {

using namespace heed::detail;
using heed::index;

/// How many numbers of type T lie between a and b.
template <class T>
std::int64_t ulps(T a, T b) {
    using integer = std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>;
    const auto order = [](T x) {
        const auto bits = std::bit_cast<integer>(x);
        return static_cast<std::int64_t>(bits < 0 ? std::numeric_limits<integer>::min() - bits
                                                  : bits);
    };
    return std::abs(order(a) - order(b));
}

/// cos and sin of one angle, by the vectors.
template <class T>
std::array<T, 2> point_of(double angle) {
    std::array<heed::vec<double>, angle_vectors<T>> angles;
    angles.fill(heed::vec<double>(angle));
    const auto point = cosine_and_sine<T>(angles);
    std::array<T, static_cast<std::size_t>(heed::vec<T>::size)> cosine, sine;
    point.cosine.store(cosine.data());
    point.sine.store(sine.data());
    return {cosine.back(), sine.back()};
}

/// The largest error of cos and sin of an angle, in ulp of the double results rounded to T.
template <class T>
std::int64_t error_at(double angle) {
    const auto point = point_of<T>(angle);
    return std::max(ulps(point[0], static_cast<T>(std::cos(angle))),
                    ulps(point[1], static_cast<T>(std::sin(angle))));
}

TEMPLATE_TEST_CASE("cosines and sines are within 2 ulp at angles of every size", "",
                   HEED_TEST_SCALARS) {
    heed_test::generator random;
    std::int64_t worst = 0;
    for (int exponent = -40; exponent < 24; ++exponent) {
        for (int n = 0; n < 400; ++n) {
            const double angle = std::ldexp(random.uniform(1, 2), exponent);
            worst = std::max({worst, error_at<TestType>(angle), error_at<TestType>(-angle)});
        }
    }
    CHECK(worst <= 2);
}

TEMPLATE_TEST_CASE("they are within 2 ulp next to multiples of a quarter turn", "",
                   HEED_TEST_SCALARS) {
    heed_test::generator random;
    std::int64_t worst = 0;
    for (int n = 0; n < 20000; ++n) {
        const auto quarters = static_cast<double>(random.integer(0, 10'000'000));
        double angle = quarters * 1.5707963267948966;
        for (int step = 0; step < 3; ++step) {
            worst = std::max(worst, error_at<TestType>(angle));
            angle = std::nextafter(angle, 1e9);
        }
    }
    CHECK(worst <= 2);
}

TEMPLATE_TEST_CASE("angles too long to be reduced in vectors are as exact", "", HEED_TEST_SCALARS) {
    for (const double angle : {16777216.0, 16777217.0, 1e8, -1e9, 1e15, 1e22, -1e300})
        CHECK(error_at<TestType>(angle) <= 2);
    CHECK(std::isnan(point_of<TestType>(std::numeric_limits<double>::infinity())[0]));
    CHECK(std::isnan(point_of<TestType>(std::nan(""))[1]));
}

TEMPLATE_TEST_CASE("a long angle does not disturb its neighbours", "", HEED_TEST_SCALARS) {
    using T = TestType;
    constexpr auto size = static_cast<std::size_t>(heed::vec<T>::size);
    std::array<double, size> angles{};
    for (std::size_t l = 0; l < size; ++l) angles[l] = 0.1 * static_cast<double>(l + 1);
    angles[0] = 1e12;
    std::array<heed::vec<double>, angle_vectors<T>> vectors;
    for (std::size_t v = 0; v < vectors.size(); ++v)
        vectors[v] = heed::vec<double>::load(angles.data() +
                                             v * static_cast<std::size_t>(heed::vec<double>::size));
    const auto point = cosine_and_sine<T>(vectors);
    std::array<T, size> sine;
    point.sine.store(sine.data());
    for (std::size_t l = 0; l < size; ++l) CHECK(sine[l] == point_of<T>(angles[l])[1]);
}

TEST_CASE("zero turns by nothing at all") {
    CHECK(point_of<float>(0) == std::array<float, 2>{1, 0});
    CHECK(point_of<double>(0) == std::array<double, 2>{1, 0});
}

TEMPLATE_TEST_CASE("tables are within 2 ulp for positions to 2^24", "", HEED_TEST_SCALARS) {
    using T = TestType;
    heed_test::generator random;
    heed::arena scratch;
    const auto rope = heed::rope::plain({.dim = 128});
    const padded_frequencies<T> angles(scratch, rope);
    std::vector<double> positions{0, 1, 2, 3, 4095, 65536, 8388607, 16777215, 16777216};
    for (int n = 0; n < 2000; ++n) {
        positions.push_back(static_cast<double>(random.integer(0, 1 << 24)));
        positions.push_back(-positions.back());
        positions.push_back(random.uniform(0, 1 << 24));
    }
    std::int64_t worst = 0;
    for (const double position : positions) {
        T* row = scratch.take<T>(angles.row_size());
        angles.fill_row(position, row);
        for (index t = 0; t < rope.pairs(); ++t) {
            const double angle = position * rope.angular()[static_cast<std::size_t>(t)];
            worst = std::max({worst, ulps(row[t], static_cast<T>(std::cos(angle))),
                              ulps(row[angles.padded + t], static_cast<T>(std::sin(angle)))});
        }
    }
    CHECK(worst <= 2);
}

}  // namespace test_angles
