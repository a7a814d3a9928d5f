#include <array>
#include <utility>
#include <vector>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/Tensor>

#include <heed/core/vector_input.hpp>

#include "support/catch.hpp"

namespace test_vector_input {

using namespace heed::detail;
using heed::index;  // inside a namespace: <strings.h> has a global one
using vector = Eigen::VectorXf;

/// The numbers that were kept, once what was freed has been written over.
template <class Kept>
std::vector<float> numbers(const Kept& kept) {
    const std::vector<std::vector<float>> others(32, std::vector<float>(3, -1));
    const auto seen = kept.view();
    std::vector<float> result;
    for (index i = 0; i < seen.extents[0]; ++i) result.push_back(static_cast<float>(seen(i)));
    return others.size() == 32 ? result : std::vector<float>();
}

TEST_CASE("lvalues, maps and views are referred to, temporaries are owned") {
    const std::vector<float> standard{1, 2, 3}, twice{2, 4, 6};
    vector x = Eigen::Vector3f(1, 2, 3);
    const Eigen::Ref<const vector> named = x;
    CHECK(keep_vector("x", standard).view().data == standard.data());
    CHECK(keep_vector("x", x).view().data == x.data());
    CHECK(keep_vector("x", named).view().data == x.data());
    CHECK(keep_vector("x", Eigen::Ref<vector>(x)).view().data == x.data());
    CHECK(keep_vector("x", Eigen::Map<const vector>(x.data(), 3)).view().data == x.data());
    CHECK(keep_vector("x", x.transpose()).view().data == x.data());
    CHECK(keep_vector("x", heed::view(x.data(), {3})).view().data == x.data());

    CHECK(numbers(keep_vector("x", Eigen::Ref<const vector>(2 * x))) == twice);
    CHECK(numbers(keep_vector("x", Eigen::Ref<const vector>(2 * x).transpose())) == twice);
    CHECK(numbers(keep_vector("x", Eigen::Ref<const vector>(2 * x).head(2))) ==
          std::vector<float>{2, 4});
    CHECK(numbers(keep_vector("x", 2 * x)) == twice);
    CHECK(numbers(keep_vector("x", vector(2 * x))) == twice);
    CHECK(numbers(keep_vector("x", std::vector<float>(twice))) == twice);
    CHECK(numbers(keep_vector("x", std::array<float, 3>{2, 4, 6})) == twice);
    Eigen::Tensor<float, 1> tensor(3);
    tensor.setValues({1, 2, 3});
    CHECK(numbers(keep_vector("x", tensor + tensor)) == twice);
    // Parts are copied, and what they own with them.
    const auto kept = keep_vector("x", Eigen::Ref<const vector>(2 * x));
    const auto copy = kept;
    CHECK(copy.view().data != kept.view().data);
    CHECK(numbers(copy) == twice);
}

TEST_CASE("what is no vector is refused by name when it is kept") {
    using heed::shape_error;
    const Eigen::MatrixXf x = Eigen::MatrixXf::Zero(2, 3);
    const float* null = nullptr;
    CHECK_THROWS_WITH(keep_vector("heed::alibi", x),
                      "heed::alibi has shape [2, 3], but must be a vector");
    CHECK_THROWS_AS(keep_vector("x", x), shape_error);
    CHECK_THROWS_AS(keep_vector("x", x + x), shape_error);
    CHECK_THROWS_WITH(keep_vector("gamma", heed::view(x.data(), {-3})),
                      "gamma has shape [-3], but extents must not be negative");
    CHECK_THROWS_WITH(keep_vector("gamma", heed::view(null, {3})),
                      "gamma is a null pointer with shape [3], but only an empty view may be null");
    CHECK_THROWS_AS(checked_vector("x", heed::view(x.data(), {2}, {index(1) << 62})), shape_error);
    CHECK(checked_vector("x", x.row(1)).strides[0] == 2);
    CHECK(keep_vector("x", vector()).view().extents[0] == 0);
}

}  // namespace test_vector_input
