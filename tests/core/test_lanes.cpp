#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <type_traits>
#include <vector>

#include <heed/core/lane_functions.hpp>
#include <heed/core/lanes.hpp>

#include "support/catch.hpp"
#include "support/random.hpp"

namespace test_lanes {

using heed::index;  // inside a namespace: <strings.h> has a global one
__extension__ using wide = __int128;

constexpr index least = std::numeric_limits<index>::min();
constexpr index largest = std::numeric_limits<index>::max();

/// An integer, or the end of 64 bits that it is beyond.
index held(wide x) { return x < least ? least : x > largest ? largest : static_cast<index>(x); }

wide floor_divide(wide a, wide b) { return a / b - (a % b < 0 ? 1 : 0); }

/// The lanes as integers.
template <class T>
std::vector<index> integers(const heed::lanes<T>& x) {
    const auto whole = heed::detail::whole_positions(x);
    return {whole.begin(), whole.end()};
}
/// The lanes as numbers, or as truths.
template <class T>
std::vector<double> integers(heed::vec<T> x) {
    const auto all = heed::detail::to_array(x);
    return {all.begin(), all.end()};
}
template <class T>
std::vector<bool> integers(heed::vec_mask<T> x) {
    std::vector<bool> all;
    for (index l = 0; l < heed::vec<T>::size; ++l) all.push_back((x.bits() >> l & 1) != 0);
    return all;
}

/// A position near 0, far out, or at the ends of what there is.
index random_base(heed_test::generator& random) {
    const index near = random.integer(-40, 40);
    return near + random.one_of<index>({0, 0, 0, 1 << 20, -(1 << 23), index(1) << 40,
                                        -(index(1) << 53), index(1) << 61, -(index(1) << 62)});
}

/// As a query's, the same in all lanes, or as keys', one behind the other.
template <class T>
heed::lanes<T> random_lanes(heed_test::generator& random, index base) {
    return random.chance(0.5) ? heed::lanes<T>::all(base) : heed::lanes<T>::consecutive(base);
}

/// How many lanes of result(l) are not expected(l).
template <class Result, class Expected>
index wrong_lanes(const Result& result, Expected expected) {
    const auto all = integers(result);
    using element = typename decltype(integers(result))::value_type;
    index wrong = 0;
    for (std::size_t l = 0; l < all.size(); ++l)
        if (all[l] != static_cast<element>(expected(l))) ++wrong;
    return wrong;
}

TEMPLATE_TEST_CASE("positions are computed as 64-bit integers are, and stay at their ends", "",
                   float, double) {
    using T = TestType;
    heed_test::generator random(1);
    for (int round = 0; round < 3000; ++round) {
        const auto i = random_lanes<T>(random, random_base(random));
        const auto j = random_lanes<T>(random, random_base(random));
        const index n =
            random.one_of<index>({random.integer(-9, 9), random_base(random), largest, least + 1});
        const auto a = integers(i), b = integers(j);
        INFO("i from " << a[0] << ", j from " << b[0] << ", n " << n);
        const auto check = [&](const auto& result, auto expected) {
            CHECK(wrong_lanes(result, [&](std::size_t l) { return expected(a[l], b[l]); }) == 0);
        };
        // What lanes add lies behind their base, so a base that is held at the end holds all.
        const auto near_end = [](const heed::lanes<T>& x) {
            return x.base == largest || x.base == least;
        };
        const auto check_held = [&](const heed::lanes<T>& result, auto expected) {
            if (near_end(result))
                CHECK((result.base > 0) == (expected(wide(a[0]), wide(b[0])) > 0));
            else
                check(result, [&](wide x, wide y) { return held(expected(x, y)); });
        };
        check_held(i + j, std::plus<wide>());
        check_held(i - j, std::minus<wide>());
        check_held(i + n, [=](wide x, wide) { return x + n; });
        check_held(n + i, [=](wide x, wide) { return x + n; });
        check_held(i - n, [=](wide x, wide) { return x - n; });
        check_held(n - i, [=](wide x, wide) { return n - x; });
        check_held(-i, [=](wide x, wide) { return -x; });
        check_held(i * 3, [=](wide x, wide) { return 3 * x; });
        check_held(-5 * i, [=](wide x, wide) { return -5 * x; });
        check_held(i << 4, [=](wide x, wide) { return 16 * x; });

        check(i < j, [](index x, index y) { return x < y; });
        check(i <= j, [](index x, index y) { return x <= y; });
        check(i > j, [](index x, index y) { return x > y; });
        check(i >= j, [](index x, index y) { return x >= y; });
        check(i == j, [](index x, index y) { return x == y; });
        check(i != j, [](index x, index y) { return x != y; });
        check(i < n, [=](index x, index) { return x < n; });
        check(n < i, [=](index x, index) { return n < x; });
        check(i <= n, [=](index x, index) { return x <= n; });
        check(n <= i, [=](index x, index) { return n <= x; });
        check(i > n, [=](index x, index) { return x > n; });
        check(n > i, [=](index x, index) { return n > x; });
        check(i >= n, [=](index x, index) { return x >= n; });
        check(n >= i, [=](index x, index) { return n >= x; });
        check(i == n, [=](index x, index) { return x == n; });
        check(n != i, [=](index x, index) { return x != n; });
        check(i < std::numeric_limits<std::uint64_t>::max(), [](index, index) { return true; });

        check(min(i, j), [](index x, index y) { return std::min(x, y); });
        check(max(i, j), [](index x, index y) { return std::max(x, y); });
        check(min(i, n), [=](index x, index) { return std::min(x, n); });
        check(max(n, i), [=](index x, index) { return std::max(x, n); });
    }
}

TEMPLATE_TEST_CASE("positions are divided, shifted and taken bit by bit", "", float, double) {
    using T = TestType;
    constexpr index widest = index(1) << (std::numeric_limits<T>::digits - 1);
    heed_test::generator random(2);
    for (int round = 0; round < 3000; ++round) {
        const auto i = random_lanes<T>(random, random_base(random));
        const auto j = random_lanes<T>(random, random.integer(-90, 90));
        const auto a = integers(i), b = integers(j);
        const auto check = [&](const auto& result, auto expected) {
            CHECK(wrong_lanes(result, [&](std::size_t l) { return expected(a[l], b[l]); }) == 0);
        };
        const index n = random.one_of<index>(
            {random.integer(1, 9), random.integer(1, widest), a[0] > 0 ? a[0] : 7, largest});
        const index bits = random.one_of<index>({random.integer(0, 9), random.integer(0, 62)});
        const index ones = random.one_of<index>({1, 3, 63, 1023, 6, -8, ~63, -1, 0});
        INFO("i from " << a[0] << ", j from " << b[0] << ", n " << n << ", bits " << bits
                       << ", ones " << ones);
        check(i / n, [=](wide x, wide) { return held(floor_divide(x, n)); });
        if (n <= widest)
            check(i % n, [=](wide x, wide) { return held(x - n * floor_divide(x, n)); });
        check(i >> bits, [=](index x, index) { return x >> bits; });
        check(i & ones, [=](index x, index) { return x & ones; });
        check(ones & i, [=](index x, index) { return x & ones; });
        check(~i, [](index x, index) { return ~x; });
        check(j | ones, [=](index, index y) { return y | ones; });
        check(j ^ ones, [=](index, index y) { return y ^ ones; });
        const auto k = random_lanes<T>(random, random.integer(-90, 90));
        const auto c = integers(k);
        const auto both = [&](const auto& result, auto expected) {
            CHECK(wrong_lanes(result, [&](std::size_t l) { return expected(b[l], c[l]); }) == 0);
        };
        both(j & k, std::bit_and<index>());
        both(j | k, std::bit_or<index>());
        both(j ^ k, std::bit_xor<index>());
        both(j * k, std::multiplies<index>());
        both(abs(j - k) % 4, [](index x, index y) { return std::abs(x - y) % 4; });
        both((j - k) % 4, [](index x, index y) { return ((x - y) % 4 + 4) % 4; });
        both(select(j < k, j, k), [](index x, index y) { return x < y ? x : y; });
        both(select(j < k, 7, k), [](index x, index y) { return x < y ? 7 : y; });
    }
}

TEMPLATE_TEST_CASE("products of positions are exact or refused", "", float, double) {
    using T = TestType;
    constexpr index widest = index(1) << (std::numeric_limits<T>::digits - 1);
    heed_test::generator random(3);
    index exact = 0, refused = 0;
    for (int round = 0; round < 3000; ++round) {
        const auto magnitude = [&] {
            return static_cast<index>(std::exp2(random.uniform(0, 61))) *
                   random.one_of<index>({-1, 1});
        };
        const auto i = random_lanes<T>(random, magnitude()),
                   j = random_lanes<T>(random, magnitude());
        const index n = magnitude();
        const auto a = integers(i), b = integers(j);
        const auto check = [&](auto product, auto expected) {
            try {
                const auto result = product();
                ++exact;
                if (result.base != largest && result.base != least)
                    CHECK(wrong_lanes(result, [&](std::size_t l) {
                              return held(expected(wide(a[l]), wide(b[l])));
                          }) == 0);
            } catch (const heed::argument_error&) {
                ++refused;
            }
        };
        INFO("i from " << a[0] << ", j from " << b[0] << ", n " << n);
        check([&] { return i * j; }, std::multiplies<wide>());
        check([&] { return i * n; }, [=](wide x, wide) { return x * n; });
        check([&] { return i ^ j; }, [](wide x, wide y) { return x ^ y; });
    }
    CHECK(exact > 1000);
    CHECK(refused > 100);
    // All up to the bound is taken, and what all lanes share has none.
    const auto keys = heed::lanes<T>::consecutive(3);
    CHECK_NOTHROW(keys * (widest / (heed::vec<T>::size - 1)));
    CHECK_NOTHROW(heed::lanes<T>::all(3) * (index(1) << 55));
    CHECK_NOTHROW(keys % widest);
}

TEST_CASE("what positions cannot be computed with is refused by name") {
    const auto keys = heed::lanes<float>::consecutive(3);
    CHECK_THROWS_WITH(keys * 8000001,
                      "heed::lanes: within one vector positions would differ by more than 8388608, "
                      "beyond which its numbers do not count exactly; heed::scalar(f) computes in "
                      "64 bits");
    CHECK_THROWS_WITH(keys % 8388609,
                      "heed::lanes: a position is taken modulo 8388609, but vectors of this scalar "
                      "count exactly to 8388608; heed::scalar(f) computes in 64 bits");
    CHECK_THROWS_WITH(keys / 0,
                      "heed::lanes: a position is divided by 0, but must be by at least 1");
    CHECK_THROWS_AS(keys % -4, heed::argument_error);
    CHECK_THROWS_WITH(keys << 63,
                      "heed::lanes: a position is shifted by 63 bits, but must be by 0 to 62");
    CHECK_THROWS_AS(keys >> -1, heed::argument_error);
}

TEMPLATE_TEST_CASE("beside fractions positions are numbers, and compared exactly", "", float,
                   double) {
    using T = TestType;
    using V = heed::vec<T>;
    heed_test::generator random(4);
    for (int round = 0; round < 2000; ++round) {
        const auto i = random_lanes<T>(
            random, random.integer(-40, 40) + random.one_of<index>({0, 0, index(1) << 30}));
        const auto a = integers(i);
        const auto x = static_cast<T>(
            random.one_of({random.uniform(-40, 40), 2.5, -3.0, 1e30, -1e30,
                           static_cast<double>(index(1) << 30) + 128 * random.uniform()}));
        INFO("i from " << a[0] << ", x " << x);
        const auto check = [&](const auto& result, auto expected) {
            CHECK(wrong_lanes(result, [&](std::size_t l) { return expected(a[l]); }) == 0);
        };
        const auto real = static_cast<long double>(x);
        check(i < x, [=](index p) { return static_cast<long double>(p) < real; });
        check(x < i, [=](index p) { return real < static_cast<long double>(p); });
        check(i <= x, [=](index p) { return static_cast<long double>(p) <= real; });
        check(i >= x, [=](index p) { return static_cast<long double>(p) >= real; });
        check(i > x, [=](index p) { return static_cast<long double>(p) > real; });
        check(x == i, [=](index p) { return static_cast<long double>(p) == real; });
        check(i != x, [=](index p) { return static_cast<long double>(p) != real; });
        const V numbers(i);
        const auto is = [](V result, V expected) { CHECK(all(result == expected)); };
        is(i + x, numbers + V(x)), is(x + i, V(x) + numbers), is(i - x, numbers - V(x));
        is(x - i, V(x) - numbers), is(i * x, numbers * V(x)), is(x * i, V(x) * numbers);
        is(i / T(3), numbers / V(3)), is(T(2) / (i * 2 + 1), V(2) / V(i * 2 + 1));
        is(min(i, x), min(numbers, V(x))), is(max(x, i), max(V(x), numbers));
        is(exp(i), exp(numbers)), is(log(abs(i) + 1), log(abs(numbers) + V(1)));
        is(sqrt(abs(i)), sqrt(abs(numbers))), is(tanh(i), tanh(numbers));
    }
    const T nan = std::numeric_limits<T>::quiet_NaN(), inf = std::numeric_limits<T>::infinity();
    const auto i = heed::lanes<T>::consecutive(-2);
    CHECK((any(i < nan) || any(i >= nan) || any(nan == i)) == false);
    CHECK((all(i != nan) && all(i < inf) && all(i > -inf)));
}

TEMPLATE_TEST_CASE("numbers, scores and conditions mix", "", float, double) {
    using T = TestType;
    using V = heed::vec<T>;
    const V s = V::iota() - V(2);
    const auto i = heed::lanes<T>::all(3), j = heed::lanes<T>::consecutive(1);
    const auto is = [](V result, V expected) { CHECK(all(result == expected)); };
    is(max(s, 0), select(s > V(0), s, V(0))), is(min(0, s), select(s < V(0), s, V(0)));
    is(select(j > i, 0, s), select(j > i, V(0), s));
    is(select(j > i, s, -1e9), select(j > i, s, V(T(-1e9))));
    is(select(j > i, 1, 0), select(j > i, V(1), V(0)));
    is(select(j > i, s, j), select(j > i, s, V(j)));
    is(s * (j <= i), select(j <= i, s, V(0))), is((j > i) * 2.5, select(j > i, V(T(2.5)), V(0)));
    is(s - (j > i) * 1e9, s - select(j > i, V(T(1e9)), V(0)));
    is(s + (j == i), s + select(j == i, V(1), V(0)));
    is(max(s, i - j), max(s, V(i - j))), is(min(i - j, s), min(V(i - j), s));
    is(2 - s, V(2) - s), is(s / 2, s / V(2)), is(1 / (s + 9), V(1) / (s + V(9)));
    is(s * i, s * V(i)), is(i + s, V(i) + s), is(s - (i - j), s - V(i - j));

    for (const bool b : {false, true}) {
        const auto m = j <= i;
        const heed::vec_mask<T> all_b(b);
        const auto same = [](auto x, auto y) { CHECK(x.bits() == y.bits()); };
        same(b && m, all_b & m), same(m && b, all_b & m), same(b || m, all_b | m);
        same(m || b, all_b | m), same(b & m, all_b & m), same(m | b, all_b | m);
        same(m != b, b ? !m : m), same(b == m, b ? m : !m), same(m ^ b, b ? !m : m);
        same(int(b) * 6 && m, all_b & m), same(m == m, heed::vec_mask<T>(true));
        same(m != (j < i), j == i), same(m ^ (j < i), j == i);
    }
    auto moved = j;
    moved += 2, moved -= i, moved *= 4;
    CHECK(integers(moved) == integers((j + 2 - i) * 4));
}

}  // namespace test_lanes
