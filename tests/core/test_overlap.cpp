#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <set>
#include <vector>

#include <heed/core/overlap.hpp>

#include "support/catch.hpp"
#include "support/random.hpp"

namespace test_overlap {

using heed::index;  // inside a namespace: <strings.h> has a global one
using heed::detail::overlap;
using heed::detail::overlaps_itself;

/// The address of every element.
template <class T>
std::vector<std::intptr_t> addresses(const heed::tensor_view<T, 3>& x) {
    std::vector<std::intptr_t> result;
    for (index i = 0; i < x.extents[0]; ++i)
        for (index j = 0; j < x.extents[1]; ++j)
            for (index k = 0; k < x.extents[2]; ++k)
                result.push_back(reinterpret_cast<std::intptr_t>(x.data) +
                                 static_cast<index>(sizeof(T)) *
                                     (i * x.strides[0] + j * x.strides[1] + k * x.strides[2]));
    return result;
}

template <class T>
heed::tensor_view<T, 3> random_view(heed_test::generator& random, char* memory,
                                    index largest_stride) {
    heed::tensor_view<T, 3> x;
    // Addresses a few bytes apart, so that elements may share some of their bytes only.
    x.data = reinterpret_cast<T*>(memory + 2 * random.integer(-60, 60));
    for (std::size_t axis = 0; axis < 3; ++axis) {
        x.extents[axis] = random.integer(random.chance(0.05) ? 0 : 1, 5);
        x.strides[axis] = random.integer(-largest_stride, largest_stride);
    }
    return x;
}

template <class A, class B>
int disagreements(std::uint64_t stream, int& overlapping) {
    heed_test::generator random(stream);
    std::vector<char> memory(1 << 16);
    int wrong = 0;
    for (int trial = 0; trial < 20000; ++trial) {
        const index largest_stride = random.one_of<index>({3, 9, 25, 60});
        const auto a = random_view<A>(random, memory.data() + memory.size() / 2, largest_stride);
        const auto b = random_view<B>(random, memory.data() + memory.size() / 2, largest_stride);
        std::set<std::intptr_t> bytes;
        for (std::intptr_t address : addresses(a))
            for (std::size_t byte = 0; byte < sizeof(A); ++byte)
                bytes.insert(address + static_cast<std::intptr_t>(byte));
        bool expected = false;
        for (std::intptr_t address : addresses(b))
            for (std::size_t byte = 0; byte < sizeof(B); ++byte)
                expected |= bytes.count(address + static_cast<std::intptr_t>(byte)) > 0;
        overlapping += expected;
        wrong += overlap(a, b) != expected;
        wrong += overlap(b, a) != expected;
    }
    return wrong;
}

TEST_CASE("overlap of random strided views agrees with counting their bytes") {
    int overlapping = 0;
    CHECK(disagreements<float, float>(1, overlapping) == 0);
    CHECK(disagreements<double, double>(2, overlapping) == 0);
    CHECK(disagreements<float, double>(3, overlapping) == 0);
    CHECK(disagreements<std::int16_t, float>(4, overlapping) == 0);
    // Both answers must have been asked for often.
    CHECK(overlapping > 20000);
    CHECK(overlapping < 60000);
}

TEST_CASE("self-overlap of random strided views agrees with counting their bytes") {
    heed_test::generator random;
    std::vector<char> memory(1 << 16);
    int wrong = 0;
    int overlapping = 0;
    for (int trial = 0; trial < 20000; ++trial) {
        const auto x = random_view<float>(random, memory.data() + memory.size() / 2,
                                          random.one_of<index>({3, 9, 25, 60}));
        auto elements = addresses(x);
        std::sort(elements.begin(), elements.end());
        bool expected = false;
        for (std::size_t i = 1; i < elements.size(); ++i)
            expected |= elements[i] - elements[i - 1] < 4;
        overlapping += expected;
        wrong += overlaps_itself(x) != expected;
    }
    CHECK(wrong == 0);
    CHECK(overlapping > 2000);
    CHECK(overlapping < 18000);
}

/// An address that is never read, in the middle of what there can be.
float* somewhere() { return reinterpret_cast<float*>(std::uintptr_t{1} << 45); }

TEST_CASE("gradients interleaved as [B, N, 3, H, D] lie apart") {
    const index B = 7, N = 1021, H = 12, D = 64;
    float* memory = somewhere();
    const auto part = [&](index which) {
        return heed::view(memory + which * H * D, {B, H, N, D},
                          {N * 3 * H * D, D, 3 * H * D, index{1}});
    };
    CHECK_FALSE(overlap(part(0), part(1)));
    CHECK_FALSE(overlap(part(0), part(2)));
    CHECK_FALSE(overlap(part(1), part(2)));
    CHECK_FALSE(overlaps_itself(part(1)));
    CHECK(overlap(part(1), part(1)));
    // One element further, and the last element of one part is the first of the next.
    const auto shifted =
        heed::view(memory + H * D - 1, {B, H, N, D}, {N * 3 * H * D, D, 3 * H * D, index{1}});
    CHECK(overlap(part(0), shifted));
}

TEST_CASE("overlap is decided quickly for large views of unlike strides") {
    float* memory = somewhere();
    // Columns 0, 2, 4, … against columns 1, 3, 5, … of a matrix with an odd row length.
    const index n = 1000001;
    const auto even = heed::view(memory, {n, n / 2}, {n + 1, index{2}});
    const auto odd = heed::view(memory + 1, {n, n / 2}, {n + 1, index{2}});
    CHECK_FALSE(overlap(even, odd));
    const auto skewed = heed::view(memory + 1, {n, n / 2}, {n, index{2}});
    CHECK(overlap(even, skewed));
    const auto reversed = heed::view(memory + 2 * n, {n, n}, {-n, index{-1}});
    CHECK(overlap(even, reversed));
}

}  // namespace test_overlap
