#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <heed/attention/kernel/program/tensor_rows.hpp>

#include "support/catch.hpp"
#include "support/random.hpp"

namespace test_tensor_rows {

using heed::index;

/// y = x/‖x‖ and dx = (dy − y·(y·dy))/‖x‖ in long double; false where heed is further off.
template <class T>
bool is_normalised(std::vector<T> x, std::vector<T> dy) {
    using number = long double;
    const std::size_t count = x.size();
    number square = 0, along = 0;
    for (std::size_t c = 0; c < count; ++c) square += number(x[c]) * number(x[c]);
    const number norm = std::sqrt(square);
    for (std::size_t c = 0; c < count; ++c) along += number(x[c]) / norm * number(dy[c]);
    std::vector<number> y(count), dx(count);
    number largest = 0;
    for (std::size_t c = 0; c < count; ++c) {
        y[c] = number(x[c]) / norm;
        dx[c] = (number(dy[c]) - y[c] * along) / norm;
        largest = std::max(largest, std::abs(number(dy[c])) / norm);
    }
    std::vector<T> unit = x;
    heed::detail::normalise_row(unit.data(), index(count));
    heed::detail::normalise_row_back(dy.data(), x.data(), index(count));
    const number epsilon = std::numeric_limits<T>::epsilon();
    bool close = true;
    for (std::size_t c = 0; c < count; ++c) {
        close &= std::abs(number(unit[c]) - y[c]) <=
                 8 * epsilon * std::abs(y[c]) + std::numeric_limits<T>::min();
        close &= std::abs(number(dy[c]) - dx[c]) <=
                 16 * epsilon * largest * number(count) + std::numeric_limits<T>::min();
    }
    return close;
}

TEMPLATE_TEST_CASE("rows of every size are normalised, and so are their gradients", "",
                   HEED_TEST_SCALARS) {
    using T = TestType;
    using limits = std::numeric_limits<T>;
    heed_test::generator random;
    for (const std::size_t count : {1U, 5U, 64U, 100U}) {
        bool close = true;
        for (int e = limits::min_exponent - limits::digits / 2; e < limits::max_exponent - 4; ++e) {
            std::vector<T> x(count), dy(count);
            // dx, which is dy over the length, is a number.
            const int size = std::clamp(e, limits::min_exponent / 2, limits::max_exponent / 2);
            for (T& one : x) one = static_cast<T>(std::ldexp(random.uniform(1, 4), e));
            for (T& one : dy) one = static_cast<T>(std::ldexp(random.normal(), size));
            for (std::size_t c = 0; c < count; c += 3) x[c] = -x[c];
            close &= is_normalised(x, dy);
        }
        CHECK(close);
    }
    // Numbers of very different sizes.
    CHECK(is_normalised<T>({limits::max(), 1, limits::min(), -limits::max()}, {1, 2, 3, 4}));
    CHECK(is_normalised<T>({limits::min(), -limits::min(), 0}, {limits::min(), 0, 0}));
}

TEMPLATE_TEST_CASE("a row of zeros stays, and gives its gradient nothing", "", HEED_TEST_SCALARS) {
    std::vector<TestType> x(7), dy(7, TestType(3));
    heed::detail::normalise_row(x.data(), 7);
    heed::detail::normalise_row_back(dy.data(), x.data(), 7);
    for (std::size_t c = 0; c < 7; ++c) CHECK((x[c] == 0 && dy[c] == 0));
}

}  // namespace test_tensor_rows
