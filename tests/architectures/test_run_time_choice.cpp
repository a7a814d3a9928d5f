// Every instruction set that this machine has gives right answers from one program.

#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>
#include <vector>

#include "kernels.hpp"

namespace {

constexpr kernels::shape extents{3, 70, 83, 33};

struct inputs {
    std::vector<float> q, k, v;
};

inputs random_inputs() {
    std::mt19937 engine(20170612);
    std::normal_distribution<float> normal;
    const auto numbers = [&](long long count) {
        std::vector<float> values(static_cast<std::size_t>(count));
        for (float& value : values) value = normal(engine);
        return values;
    };
    const long long heads = extents.heads, dim = extents.dim;
    return {numbers(heads * extents.queries * dim), numbers(heads * extents.keys * dim),
            numbers(heads * extents.keys * dim)};
}

/// o_i = Σ_j softmax_j(q_i·k_j/√d) v_j over the keys j ≤ i + keys − queries, in double.
std::vector<double> reference(const inputs& in) {
    const auto [heads, queries, keys, dim] = extents;
    std::vector<double> o(in.q.size());
    for (long long row = 0; row < heads * queries; ++row) {
        const long long head = row / queries;
        const long long visible = row % queries + keys - queries + 1;
        double sum = 0;
        for (long long j = 0; j < visible; ++j) {
            const auto key = static_cast<std::size_t>((head * keys + j) * dim);
            const auto query = static_cast<std::size_t>(row * dim);
            double score = 0;
            for (std::size_t c = 0; c < static_cast<std::size_t>(dim); ++c)
                score += double{in.q[query + c]} * double{in.k[key + c]};
            const double weight = std::exp(score / std::sqrt(static_cast<double>(dim)));
            sum += weight;
            for (std::size_t c = 0; c < static_cast<std::size_t>(dim); ++c)
                o[query + c] += weight * double{in.v[key + c]};
        }
        for (long long c = 0; c < dim; ++c) o[static_cast<std::size_t>(row * dim + c)] /= sum;
    }
    return o;
}

using attention_function = void (*)(float*, const float*, const float*, const float*,
                                    kernels::shape);

/// Whether the kernel is right, and was really compiled for vectors of so many floats.
bool check(const char* name, bool available, int floats_in_a_vector, int floats_expected,
           attention_function attention, const inputs& in, const std::vector<double>& expected) {
    if (!available) {
        std::printf("%-8s not on this machine\n", name);
        return true;
    }
    std::vector<float> o(expected.size());
    attention(o.data(), in.q.data(), in.k.data(), in.v.data(), extents);
    double error = 0;
    for (std::size_t i = 0; i < o.size(); ++i)
        error = std::fmax(error, std::isnan(o[i]) ? 1 : std::abs(double{o[i]} - expected[i]));
    std::printf("%-8s largest error %.2g, %d floats in a vector\n", name, error,
                floats_in_a_vector);
    return error < 2e-5 && floats_in_a_vector == floats_expected;
}

/// Whether sums of integers, up to one block of keys and without an exponential, have the same bits
/// by a kernel as by the least.
bool check_integers(const char* name, bool available, attention_function attention,
                    const inputs& in) {
    if (!available) return true;
    std::vector<float> o(in.q.size()), least(in.q.size());
    attention(o.data(), in.q.data(), in.k.data(), in.v.data(), extents);
    kernels::sse2::integer_attention(least.data(), in.q.data(), in.k.data(), in.v.data(), extents);
    double size = 0;
    for (const float x : o) size += std::abs(double{x});
    const bool same = std::memcmp(o.data(), least.data(), o.size() * sizeof(float)) == 0;
    std::printf("%-8s integers have %s bits\n", name, same ? "the same" : "other");
    return same && size > 1;
}

}  // namespace

int main() {
    const inputs in = random_inputs();
    const std::vector<double> expected = reference(in);

    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                        __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512bw") &&
                        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");

    // Least first, then back again: neither may disturb the other.
    bool good = check("sse2", true, kernels::sse2::floats_in_a_vector(), 4,
                      kernels::sse2::causal_attention, in, expected);
    good &= check("avx512", avx512, avx512 ? kernels::avx512::floats_in_a_vector() : 0, 16,
                  kernels::avx512::causal_attention, in, expected);
    good &= check("avx2", avx2, avx2 ? kernels::avx2::floats_in_a_vector() : 0, 8,
                  kernels::avx2::causal_attention, in, expected);
    good &= check("sse2", true, kernels::sse2::floats_in_a_vector(), 4,
                  kernels::sse2::causal_attention, in, expected);
    good &= check_integers("avx2", avx2, kernels::avx2::integer_attention, in);
    good &= check_integers("avx512", avx512, kernels::avx512::integer_attention, in);
    return good ? 0 : 1;
}
