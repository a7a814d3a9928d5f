#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include <heed/softmax/log_softmax.hpp>
#include <heed/softmax/log_sum_exp.hpp>
#include <heed/softmax/softmax.hpp>
#include <heed/softmax/softmax_plus_one.hpp>

#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

namespace test_rows {

using row_major = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

const float infinity = std::numeric_limits<float>::infinity();

TEST_CASE("rows are the same bits for any number of threads, alone or among others") {
    heed_test::generator random;
    // The last is large enough to be streamed past the caches.
    for (const auto& [rows, columns] :
         {std::pair<Eigen::Index, Eigen::Index>{300, 67}, {1, 5000}, {37, 1000}, {131, 33001}}) {
        const auto x = random.matrix<float>(rows, columns);
        const row_major p = heed::softmax(x);
        const Eigen::VectorXf z = heed::log_sum_exp(x);
        for (const int threads : {1, 2, 3, 8}) {
            Eigen::ThreadPool pool(threads);
            CHECK((heed::softmax(x, heed::on(pool)) == p));
            CHECK((heed::log_sum_exp(x, heed::on(pool)) == z));
        }
        bool same = true;
        for (Eigen::Index r = 0; r < rows; ++r)
            same = same && (heed::softmax(x.row(r)) == p.row(r));
        CHECK(same);
        row_major y = x;
        heed::softmax.into(y, y);
        CHECK((y == p));
        // Rows that begin anywhere.
        row_major wide = row_major::Zero(rows, columns + 3);
        heed::softmax.into(wide.middleCols(1, columns), x);
        CHECK((wide.middleCols(1, columns) == p));
        CHECK(wide.col(0).isZero());
        CHECK(wide.rightCols(2).isZero());
    }
    const auto columns = random.matrix<float, Eigen::ColMajor>(333, 59);
    const Eigen::MatrixXf p = heed::softmax(columns);
    for (const int threads : {1, 2, 3, 8}) {
        Eigen::ThreadPool pool(threads);
        CHECK((heed::softmax(columns, heed::on(pool)) == p));
    }
    // (A single row of a column-major matrix is contiguous: another layout, another order of sums.)
    bool same = true;
    for (Eigen::Index r = 0; r < 300; ++r)
        same = same && (heed::softmax(columns.middleRows(r, 2 + r % 32).eval()) ==
                        p.middleRows(r, 2 + r % 32));
    CHECK(same);
}

TEST_CASE("extreme rows, in every layout") {
    Eigen::MatrixXf x(8, 5);
    x << 1e4f, 1e4f, -1e4f, 0, 1e4f,                            //
        -infinity, 2, -infinity, 2, -infinity,                  //
        -infinity, -infinity, -infinity, -infinity, -infinity,  //
        1, NAN, 2, 3, 4,                                        //
        infinity, 0, 0, 0, 0,                                   //
        1e-40f, -1e-40f, 0, -0.f, 1e-45f,                       //
        -3e38f, -3e38f, -3e38f, -3e38f, -3e38f,                 //
        3e38f, -3e38f, 0, 0, 0;
    const auto check = [](const auto& p) {
        CHECK(p(0, 0) == 1 / 3.f);
        CHECK(p(0, 2) == 0);
        CHECK(p(1, 1) == 0.5f);
        CHECK(p(1, 0) == 0);
        for (int i = 0; i < 5; ++i) {
            CHECK(p(2, i) == 0);
            CHECK(std::isnan(p(3, i)));
            CHECK(std::isnan(p(4, i)));
            CHECK(p(5, i) == 0.2f);
            CHECK(p(6, i) == 0.2f);
            CHECK(p(7, i) == (i == 0 ? 1.f : 0.f));
        }
    };
    check(heed::softmax(x));
    check(heed::softmax(row_major(x)));
    Eigen::MatrixXf spread(16, 10);
    Eigen::Map<Eigen::MatrixXf, 0, Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>> every_second(
        spread.data(), 8, 5, Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>(32, 2));
    every_second = x;
    heed::softmax.into(every_second, every_second);
    check(every_second);

    // What a row's neighbours hold does not matter to it.
    const row_major repeated = row_major(x).replicate(5, 1);
    for (Eigen::Index r = 0; r < 40; r += 8) check(heed::softmax(repeated).middleRows(r, 8).eval());

    CHECK(heed::softmax.temperature(1e-30)(x)(1, 1) == 0.5f);
    CHECK(heed::softmax.temperature(1e30)(x)(0, 2) == Approx(0.2));
    CHECK(heed::softmax.temperature(1e-300)(x)(7, 0) == 1);
}

TEST_CASE("rows without elements, and no rows at all") {
    CHECK(heed::softmax(Eigen::MatrixXf(0, 5)).rows() == 0);
    CHECK(heed::softmax(Eigen::MatrixXf(5, 0)).cols() == 0);
    CHECK(heed::softmax(Eigen::VectorXf(0)).size() == 0);
    CHECK(heed::softmax(Eigen::Tensor<double, 3>(2, 0, 3)).size() == 0);
    CHECK(heed::log_softmax(Eigen::Tensor<double, 3>(2, 3, 0)).size() == 0);
    CHECK((heed::softmax(Eigen::VectorXf::Constant(1, 7.f)).array() == 1).all());
    CHECK((heed::softmax(Eigen::MatrixXf::Constant(40, 1, -7.f)).array() == 1).all());
}

TEST_CASE("bad arguments of functions of rows are refused before anything is written") {
    const Eigen::MatrixXf x = Eigen::MatrixXf::Ones(4, 6);
    Eigen::MatrixXf y = Eigen::MatrixXf::Constant(6, 4, 9);
    CHECK_THROWS_AS(heed::softmax.into(y, x), heed::shape_error);
    CHECK_THROWS_WITH(heed::softmax.into(y, x),
                      Catch::Matchers::Contains("y has shape [6, 4] and x has shape [4, 6]"));
    CHECK_THROWS_AS(heed::softmax.backward(x, y, x), heed::shape_error);
    CHECK_THROWS_AS(heed::softmax.backward(x, x, y), heed::shape_error);
    CHECK_THROWS_AS(heed::softmax.into(y.topRows(5), y.bottomRows(5)), heed::argument_error);
    CHECK_THROWS_AS(heed::softmax.into(y.topRows(4).transpose(), y.topRows(4)),
                    heed::argument_error);
    CHECK_THROWS_AS(heed::softmax.into(heed::view(y.data(), {4, 6}, {0, 1}), x),
                    heed::argument_error);
    float* null = nullptr;
    CHECK_THROWS_AS(heed::softmax.into(heed::view(null, {4, 6}), x), heed::shape_error);
    CHECK_THROWS_AS(heed::softmax(heed::view(null, {4, 6})), heed::shape_error);
    CHECK((y.array() == 9).all());

    for (const double tau : {0.0, -1.0, static_cast<double>(NAN), static_cast<double>(INFINITY)}) {
        CHECK_THROWS_AS(heed::softmax.temperature(tau), heed::argument_error);
        CHECK_THROWS_AS(heed::log_softmax.temperature(tau), heed::argument_error);
        CHECK_THROWS_AS(heed::log_sum_exp.temperature(tau), heed::argument_error);
        CHECK_THROWS_AS(heed::softmax_plus_one.temperature(tau), heed::argument_error);
    }
    CHECK_THROWS_WITH(heed::softmax.temperature(-1),
                      Catch::Matchers::Contains("the temperature is -1"));
}

TEST_CASE("a second call of a shape allocates nothing") {
    heed_test::generator random;
    const auto rows = random.matrix<float>(70, 190);
    const auto columns = random.matrix<float, Eigen::ColMajor>(70, 190);
    const auto large = random.matrix<float>(150, 32768);
    row_major y = rows, large_y = large;
    Eigen::MatrixXf y_columns = columns;
    Eigen::VectorXf z(70);
    heed::workspace scratch;
    const auto all = [&] {
        heed::softmax.into(y, rows, heed::in(scratch));
        heed::softmax.into(y_columns, columns, heed::in(scratch));
        heed::softmax.into(large_y, large, heed::in(scratch));
        heed::log_sum_exp.into(z, columns, heed::in(scratch));
        heed::softmax.backward_into(y, rows, rows, rows, heed::in(scratch));
    };
    all();
    const std::size_t before = heed_test::allocations();
    all();
    CHECK(heed_test::allocations() == before);
}

}  // namespace test_rows
