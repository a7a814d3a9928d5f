#include <cstdint>
#include <limits>
#include <vector>

#include <heed/core/view.hpp>

#include "support/catch.hpp"
#include "support/random.hpp"

namespace test_view {

using heed::rank_of;
using heed::scalar_of;
using heed::tensor_like;
using namespace heed::detail;
using heed::index;  // inside a namespace: <strings.h> has a global one

/// Whether the view of `x` reads what Eigen's own indexing reads.
template <class X>
bool same_elements(const X& x) {
    const auto held = evaluate(x);
    const auto seen = held.view();
    const typename X::PlainObject plain = x;
    if (seen.extents != std::array<index, 2>{x.rows(), x.cols()}) return false;
    for (index i = 0; i < x.rows(); ++i)
        for (index j = 0; j < x.cols(); ++j)
            if (seen(i, j) != plain(i, j)) return false;
    return true;
}

/// Whether the evaluated expression's memory is the object's own.
template <class X, class T>
bool refers_to(const X& x, const T* data) {
    return evaluate(x).view().data == data;
}

/// What a function of x returns whose result has x's shape.
template <class X>
auto same_as(const X& x) {
    return make_same<X>(evaluate(x).view().extents);
}

template <class T, class X>
constexpr bool is = std::is_same_v<T, std::remove_cvref_t<X>>;

TEMPLATE_TEST_CASE("matrices and arrays of both storage orders are seen as they are", "", float,
                   double) {
    using T = TestType;
    heed_test::generator random;
    const auto rows = random.matrix<T, Eigen::RowMajor>(7, 5);
    const auto columns = random.matrix<T, Eigen::ColMajor>(7, 5);
    CHECK(same_elements(rows));
    CHECK(same_elements(columns));
    CHECK(same_elements(rows.transpose()));
    CHECK(same_elements(columns.block(2, 1, 4, 3)));
    CHECK(same_elements(rows.block(2, 1, 4, 3).transpose()));
    CHECK(same_elements(columns.row(3)));
    CHECK(same_elements(rows.col(3)));
    CHECK(same_elements(rows.array()));
    CHECK(same_elements(columns.diagonal()));
    CHECK(same_elements(rows.colwise().reverse()));
    CHECK(same_elements(rows * columns.transpose()));
    CHECK(same_elements((rows + columns).cwiseAbs()));
    CHECK(same_elements(rows.array().exp()));

    const Eigen::Array<T, Eigen::Dynamic, Eigen::Dynamic> array = columns;
    CHECK(same_elements(array));
    const Eigen::Matrix<T, 3, 4> fixed = columns.template topLeftCorner<3, 4>();
    CHECK(same_elements(fixed));
    const Eigen::Matrix<T, Eigen::Dynamic, 1> vector = columns.col(1);
    CHECK(same_elements(vector));
    CHECK(same_elements(vector.transpose()));

    const Eigen::Map<const Eigen::Matrix<T, 3, 2>, 0, Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>>
        strided(columns.data(), Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>(7, 2));
    CHECK(same_elements(strided));
    const Eigen::Map<const Eigen::Matrix<T, Eigen::Dynamic, 1>, 0, Eigen::InnerStride<>>
        every_third(rows.data(), 6, Eigen::InnerStride<>(3));
    CHECK(same_elements(every_third));
    const Eigen::Ref<const Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic>> reference =
        columns.block(1, 1, 3, 3);
    CHECK(same_elements(reference));

    // What lies in memory is not copied.
    CHECK(refers_to(columns, columns.data()));
    CHECK(refers_to(rows.transpose(), rows.data()));
    CHECK(refers_to(columns.block(2, 1, 4, 3), &columns(2, 1)));
    CHECK(refers_to(array, array.data()));
    CHECK(refers_to(reference, &columns(1, 1)));
}

TEST_CASE("tensors of both layouts are seen as they are") {
    heed_test::generator random;
    const auto rows = random.tensor<float>(3, 4, 5);
    const Eigen::Tensor<float, 3> columns =
        rows.swap_layout().shuffle(Eigen::array<int, 3>{2, 1, 0});
    const Eigen::TensorMap<const Eigen::Tensor<float, 3>> map(columns.data(), 3, 4, 5);
    Eigen::TensorFixedSize<float, Eigen::Sizes<3, 4, 5>> fixed;
    fixed = columns;
    const auto check = [&](const auto& x, float factor) {
        const auto held = evaluate(x);
        const auto seen = held.view();
        REQUIRE(seen.extents == std::array<index, 3>{3, 4, 5});
        for (index i = 0; i < 3; ++i)
            for (index j = 0; j < 4; ++j)
                for (index k = 0; k < 5; ++k) CHECK(seen(i, j, k) == factor * rows(i, j, k));
    };
    check(rows, 1);
    check(columns, 1);
    check(map, 1);
    check(fixed, 1);
    check(columns + columns, 2);
    check(rows * 3.f, 3);
    check(heed::view(rows.data(), {3, 4, 5}), 1);
    check(heed::view(columns.data(), {3, 4, 5}, {1, 3, 12}), 1);

    CHECK(refers_to(rows, rows.data()));
    CHECK(refers_to(map, columns.data()));
    CHECK(refers_to(fixed, fixed.data()));
    STATIC_REQUIRE(rank_of<decltype(rows)> == 3);
    STATIC_REQUIRE(rank_of<decltype(columns + columns)> == 3);
    STATIC_REQUIRE(rank_of<decltype(columns.chip(0, 1))> == 2);
    STATIC_REQUIRE(is<float, scalar_of<Eigen::TensorMap<Eigen::Tensor<const float, 2>>>>);

    Eigen::Tensor<double, 0> number;
    number() = 5;
    CHECK(evaluate(number).view()() == 5);
    CHECK(evaluate(number).view().size() == 1);
}

TEST_CASE("heed::view takes extents and strides of any integral types") {
    std::vector<double> memory(24);
    for (std::size_t i = 0; i < memory.size(); ++i) memory[i] = static_cast<double>(i);
    const int two = 2;
    const std::size_t three = 3;
    const std::int64_t four = 4;
    const auto dense = heed::view(memory.data(), {two, three, four});
    CHECK(dense.strides == std::array<index, 3>{12, 4, 1});
    const auto permuted = heed::view(memory.data(), {three, four, two}, {4, 1, three * 4});
    CHECK(permuted(2, 3, 1) == dense(1, 2, 3));
    const auto reversed = heed::view(memory.data() + 23, {24}, {-1});
    CHECK(reversed(0) == 23);
    CHECK(reversed(23) == 0);
    const auto arrays =
        heed::view(memory.data(), std::array<int, 2>{4, 6}, std::array<long, 2>{6, 1});
    CHECK(arrays(3, 5) == 23);
    CHECK(heed::view(memory.data(), std::array<int, 2>{4, 6})(1, 2) == 8);
    CHECK(heed::view(memory.data(), Eigen::DSizes<Eigen::DenseIndex, 2>(4, 6)).extents ==
          std::array<index, 2>{4, 6});
    const double* constant = memory.data();
    STATIC_REQUIRE(is<heed::tensor_view<const double, 2>, decltype(heed::view(constant, {1, 2}))>);
    // A step back that was computed unsigned is one; an extent without an end stays positive.
    CHECK(heed::view(memory.data() + 23, {24}, {std::size_t(0) - 1})(23) == 0);
    CHECK(heed::view(memory.data() + 23, std::array{24}, std::array{std::size_t(0) - 1})(23) == 0);
    constexpr index most = std::numeric_limits<index>::max();
    CHECK(heed::view(memory.data(), {std::size_t(0) - 1}, {0}).extents[0] == most);
    CHECK(heed::view(memory.data(), std::array{std::size_t(0) - 1}).extents[0] == most);
    const heed::tensor_view<const double, 3> converted = dense;
    CHECK(converted(1, 2, 3) == 23);
}

TEST_CASE("only what can be written to and outlives the call is an output") {
    using matrix = Eigen::MatrixXf;
    using tensor = Eigen::Tensor<float, 2>;
    using map = Eigen::TensorMap<tensor>;
    STATIC_REQUIRE(writable_like<matrix&>);
    STATIC_REQUIRE_FALSE(writable_like<matrix>);
    STATIC_REQUIRE_FALSE(writable_like<const matrix&>);
    STATIC_REQUIRE(writable_like<decltype(std::declval<matrix&>().row(0))>);
    STATIC_REQUIRE(writable_like<decltype(std::declval<matrix&>().transpose())>);
    STATIC_REQUIRE_FALSE(writable_like<decltype(std::declval<const matrix&>().row(0))>);
    STATIC_REQUIRE_FALSE(writable_like<decltype(std::declval<matrix&>() * 2.f)>);
    STATIC_REQUIRE(writable_like<Eigen::Map<matrix>>);
    STATIC_REQUIRE(writable_like<Eigen::Ref<matrix>>);
    STATIC_REQUIRE_FALSE(writable_like<Eigen::Map<const matrix>>);
    STATIC_REQUIRE_FALSE(writable_like<Eigen::Ref<const matrix>&>);
    STATIC_REQUIRE(writable_like<tensor&>);
    STATIC_REQUIRE_FALSE(writable_like<tensor>);
    STATIC_REQUIRE_FALSE(writable_like<const tensor&>);
    STATIC_REQUIRE(writable_like<map>);
    STATIC_REQUIRE(writable_like<const map&>);
    STATIC_REQUIRE_FALSE(writable_like<Eigen::TensorMap<const tensor>&>);
    STATIC_REQUIRE(writable_like<heed::tensor_view<float, 2>>);
    STATIC_REQUIRE_FALSE(writable_like<heed::tensor_view<const float, 2>>);
    STATIC_REQUIRE_FALSE(tensor_like<int>);
    STATIC_REQUIRE_FALSE(tensor_like<std::vector<float>>);

    matrix x = matrix::Zero(3, 4);
    view_of(x.row(1))(0, 2) = 5;
    view_of(x.transpose())(3, 0) = 7;
    CHECK(x(1, 2) == 5);
    CHECK(x(0, 3) == 7);
}

TEST_CASE("a part refers to lvalues and owns temporaries") {
    heed_test::generator random;
    Eigen::MatrixXf x = random.matrix<float, Eigen::ColMajor>(3, 4);
    CHECK(keep(x).view().data == x.data());
    CHECK(keep(x.block(1, 1, 2, 2)).view().data == &x(1, 1));
    const auto sum = keep(x + x);
    CHECK(sum.view()(2, 3) == 2 * x(2, 3));
    const float corner = x(2, 3);
    const float* memory = x.data();
    const auto moved = keep(std::move(x));
    CHECK(moved.view().data == memory);
    CHECK(moved.view()(2, 3) == corner);
    Eigen::TensorFixedSize<float, Eigen::Sizes<2>> fixed;
    fixed.setConstant(3);
    const auto kept = keep(Eigen::TensorFixedSize<float, Eigen::Sizes<2>>(fixed));
    const auto copy = kept;
    CHECK(copy.view().data != kept.view().data);
    CHECK(copy.view()(1) == 3);
}

TEST_CASE("a part owns what an Eigen::Ref may own") {
    using matrix = Eigen::MatrixXf;
    using constant = Eigen::Ref<const matrix>;
    heed_test::generator random;
    matrix x = random.matrix<float, Eigen::ColMajor>(5, 7);
    const matrix sum = x + x;
    const auto holds_sum = [&](const auto& kept, const matrix& expected) {
        // What was freed has been written over by now, if anything was.
        const std::vector<matrix> others(8, matrix::Constant(5, 7, -1));
        const auto seen = kept.view();
        bool same = seen.extents == std::array<index, 2>{expected.rows(), expected.cols()};
        for (index i = 0; same && i < expected.rows(); ++i)
            for (index j = 0; j < expected.cols(); ++j) same &= seen(i, j) == expected(i, j);
        return same && others.size() == 8;
    };
    CHECK(holds_sum(keep(constant(x + x)), sum));
    CHECK(holds_sum(keep(constant(x + x).transpose()), sum.transpose()));
    CHECK(holds_sum(keep(constant(x + x).block(1, 2, 3, 4)), sum.block(1, 2, 3, 4)));
    CHECK(holds_sum(keep(constant(x + x).transpose().topRows(2)), sum.transpose().topRows(2)));
    CHECK(holds_sum(keep(constant(x + x).array()), sum));
    // Other strides than the expression's own are a copy in the Ref, too.
    CHECK(holds_sum(keep(constant(x.transpose())), x.transpose()));
    CHECK(holds_sum(keep(Eigen::Ref<const matrix, 0, Eigen::OuterStride<>>(x.topRows(3))),
                    x.topRows(3)));

    // What cannot own anything is referred to, and so is every lvalue.
    CHECK(keep(Eigen::Ref<matrix>(x)).view().data == x.data());
    CHECK(keep(Eigen::Ref<matrix>(x).transpose()).view().data == x.data());
    CHECK(keep(Eigen::Map<const matrix>(x.data(), 5, 7)).view().data == x.data());
    CHECK(keep(x.transpose().row(2)).view().data == &x(0, 2));
    CHECK(keep(heed::view(x.data(), {5, 7})).view().data == x.data());
    const constant named = x;
    CHECK(keep(named).view().data == x.data());
}

TEST_CASE("extents of what is to be allocated are checked, and named") {
    float memory[8] = {};
    const auto refused = [](const auto& x, const char* message) {
        CHECK_THROWS_WITH(evaluate("x", x), message);
        CHECK_THROWS_AS(evaluate("x", x), heed::shape_error);
    };
    refused(heed::view(memory, {2, -1}), "x has shape [2, -1], but extents must not be negative");
    refused(heed::view(memory, {-4, 0, 5}),
            "x has shape [-4, 0, 5], but extents must not be negative");
    refused(heed::view(memory, {index(1) << 31, index(1) << 31}, {0, 0}),
            "x has shape [2147483648, 2147483648] with strides [0, 0], but its size in bytes must "
            "fit in 64 bits");
    CHECK(evaluate("x", heed::view(memory, {2, 4})).view().data == memory);
    CHECK_THROWS_WITH(
        check_result<double>("o", std::array<index, 3>{0, index(1) << 30, index(1) << 31}),
        "o would have shape [0, 1073741824, 2147483648], but its size in bytes must "
        "fit in 64 bits");
    CHECK_NOTHROW(check_result<float>("o", std::array<index, 2>{index(1) << 30, index(1) << 30}));
}

TEST_CASE("results have the kind, storage order and scalar of the first argument") {
    Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> rows(4, 5);
    Eigen::MatrixXf columns(4, 5);
    Eigen::ArrayXXf array(4, 5);
    Eigen::Matrix3f fixed;
    Eigen::Tensor<float, 4, Eigen::RowMajor> tensor(2, 3, 4, 5);
    const std::array<index, 2> two{6, 7};
    const std::array<index, 4> four{2, 3, 6, 7};

    const auto like_rows = make_like<decltype(rows)>(two);
    STATIC_REQUIRE(is<decltype(rows), decltype(like_rows)>);
    CHECK(like_rows.rows() == 6);
    CHECK(like_rows.cols() == 7);
    STATIC_REQUIRE(is<decltype(columns), decltype(make_like<decltype(columns)>(two))>);
    STATIC_REQUIRE(
        is<decltype(array), decltype(make_like<decltype(array.block(0, 0, 1, 1))>(two))>);
    STATIC_REQUIRE(
        is<Eigen::MatrixXf, decltype(make_like<Eigen::Map<const Eigen::Matrix3f>>(two))>);
    STATIC_REQUIRE(is<decltype(tensor), decltype(make_like<decltype(tensor)>(four))>);
    using map = Eigen::TensorMap<const Eigen::Tensor<double, 4>>;
    STATIC_REQUIRE(is<Eigen::Tensor<double, 4>, decltype(make_like<map>(four))>);
    STATIC_REQUIRE(is<Eigen::Tensor<float, 4, Eigen::RowMajor>,
                      decltype(make_like<heed::tensor_view<const float, 4>>(four))>);
    CHECK(make_like<map>(four).dimension(2) == 6);

    STATIC_REQUIRE(is<Eigen::Matrix3f, decltype(same_as(fixed))>);
    STATIC_REQUIRE(is<Eigen::VectorXf, decltype(same_as(columns.col(0)))>);
    STATIC_REQUIRE(is<Eigen::RowVectorXf, decltype(same_as(columns.row(0)))>);
    STATIC_REQUIRE(is<Eigen::ArrayXXf, decltype(same_as(array + array))>);
    CHECK(same_as(columns.row(0)).size() == 5);
    CHECK(same_as(tensor + tensor).dimension(3) == 5);
    STATIC_REQUIRE(is<decltype(tensor), decltype(same_as(tensor + tensor))>);
    Eigen::TensorFixedSize<float, Eigen::Sizes<2, 3>> fixed_tensor;
    STATIC_REQUIRE(is<decltype(fixed_tensor), decltype(same_as(fixed_tensor))>);
}

TEST_CASE("ranks 2 and 3 are rank 4 with leading extents of 1") {
    float* memory = nullptr;
    const auto two = rank4(heed::view(memory, {5, 6}));
    CHECK(two.extents == std::array<index, 4>{1, 1, 5, 6});
    CHECK(two.strides == std::array<index, 4>{0, 0, 6, 1});
    const auto three = rank4(heed::view(memory, {4, 5, 6}, {1, 2, 3}));
    CHECK(three.extents == std::array<index, 4>{1, 4, 5, 6});
    CHECK(three.strides == std::array<index, 4>{0, 1, 2, 3});
    CHECK(rank4(heed::view(memory, {3, 4, 5, 6})).extents == std::array<index, 4>{3, 4, 5, 6});
}

TEST_CASE("there is no step from a null pointer") {
    float* null = nullptr;
    CHECK(view_of(heed::view(null, {3, 0}, {7, 5})).strides == std::array<index, 2>{0, 0});
    CHECK(evaluate(heed::view(null, {0, 4, 2})).view().strides == std::array<index, 3>{0, 0, 0});
    Eigen::Map<Eigen::MatrixXf, 0, Eigen::OuterStride<>> map(null, 0, 5, Eigen::OuterStride<>(9));
    CHECK(view_of(map).strides == std::array<index, 2>{0, 0});
    CHECK(view_of(map).extents == std::array<index, 2>{0, 5});
    Eigen::TensorMap<Eigen::Tensor<float, 3>> tensor(null, 2, 0, 3);
    CHECK(view_of(tensor).strides == std::array<index, 3>{0, 0, 0});
    // What they are refused for stays what it was.
    CHECK_THROWS_AS(check_view("q", view_of(heed::view(null, {2, 3}, {7, 5}))), heed::shape_error);
}

TEST_CASE("impossible views are refused by name") {
    float number = 0;
    float* null = nullptr;
    const auto large = std::numeric_limits<std::int64_t>::max() / 8;
    CHECK_NOTHROW(check_view("q", heed::view(&number, {1, 1})));
    CHECK_NOTHROW(check_view("q", heed::view(null, {0, 5})));
    CHECK_NOTHROW(check_view("q", heed::view(&number, {large, 1}, {0, 0})));
    CHECK_THROWS_AS(check_view("q", heed::view(null, {1, 5})), heed::shape_error);
    CHECK_THROWS_WITH(check_view("q", heed::view(null, {1, 5})),
                      Catch::Matchers::Contains("q is a null pointer with shape [1, 5]"));
    CHECK_THROWS_WITH(check_view("k", heed::view(&number, {2, -3})),
                      Catch::Matchers::Contains("k has shape [2, -3]"));
    CHECK_THROWS_AS(check_view("k", heed::view(&number, {std::size_t(-1), std::size_t(1)})),
                    heed::shape_error);
    CHECK_THROWS_WITH(check_view("v", heed::view(&number, {large, large}, {0, 0})),
                      Catch::Matchers::Contains("64 bits"));
    CHECK_THROWS_WITH(check_view("v", heed::view(&number, {large, large})),
                      Catch::Matchers::Contains("64 bits"));
    CHECK_THROWS_WITH(check_view("v", heed::view(&number, std::array{large, large, large})),
                      Catch::Matchers::Contains("64 bits"));
    CHECK_THROWS_WITH(check_view("v", heed::view(&number, {2, 2}, {large * 4, large * 4})),
                      Catch::Matchers::Contains("64 bits"));
    CHECK_THROWS_AS(check_view("v", heed::view(null, {large, large, std::int64_t(0)}, {0, 0, 0})),
                    heed::shape_error);
    CHECK_THROWS_WITH(
        check_same_shape("p", heed::view(&number, {1, 1}), "dp", heed::view(&number, {1, 2})),
        Catch::Matchers::Contains("p has shape [1, 1] and dp has shape [1, 2]"));
}

TEST_CASE("outputs apart from inputs and from themselves") {
    Eigen::MatrixXf x(4, 6);
    CHECK_NOTHROW(check_apart("o", view_of(x.leftCols(3)), "q", view_of(x.rightCols(3))));
    CHECK_NOTHROW(check_apart("o", view_of(x.topRows(2)), "q", view_of(x.bottomRows(2))));
    CHECK_THROWS_AS(check_apart("o", view_of(x.leftCols(4)), "q", view_of(x.rightCols(3))),
                    heed::argument_error);
    CHECK_NOTHROW(check_writable("o", view_of(x)));
    CHECK_THROWS_AS(check_writable("o", heed::view(x.data(), {4, 6}, {0, 1})),
                    heed::argument_error);
}

TEST_CASE("a vector of parameters may be of any kind") {
    const std::vector<float> standard{1, 2, 3};
    CHECK(vector_view(standard)(2) == 3);
    Eigen::MatrixXf x(2, 3);
    x << 1, 2, 3, 4, 5, 6;
    CHECK(vector_view(x.row(1))(2) == 6);
    CHECK(vector_view(x.col(1))(1) == 5);
    CHECK(vector_view(Eigen::Vector2f(8, 9))(1) == 9);
    Eigen::Tensor<float, 1> tensor(2);
    tensor.setConstant(4);
    CHECK(vector_view(tensor).extents[0] == 2);
}

}  // namespace test_view
