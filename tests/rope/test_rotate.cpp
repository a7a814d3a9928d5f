#include <cmath>
#include <vector>

#include <unsupported/Eigen/CXX11/Tensor>
#include <unsupported/Eigen/CXX11/ThreadPool>

#include <heed/core/parallel.hpp>
#include <heed/core/view.hpp>
#include <heed/core/workspace.hpp>
#include <heed/rope/frequencies.hpp>
#include <heed/rope/rotate.hpp>
#include <heed/rope/rotate_axes.hpp>

#include "rope/tensors.hpp"
#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"
#include "support/same_bits.hpp"
#include "support/threads.hpp"

namespace test_rotate {

using namespace rope_test;
using heed::index;
using heed_test::same_bits;

template <class T, int Rank = 4, int Order = Eigen::RowMajor>
using tensor = Eigen::Tensor<T, Rank, Order>;

/// Whether y is x rotated as `rope` says at `position`, forth (1) or back (−1).
template <class T, class Y, class X>
bool is_rotated(const Y& y, const X& x, const heed::rope::frequencies& rope,
                const reference::position_function& position, double direction = 1) {
    const auto before = to_reference(x);
    const auto expected = reference::rotate(before, to_reference(rope), position, direction);
    return reference::largest_difference(to_reference(y), expected) <= tolerance<T>(before);
}

TEMPLATE_TEST_CASE("random shapes of every rank, layout and part of the dimensions", "",
                   HEED_TEST_SCALARS) {
    using T = TestType;
    heed_test::generator random;
    for (int trial = 0; trial < 60; ++trial) {
        const auto dim = random.integer(2, 140);
        const auto rotated = 2 * random.integer(1, dim / 2);
        const auto layout = random.one_of({heed::rope::halves, heed::rope::interleaved});
        const auto rope = heed::rope::plain({.dim = rotated, .layout = layout});
        const auto batch = random.integer(1, 3), heads = random.integer(1, 4);
        const auto n = random.integer(1, 150);
        INFO("[" << batch << ", " << heads << ", " << n << ", " << dim << "], r = " << rotated
                 << (layout == heed::rope::halves ? ", halves" : ", interleaved"));
        const auto x4 = random.tensor<T>(batch, heads, n, dim);
        const auto x3 = random.tensor<T>(heads, n, dim);
        const auto x2 = random.tensor<T>(n, dim);
        CHECK(is_rotated<T>(heed::rotate(x4, rope), x4, rope, row));
        CHECK(is_rotated<T>(heed::rotate(x3, rope), x3, rope, row));
        CHECK(is_rotated<T>(heed::rotate(x2, rope), x2, rope, row));
        CHECK(is_rotated<T>(heed::rotate_back(x4, rope), x4, rope, row, -1));
    }
}

TEMPLATE_TEST_CASE("storage orders and strides give the same bits", "", HEED_TEST_SCALARS) {
    using T = TestType;
    heed_test::generator random;
    for (const auto layout : {heed::rope::halves, heed::rope::interleaved}) {
        const auto rope = heed::rope::plain({.dim = 34, .layout = layout});
        const auto x = random.tensor<T>(3, 5, 131, 41);
        const tensor<T> expected = heed::rotate(x, rope);

        const tensor<T, 4, Eigen::ColMajor> columns =
            x.swap_layout().shuffle(Eigen::array<int, 4>{3, 2, 1, 0});
        const tensor<T, 4, Eigen::ColMajor> of_columns = heed::rotate(columns, rope);
        CHECK(
            same_bits(tensor<T>(of_columns.swap_layout().shuffle(Eigen::array<int, 4>{3, 2, 1, 0})),
                      expected));

        // [batch, sequence, heads, dim] in memory
        const Eigen::array<int, 4> exchange{0, 2, 1, 3};
        const tensor<T> inside = x.shuffle(exchange);
        tensor<T> of_inside(inside.dimensions());
        const index N = 131, H = 5, D = 41;
        heed::rotate_into(
            heed::view(of_inside.data(), {index(3), H, N, D}, {N * H * D, D, H * D, index(1)}),
            heed::view(inside.data(), {index(3), H, N, D}, {N * H * D, D, H * D, index(1)}), rope);
        CHECK(same_bits(tensor<T>(of_inside.shuffle(exchange)), expected));

        // From one order into the other.
        tensor<T> rows(x.dimensions());
        heed::rotate_into(rows, columns, rope);
        CHECK(same_bits(rows, expected));
        tensor<T, 4, Eigen::ColMajor> mixed(columns.dimensions());
        heed::rotate_into(mixed, x, rope);
        CHECK(same_bits(mixed, of_columns));
    }
}

TEMPLATE_TEST_CASE("matrices of both orders, arrays, maps, blocks and expressions", "",
                   HEED_TEST_SCALARS) {
    using T = TestType;
    heed_test::generator random;
    for (const auto layout : {heed::rope::halves, heed::rope::interleaved}) {
        const auto rope = heed::rope::plain({.dim = 22, .layout = layout});
        const auto rows = random.matrix<T, Eigen::RowMajor>(301, 27);
        const Eigen::Matrix<T, -1, -1> columns = rows;
        const auto expected = heed::rotate(rows, rope);
        CHECK(is_rotated<T>(expected, rows, rope, row));
        CHECK(heed::rotate(columns, rope) == expected);
        CHECK(heed::rotate(columns * T(1), rope) == expected);
        CHECK((heed::rotate(columns.array(), rope) == expected.array()).all());

        Eigen::Matrix<T, -1, -1> large = Eigen::Matrix<T, -1, -1>::Constant(310, 40, T(7));
        heed::rotate_into(large.block(3, 5, 301, 27), columns, rope);
        CHECK(large.block(3, 5, 301, 27) == expected);
        large.block(3, 5, 301, 27).setConstant(T(7));
        CHECK((large.array() == T(7)).all());

        std::vector<T> memory(301 * 27);
        heed::rotate_into(Eigen::Map<Eigen::Matrix<T, -1, -1>>(memory.data(), 301, 27), rows, rope);
        CHECK(Eigen::Map<Eigen::Matrix<T, -1, -1>>(memory.data(), 301, 27) == expected);
        static_assert(
            std::is_same_v<decltype(heed::rotate(columns, rope)), Eigen::Matrix<T, -1, -1>>);
    }
}

TEMPLATE_TEST_CASE("in place is the same as apart", "", HEED_TEST_SCALARS) {
    using T = TestType;
    heed_test::generator random;
    for (const auto layout : {heed::rope::halves, heed::rope::interleaved}) {
        const auto rope = heed::rope::plain({.dim = 30, .layout = layout});
        auto x = random.tensor<T>(2, 3, 77, 33);
        const tensor<T> expected = heed::rotate(x, rope);
        heed::rotate_into(x, x, rope);
        CHECK(same_bits(x, expected));
        auto m = random.matrix<T, Eigen::ColMajor>(77, 33);
        const auto of_m = heed::rotate(m, rope);
        heed::rotate_into(m, m, rope);
        CHECK(m == of_m);
        heed::rotate_back_into(m, m, rope);
        CHECK(m.isApprox(heed::rotate_back(of_m, rope), 0));
    }
}

TEMPLATE_TEST_CASE("positions: an offset, a list, a list a sequence, of any type", "",
                   HEED_TEST_SCALARS) {
    using T = TestType;
    heed_test::generator random;
    const auto rope = heed::rope::plain({.dim = 16});
    const index B = 3, n = 37;
    const auto x = random.tensor<T>(B, 2, n, 16);
    const auto shifted = [](double by) {
        return [by](index, index i) { return by + static_cast<double>(i); };
    };
    CHECK(is_rotated<T>(heed::rotate(x, rope, 1000), x, rope, shifted(1000)));
    CHECK(is_rotated<T>(heed::rotate(x, rope, -3L), x, rope, shifted(-3)));
    CHECK(is_rotated<T>(heed::rotate(x, rope, 0.25F), x, rope, shifted(0.25)));
    CHECK(is_rotated<T>(heed::rotate(x, rope, 16'700'000), x, rope, shifted(16'700'000)));

    std::vector<int> integers(static_cast<std::size_t>(n));
    Eigen::VectorXf fractions(n);
    Eigen::Tensor<double, 1> tensor_list(n);
    Eigen::MatrixXd each(B, n);
    Eigen::Tensor<std::int64_t, 2, Eigen::RowMajor> each_integer(B, n);
    for (index i = 0; i < n; ++i) {
        integers[static_cast<std::size_t>(i)] = static_cast<int>(random.integer(0, 5000));
        fractions(i) = static_cast<float>(random.uniform(-50, 50));
        tensor_list(i) = random.uniform(0, 1e6);
        for (index b = 0; b < B; ++b) {
            each(b, i) = random.uniform(0, 300);
            each_integer(b, i) = random.integer(0, 1 << 20);
        }
    }
    CHECK(is_rotated<T>(heed::rotate(x, rope, integers), x, rope, [&](index, index i) {
        return static_cast<double>(integers[static_cast<std::size_t>(i)]);
    }));
    CHECK(is_rotated<T>(heed::rotate(x, rope, fractions), x, rope,
                        [&](index, index i) { return static_cast<double>(fractions(i)); }));
    CHECK(is_rotated<T>(heed::rotate(x, rope, fractions.transpose().eval()), x, rope,
                        [&](index, index i) { return static_cast<double>(fractions(i)); }));
    CHECK(is_rotated<T>(heed::rotate(x, rope, (2 * fractions).eval()), x, rope,
                        [&](index, index i) { return 2 * static_cast<double>(fractions(i)); }));
    CHECK(is_rotated<T>(heed::rotate(x, rope, tensor_list), x, rope,
                        [&](index, index i) { return tensor_list(i); }));
    CHECK(is_rotated<T>(heed::rotate(x, rope, each), x, rope,
                        [&](index b, index i) { return each(b, i); }));
    CHECK(is_rotated<T>(heed::rotate(x, rope, each_integer), x, rope,
                        [&](index b, index i) { return static_cast<double>(each_integer(b, i)); }));
    CHECK(is_rotated<T>(
        heed::rotate_back(x, rope, each), x, rope, [&](index b, index i) { return each(b, i); },
        -1));
    // A column-major matrix has a lane a position.
    const auto m = random.matrix<T, Eigen::ColMajor>(n, 16);
    CHECK(is_rotated<T>(heed::rotate(m, rope, fractions), m, rope,
                        [&](index, index i) { return static_cast<double>(fractions(i)); }));
}

TEMPLATE_TEST_CASE("a row's bits depend on its position alone", "", HEED_TEST_SCALARS) {
    using T = TestType;
    heed_test::generator random;
    const auto rope = heed::rope::plain({.dim = 64});
    const auto all = random.tensor<T>(2, 3, 900, 64);
    const tensor<T> expected = heed::rotate(all, rope);
    for (const index length : {1, 7, 64, 500}) {
        const Eigen::array<Eigen::Index, 4> from{1, 0, 333, 0}, extents{1, 3, length, 64};
        const tensor<T> part = all.slice(from, extents);
        const tensor<T> of_part = expected.slice(from, extents);
        CHECK(same_bits(tensor<T>(heed::rotate(part, rope, 333)), of_part));
    }
}

TEMPLATE_TEST_CASE("any number of threads gives the same bits", "", HEED_TEST_SCALARS) {
    using T = TestType;
    heed_test::generator random;
    // The second is large enough to be written past the caches.
    for (const index n : {100, 2500}) {
        const auto rope = heed::rope::plain({.dim = 100});
        const auto x = random.tensor<T>(2, 5, n, 101);
        const tensor<T> expected = heed::rotate(x, rope);
        CHECK(is_rotated<T>(expected, x, rope, row));
        for (const int threads : {1, 2, 3, 8}) {
            Eigen::ThreadPool pool(threads);
            CHECK(same_bits(tensor<T>(heed::rotate(x, rope, heed::on(pool))), expected));
        }
    }
}

TEST_CASE("results past the caches are right wherever they begin") {
    heed_test::generator random;
    const index n = 9001, dim = 129;
    for (const auto layout : {heed::rope::halves, heed::rope::interleaved}) {
        const auto rope = heed::rope::plain({.dim = 66, .layout = layout});
        const auto x = random.tensor<float>(2, n, dim);
        std::vector<float> memory(static_cast<std::size_t>(2 * n * dim + 40), 7.F);
        for (const index start : {0, 1, 5, 17}) {
            const auto y = heed::view(memory.data() + start, {index(2), n, dim});
            heed::rotate_into(y, x, rope);
            CHECK(is_rotated<float>(y, x, rope, row));
            for (index i = 0; i < start; ++i) CHECK(memory[static_cast<std::size_t>(i)] == 7.F);
            CHECK(memory[static_cast<std::size_t>(start + 2 * n * dim)] == 7.F);
            std::fill(memory.begin(), memory.end(), 7.F);
        }
    }
}

TEMPLATE_TEST_CASE("back undoes forth, and keeps the norm", "", HEED_TEST_SCALARS) {
    using T = TestType;
    heed_test::generator random;
    for (const auto layout : {heed::rope::halves, heed::rope::interleaved}) {
        const auto rope = heed::rope::plain({.dim = 48, .layout = layout});
        const auto x = random.matrix<T>(400, 50);
        const auto y = heed::rotate(x, rope, 1e5);
        const T small = 20 * std::numeric_limits<T>::epsilon();
        CHECK((heed::rotate_back(y, rope, 1e5) - x).cwiseAbs().maxCoeff() <= small);
        CHECK((y.rowwise().norm() - x.rowwise().norm()).cwiseAbs().maxCoeff() <= 20 * small);
        CHECK(y.rightCols(2) == x.rightCols(2));
        CHECK((y.leftCols(48) - x.leftCols(48)).cwiseAbs().maxCoeff() > T(0.5));
    }
}

TEST_CASE("position 0 leaves rows as they are") {
    heed_test::generator random;
    const auto x = random.matrix<float>(1, 64);
    CHECK(heed::rotate(x, heed::rope::plain({.dim = 64})) == x);
    const auto rows = random.matrix<float>(9, 64);
    CHECK(heed::rotate(rows, heed::rope::plain({.dim = 64}), std::vector<int>(9, 0)) == rows);
}

TEST_CASE("the product of q and k depends on the difference of their positions only") {
    heed_test::generator random;
    for (const auto layout : {heed::rope::halves, heed::rope::interleaved}) {
        const auto rope = heed::rope::plain({.dim = 32, .layout = layout});
        const auto q = random.matrix<double>(1, 40), k = random.matrix<double>(1, 40);
        const double difference = random.uniform(-30, 30);
        const auto product = [&](double at) {
            return heed::rotate(q, rope, at + difference)
                .row(0)
                .dot(heed::rotate(k, rope, at).row(0));
        };
        const double expected = product(0);
        for (const double at : {1.0, 7.5, -3.0, 4000.0, 1e6})
            CHECK(product(at) == Approx(expected).epsilon(1e-8).margin(1e-8));
        CHECK(
            std::abs(
                heed::rotate(q, rope, 1 + difference).row(0).dot(heed::rotate(k, rope, 0).row(0)) -
                expected) > 1e-6);
    }
}

TEST_CASE("the layouts differ by a permutation of the dimensions") {
    heed_test::generator random;
    const index r = 26;
    const auto halves = heed::rope::plain({.dim = r});
    const auto interleaved = heed::rope::plain({.dim = r, .layout = heed::rope::interleaved});
    const auto x = random.matrix<float>(50, 30);
    auto permute = [&](const Eigen::Matrix<float, -1, -1, Eigen::RowMajor>& from) {
        auto to = from;
        for (index t = 0; t < r / 2; ++t) {
            to.col(2 * t) = from.col(t);
            to.col(2 * t + 1) = from.col(t + r / 2);
        }
        return to;
    };
    CHECK(permute(heed::rotate(x, halves)) == heed::rotate(permute(x), interleaved));
}

TEST_CASE("an attention factor multiplies what is rotated, forth and back") {
    heed_test::generator random;
    const auto plain = heed::rope::plain({.dim = 12});
    const heed::rope::frequencies scaled(plain.angular(), heed::rope::halves, 1.3);
    const auto x = random.matrix<double>(20, 14);
    CHECK(is_rotated<double>(heed::rotate(x, scaled), x, scaled, row));
    CHECK(is_rotated<double>(heed::rotate_back(x, scaled), x, scaled, row, -1));
    CHECK(heed::rotate(x, scaled).rightCols(2) == x.rightCols(2));
}

TEST_CASE("rotate_back is the gradient of rotate") {
    heed_test::generator random;
    for (const auto layout : {heed::rope::halves, heed::rope::interleaved}) {
        const heed::rope::frequencies rope(heed::rope::plain({.dim = 10}).angular(), layout, 1.2);
        auto x = random.matrix<double>(6, 12);
        const auto d_y = random.matrix<double>(6, 12);
        const auto loss = [&] { return heed::rotate(x, rope, 41.5).cwiseProduct(d_y).sum(); };
        const auto d_x = heed::rotate_back(d_y, rope, 41.5);
        for (index i = 0; i < x.size(); ++i) {
            const double step = 1e-4, at = x.data()[i];
            x.data()[i] = at + step;
            const double above = loss();
            x.data()[i] = at - step;
            const double below = loss();
            x.data()[i] = at;
            CHECK((above - below) / (2 * step) == Approx(d_x.data()[i]).margin(1e-8));
        }
    }
}

TEST_CASE("empty tensors stay empty") {
    const auto rope = heed::rope::plain({.dim = 8});
    CHECK(heed::rotate(tensor<float>(0, 2, 3, 8), rope).size() == 0);
    CHECK(heed::rotate(tensor<float>(2, 0, 3, 8), rope).size() == 0);
    CHECK(heed::rotate(tensor<float>(2, 3, 0, 8), rope).size() == 0);
    CHECK(heed::rotate(Eigen::MatrixXf(0, 8), rope, std::vector<int>{}).size() == 0);
}

TEST_CASE("NaN and infinities stay in their pairs") {
    Eigen::MatrixXf x = Eigen::MatrixXf::Ones(4, 8);
    x(2, 1) = std::numeric_limits<float>::quiet_NaN();
    const auto y = heed::rotate(x, heed::rope::plain({.dim = 8}));
    for (index i = 0; i < 4; ++i)
        for (index c = 0; c < 8; ++c) CHECK(std::isnan(y(i, c)) == (i == 2 && (c == 1 || c == 5)));
}

TEST_CASE("a second call of a shape allocates nothing") {
    heed_test::generator random;
    const auto rope = heed::rope::plain({.dim = 64});
    const auto x = random.tensor<float>(2, 3, 600, 64);
    tensor<float> y(x.dimensions());
    const std::vector<int> positions(600, 3);
    heed::workspace scratch;
    Eigen::ThreadPool pool(2);
    heed_test::await_threads(pool);
    for (int threads = 0; threads < 2; ++threads) {
        const auto run = [&] {
            if (threads == 0) heed::rotate_into(y, x, rope, positions, heed::in(scratch));
            if (threads == 1) heed::rotate_into(y, x, rope, heed::in(scratch), heed::on(pool));
        };
        run();
        run();
        const auto before = heed_test::allocations();
        run();
        CHECK(heed_test::allocations() == before);
    }
}

TEST_CASE("what does not fit is refused by name, and nothing is written") {
    using Catch::Matchers::Contains;
    heed_test::generator random;
    const auto x = random.tensor<float>(2, 3, 10, 16);
    tensor<float> y(2, 3, 10, 16);
    y.setConstant(7.F);
    const auto rope = heed::rope::plain({.dim = 16});
    const auto wide = heed::rope::plain({.dim = 18});
    CHECK_THROWS_AS(heed::rotate_into(y, x, wide), heed::shape_error);
    CHECK_THROWS_WITH(heed::rotate_into(y, x, wide), Contains("18") && Contains("[2, 3, 10, 16]"));
    CHECK_THROWS_AS(heed::rotate_into(y, x, rope, std::vector<int>(9)), heed::shape_error);
    CHECK_THROWS_WITH(heed::rotate_into(y, x, rope, std::vector<int>(9)),
                      Contains("positions") && Contains("9") && Contains("10"));
    CHECK_THROWS_AS(heed::rotate_into(y, x, rope, Eigen::MatrixXf(3, 10)), heed::shape_error);
    CHECK_THROWS_AS(heed::rotate_into(y, x, rope, Eigen::MatrixXf(2, 9)), heed::shape_error);
    CHECK_THROWS_AS(heed::rotate_into(y, x, rope, std::nan("")), heed::argument_error);
    std::vector<double> positions(10);
    positions[4] = std::numeric_limits<double>::infinity();
    CHECK_THROWS_AS(heed::rotate_into(y, x, rope, positions), heed::argument_error);
    CHECK_THROWS_WITH(heed::rotate_into(y, x, rope, positions), Contains("inf"));
    CHECK_THROWS_AS(heed::rotate_into(y, tensor<float>(2, 3, 11, 16), rope), heed::shape_error);
    const float* null = nullptr;
    CHECK_THROWS_AS(heed::rotate_into(y, heed::view(null, {2, 3, 10, 16}), rope),
                    heed::shape_error);
    CHECK((Eigen::Map<Eigen::ArrayXf>(y.data(), y.size()) == 7.F).all());

    // Before memory is asked for, and by the name of what was given.
    const auto bad = heed::view(x.data(), {-4, 16});
    const auto huge = heed::view(x.data(), {heed::index(1) << 31, heed::index(1) << 31}, {0, 0});
    const auto axial = heed::rope::axial({.dims = {8, 8}});
    const Eigen::MatrixXf grid = Eigen::MatrixXf::Zero(4, 2);
    const char* message = "x has shape [-4, 16], but extents must not be negative";
    CHECK_THROWS_WITH(heed::rotate(bad, rope), message);
    CHECK_THROWS_WITH(heed::rotate_back(bad, rope), message);
    CHECK_THROWS_WITH(heed::rotate(bad, axial, grid), message);
    CHECK_THROWS_WITH(heed::rotate_back(bad, axial, grid), message);
    CHECK_THROWS_WITH(heed::rotate(huge, rope),
                      Catch::Matchers::StartsWith("x has shape [2147483648"));
}

TEST_CASE("overlap is refused unless it is the very same view") {
    std::vector<float> memory(2 * 10 * 16 + 16, 1.F);
    const auto rope = heed::rope::plain({.dim = 16});
    const auto x = heed::view(memory.data(), {2, 10, 16});
    const auto later = heed::view(memory.data() + 16, {2, 10, 16});
    CHECK_THROWS_AS(heed::rotate_into(later, x, rope), heed::argument_error);
    const auto turned = heed::view(memory.data(), {2, 10, 16}, {16, 32, 1});
    CHECK_THROWS_AS(heed::rotate_into(turned, x, rope), heed::argument_error);
    CHECK_THROWS_AS(heed::rotate_into(heed::view(memory.data(), {2, 10, 16}, {0, 16, 1}),
                                      heed::view(memory.data(), {2, 10, 16}, {0, 16, 1}), rope),
                    heed::argument_error);
    CHECK_NOTHROW(heed::rotate_into(x, x, rope));

    // Positions are read while y is written.
    const auto check = [](auto&& call) {
        CHECK_THROWS_WITH(
            call(), Catch::Matchers::StartsWith("y (shape [2, 10, 16]) overlaps the positions"));
        CHECK_THROWS_AS(call(), heed::argument_error);
    };
    const std::vector<float> apart(2 * 10 * 16, 1.F);
    const auto other = heed::view(apart.data(), {2, 10, 16});
    const auto positions = heed::view(memory.data() + 5, {10}, {16});
    const auto of_axes = heed::view(memory.data() + 5, {10, 2});
    const auto axial = heed::rope::axial({.dims = {8, 8}});
    check([&] { heed::rotate_into(x, other, rope, positions); });
    check([&] { heed::rotate_back_into(x, other, rope, positions); });
    check([&] { heed::rotate_into(x, other, axial, of_axes); });
    check([&] { heed::rotate_back_into(x, other, axial, of_axes); });
    // Between the rows there is room for them.
    std::vector<float> rows(20 * 17, 1.F);
    CHECK_NOTHROW(heed::rotate_into(heed::view(rows.data(), {2, 10, 16}, {170, 17, 1}), other, rope,
                                    heed::view(rows.data() + 16, {10}, {17})));
}

}  // namespace test_rotate
