// Prints a hash of the bits of several calls' results. The inputs are made without rounding, so
// that only heed's own arithmetic can differ between two ways of compiling this file.

#include <bit>
#include <cstdint>
#include <cstdio>
#include <vector>

#include <unsupported/Eigen/CXX11/Tensor>

#include <heed/heed.hpp>

namespace {

template <class T>
using tensor = Eigen::Tensor<T, 4, Eigen::RowMajor>;

/// Multiples of 2⁻¹⁰ in [-2, 2): exact in every scalar type.
template <class T>
tensor<T> numbers(std::uint64_t seed, Eigen::Index batch, Eigen::Index heads, Eigen::Index rows,
                  Eigen::Index columns) {
    tensor<T> result(batch, heads, rows, columns);
    std::uint64_t state = seed;
    for (Eigen::Index i = 0; i < result.size(); ++i) {
        state = state * 6364136223846793005U + 1442695040888963407U;
        result.data()[i] = static_cast<T>(static_cast<int>(state >> 52) - 2048) / T{1024};
    }
    return result;
}

/// FNV-1a of the bits.
template <class T>
void print(const char* what, const tensor<T>& values) {
    using bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
    std::uint64_t hash = 14695981039346656037U;
    for (Eigen::Index i = 0; i < values.size(); ++i)
        hash = (hash ^ std::bit_cast<bits>(values.data()[i])) * 1099511628211U;
    std::printf("  %-12s %016llx\n", what, static_cast<unsigned long long>(hash));
}

template <class T, class... Parts>
void print_call(const char* name, Eigen::Index queries, Eigen::Index keys, Eigen::Index dim,
                const Parts&... parts) {
    std::printf("%s, %s, %td queries, %td keys, dim %td\n", name,
                sizeof(T) == 4 ? "float" : "double", queries, keys, dim);
    const auto q = numbers<T>(1, 1, 4, queries, dim);
    const auto k = numbers<T>(2, 1, 2, keys, dim);
    const auto v = numbers<T>(3, 1, 2, keys, dim);
    const auto d_o = numbers<T>(4, 1, 4, queries, dim);
    const auto [o, stats] = heed::attention_forward(q, k, v, parts...);
    const auto gradient = heed::attention_backward(d_o, o, stats, q, k, v, parts...);
    print<T>("o", o);
    print<T>("gradient q", gradient.q);
    print<T>("gradient k", gradient.k);
    print<T>("gradient v", gradient.v);
}

}  // namespace

int main() {
    for (const Eigen::Index n : {1, 37, 160}) {
        print_call<float>("plain", n, n + 13, 64);
        print_call<float>("causal, rotary, soft-capped, log n", n, n + 13, 24, heed::causal,
                          heed::rotary(heed::rope::plain({.dim = 24})), heed::soft_cap(5),
                          heed::log_n_scale(16));
    }
    print_call<double>("plain", 37, 50, 24);
    const auto rope = heed::rope::plain({.dim = 24});
    print_call<float>("rectified, causal, sparsemax", 37, 350, 24, heed::rectified_rotary(rope, 20),
                      heed::causal, heed::sparsemax);

    std::printf("alone\n");
    const auto x = numbers<float>(5, 2, 3, 37, 24);
    print<float>("softmax", heed::softmax(x));
    print<float>("rotate", heed::rotate(x, rope));
    const std::vector<float> gamma(24, 0.7F), beta(24, 0.3F);
    const auto [dx, d_gamma, d_beta] = heed::layer_norm(gamma, beta).backward(x, x);
    print<float>("layer norm", dx);
    const auto y = numbers<double>(6, 1, 1, 5, 37);
    print<double>("perturb max", heed::perturb_max(heed::perturb::uniform)(y));
}
