#include <cmath>
#include <cstdint>
#include <string>

#include <heed/attention/attention.hpp>
#include <heed/attention/scales/scale.hpp>

#include "golden.hpp"
#include "reference/accuracy.hpp"
#include "support/attention_kernels.hpp"
#include "support/catch.hpp"

namespace golden_accuracy {

using reference::index;
using tensor4 = Eigen::Tensor<float, 4, Eigen::RowMajor>;

/// The numbers of make_accuracy.py: multiples of 2^-14, evenly distributed in [-2, 2).
tensor4 numbers(std::uint32_t first, index rows, index columns) {
    tensor4 result(1, 1, rows, columns);
    for (index e = 0; e < result.size(); ++e) {
        std::uint32_t z = (first + static_cast<std::uint32_t>(e) + 1) * 2654435761U;
        z = (z ^ (z >> 15)) * 2246822519U;
        z = (z ^ (z >> 13)) * 3266489917U;
        z = (z ^ (z >> 16)) >> 16;
        result.data()[e] = (static_cast<float>(z) - 32768) / 16384;
    }
    return result;
}

reference::tensor exact(const tensor4& from) {
    reference::tensor to(1, 1, from.dimension(2), from.dimension(3));
    for (index e = 0; e < from.size(); ++e)
        to.values[static_cast<std::size_t>(e)] = static_cast<double>(from.data()[e]);
    return to;
}

TEST_CASE("attention in float is about as exact as PyTorch's on long rows", "[golden]") {
    for (const auto& [name, x] : golden::read("accuracy")) {
        INFO(name);
        const auto extents = x.numbers<index>("extents");
        const tensor4 q = numbers(0, extents[0], extents[2]),
                      k = numbers(1U << 24, extents[1], extents[2]),
                      v = numbers(1U << 25, extents[1], extents[2]);
        const tensor4 o = heed::attention(q, k, v);
        const auto expected = attention_forward(exact(q), exact(k), exact(v));
        double sum = 0;
        for (index e = 0; e < o.size(); ++e)
            sum += std::pow(
                static_cast<double>(o.data()[e]) - expected.o.values[static_cast<std::size_t>(e)],
                2);
        const double error = std::sqrt(sum / static_cast<double>(o.size()));
        INFO("root-mean-square error " << error);
        CHECK(error <= 1.25 * x.float32_error("o"));
        CHECK(error > 0);
    }
}

TEST_CASE("8192 keys, and scores to 100, stay within the bound of float", "[golden]") {
    constexpr index queries = 5, keys = 8192, dim = 64;
    const tensor4 q = numbers(0, queries, dim), k = numbers(1U << 24, keys, dim),
                  v = numbers(1U << 25, keys, dim);
    for (const double scale : {0.125, 2.0}) {
        reference::options how;
        how.scale = [=](index, index, index) { return scale; };
        const auto expected = attention_forward(exact(q), exact(k), exact(v), how);
        const tensor4 o = heed::attention(q, k, v, heed::scale(scale));
        const auto bounds = reference::forward_bounds<float>(expected, exact(v), how);
        CHECK(reference::largest_ratio(exact(o), expected.o, bounds.o) <= 1);
        const double largest = reference::largest_magnitude(expected.scores[0]);
        CHECK((scale < 1 ? largest < 10 : largest > 80));
    }
}

}  // namespace golden_accuracy
