#include <cstddef>
#include <limits>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/Tensor>
#include <unsupported/Eigen/CXX11/ThreadPool>

#include <heed/projection.hpp>

#include "projection_check.hpp"
#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"
#include "support/threads.hpp"

namespace test_projection {

/// Rows alone, in chunks, by any number of threads, of packed weights and of those in place: the
/// bits of all rows at once.
template <class T>
void check_rows(Eigen::Index rows, Eigen::Index inputs, Eigen::Index outputs,
                heed_test::generator& random) {
    const row_major<T> x = random.matrix<T>(rows, inputs),
                       weight = random.matrix<T>(outputs, inputs);
    const column_major<T> columns = weight;
    const vector<T> bias = random.matrix<T>(outputs, 1);
    const heed::packed_weights<T> packed(weight, bias);
    const row_major<T> whole = heed::project(x, packed);
    Eigen::ThreadPool two(2), five(5);
    CHECK(same_bits(heed::project(x, packed, heed::on(two)), whole));
    CHECK(same_bits(heed::project(x, packed, heed::on(five)), whole));
    CHECK(same_bits(heed::project(x, heed::weights(columns, bias), heed::on(five)), whole));
    CHECK(same_bits(heed::project(x, heed::weights(weight, bias)), whole));
    bool same = true;
    for (Eigen::Index first = 0; first < rows;) {
        const Eigen::Index count =
            std::min(rows - first, random.one_of<Eigen::Index>({1, 1, 1, 2, 3, 4, 7, 50}));
        const auto part = x.middleRows(first, count);
        const row_major<T> expected = whole.middleRows(first, count);
        same &= same_bits(heed::project(part, packed), expected);
        same &=
            same_bits(heed::project(part, heed::weights(weight, bias), heed::on(two)), expected);
        same &= same_bits(heed::project(part, heed::weights(columns, bias)), expected);
        first += count;
    }
    CHECK(same);
}

TEMPLATE_TEST_CASE("a row's projection does not depend on the rows beside it", "",
                   HEED_TEST_SCALARS) {
    heed_test::generator random;
    check_rows<TestType>(431, 31, 97, random);
    check_rows<TestType>(61, 601, 140, random);   // several depth blocks
    check_rows<TestType>(13, 257, 1201, random);  // several tasks of panels
    check_rows<TestType>(9, 1, 1, random);
    // More rows than are packed at a time.
    const Eigen::Index rows = 40, inputs = (Eigen::Index(16) << 20) / 4 / 32 + 5;
    const row_major<float> x = random.matrix<float>(rows, inputs);
    const heed::packed_weights<float> weights(random.matrix<float>(3, inputs));
    const row_major<float> whole = heed::project(x, weights);
    CHECK(same_bits(heed::project(x.row(39), weights), whole.row(39)));
}

TEST_CASE("ten thousand rows, and each alone") {
    heed_test::generator random;
    const row_major<float> x = random.matrix<float>(10000, 24);
    const heed::packed_weights<float> weights(random.matrix<float>(40, 24));
    const row_major<float> whole = heed::project(x, weights);
    bool same = true;
    for (Eigen::Index r = 0; r < x.rows(); r += 7)
        same &= same_bits(heed::project(x.row(r), weights), whole.row(r));
    CHECK(same);
}

TEST_CASE("what is not finite stays in its row, and in its output") {
    heed_test::generator random;
    for (const Eigen::Index rows : {3, 40}) {
        row_major<float> x = random.matrix<float>(rows, 70), weight = random.matrix<float>(50, 70);
        const row_major<float> before = heed::project(x, heed::packed_weights<float>(weight));
        x(1, 3) = std::numeric_limits<float>::quiet_NaN();
        x(2, 0) = std::numeric_limits<float>::infinity();
        row_major<float> y = heed::project(x, heed::packed_weights<float>(weight));
        CHECK(y.row(1).array().isNaN().all());
        CHECK_FALSE(y.row(2).array().isFinite().any());
        y.row(1) = before.row(1);
        y.row(2) = before.row(2);
        CHECK(same_bits(y, before));
        x = random.matrix<float>(rows, 70);
        const row_major<float> plain = heed::project(x, heed::packed_weights<float>(weight));
        weight(49, 2) = std::numeric_limits<float>::quiet_NaN();
        for (const row_major<float>& z :
             {row_major<float>(heed::project(x, heed::packed_weights<float>(weight))),
              row_major<float>(heed::project(x, heed::weights(weight)))}) {
            CHECK(z.col(49).array().isNaN().all());
            CHECK(same_bits(z.leftCols(49), plain.leftCols(49)));
        }
    }
}

TEST_CASE("rows that lie anywhere, into memory that lies anywhere, without allocating") {
    heed_test::generator random;
    const Eigen::Index batch = 3, heads = 4, n = 5, d = 37, outputs = 50;
    const auto memory = random.tensor<float>(batch, n, heads, d);
    const row_major<float> weight = random.matrix<float>(outputs, d);
    const heed::packed_weights<float> packed(weight);
    const auto permuted = heed::view(memory.data(), {batch, heads, n, d},
                                     {n * heads * d, d, heads * d, Eigen::Index(1)});
    Eigen::Tensor<float, 4, Eigen::RowMajor> y = heed::project(permuted, packed);
    const Eigen::Tensor<float, 4, Eigen::RowMajor> plain = heed::project(memory, packed);
    bool same = true;
    for (Eigen::Index b = 0; b < batch; ++b)
        for (Eigen::Index h = 0; h < heads; ++h)
            for (Eigen::Index i = 0; i < n; ++i)
                for (Eigen::Index o = 0; o < outputs; ++o)
                    same &= y(b, h, i, o) == plain(b, i, h, o);
    CHECK(same);

    Eigen::Tensor<float, 4> across(batch, heads, n, outputs);  // column-major
    Eigen::ThreadPool pool(2);
    heed_test::await_threads(pool);
    heed::workspace scratch;
    const auto in_place = heed::weights(weight);
    heed::project_into(across, permuted, in_place, heed::on(pool), heed::in(scratch));
    heed::project_into(y, permuted, in_place, heed::on(pool), heed::in(scratch));
    const auto before = heed_test::allocations();
    for (int round = 0; round < 4; ++round) {
        heed::project_into(across, permuted, in_place, heed::on(pool), heed::in(scratch));
        heed::project_into(y, permuted, packed, heed::on(pool), heed::in(scratch));
    }
    CHECK(heed_test::allocations() == before);
    CHECK(rows_of(across) == rows_of(y));

    // Backwards rows, and a block of a matrix.
    const row_major<float> x = random.matrix<float>(9, d);
    const row_major<float> expected = heed::project(x, packed);
    const auto backwards =
        heed::view(x.data() + x.size() - 1, {Eigen::Index(9), d}, {-d, Eigen::Index(-1)});
    const row_major<float> flipped = weight.rowwise().reverse();
    column_major<float> large = column_major<float>::Zero(30, 80);
    heed::project_into(large.block(2, 3, 9, outputs), backwards, heed::weights(flipped));
    // The order of the sum is another, so are the bits.
    CHECK(large.block(2, 3, 9, outputs).colwise().reverse().isApprox(expected, 1e-5F));
    CHECK(large.topRows(2).isZero());
    CHECK(large.rightCols(80 - 3 - outputs).isZero());
}

}  // namespace test_projection
