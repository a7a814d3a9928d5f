// Prints the table of docs/latent/latent_attention.md that shows multi-head, grouped-query,
// multi-query and latent attention as one family, and draws latent_crossing.png, the time of an
// absorbed and of an expanded call over the number of its tokens. From the repository's top:
//
//     g++ -std=c++20 -O3 -march=native -I include -I /usr/include/eigen3
//     docs/figures/make_latent.cpp -o make_latent
//     ./make_latent family
//     ./make_latent crossing | gnuplot > docs/figures/latent_crossing.png
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <string>
#include <vector>

#include <Eigen/Core>

#include <heed/heed.hpp>

using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// The least time of some calls, in milliseconds.
template <class F>
double milliseconds(int rounds, const F& f) {
    double least = 1e30;
    for (int round = 0; round < rounds; ++round) {
        const auto start = std::chrono::steady_clock::now();
        f();
        const std::chrono::duration<double, std::milli> time =
            std::chrono::steady_clock::now() - start;
        least = std::min(least, time.count());
    }
    return least;
}

/// One line: what a token leaves, what a pair of tokens costs a head, and the cache of many tokens.
void print_line(const char* name, int heads, int kv_heads, int dim, int value, bool is_latent,
                int rank) {
    const int cached = 4096, numbers = kv_heads * (is_latent ? dim : dim + value);
    const heed::kv_cache<Eigen::bfloat16> cache({.kv_heads = kv_heads,
                                                 .dim = dim,
                                                 .value_dim = value,
                                                 .capacity = cached,
                                                 .values_in_keys = is_latent});
    const int operations = 2 * (dim + value);
    std::printf("| %s | %d | %d | %d | %.0f | %d | %.0f |\n", name, kv_heads, rank, numbers,
                static_cast<double>(cache.bytes()) / (1 << 20), operations,
                static_cast<double>(heads) * operations / (2 * numbers));
}

/// How far y of such a layer is from y of the latent attention that it is.
double difference(int heads, int kv_heads) {
    const int model = 256, dim = 32, tokens = 64;
    const matrix q = matrix::Random(heads * dim, model) / 9,
                 k = matrix::Random(kv_heads * dim, model) / 9,
                 v = matrix::Random(kv_heads * dim, model) / 9,
                 o = matrix::Random(model, heads * dim) / 9;
    const auto converted = heed::latent_from_grouped<float>(
        {.q_proj = q, .k_proj = k, .v_proj = v, .o_proj = o},
        {.heads = heads, .kv_heads = kv_heads, .dim = dim, .value = dim});
    const matrix x = matrix::Random(tokens, model);
    const matrix of_q = heed::project(x, heed::weights(q)),
                 of_k = heed::project(x, heed::weights(k)),
                 of_v = heed::project(x, heed::weights(v));
    matrix all(tokens, heads * dim);
    heed::attention_into(heed::split_heads(all, heads), heed::split_heads(of_q, heads),
                         heed::split_heads(of_k, kv_heads), heed::split_heads(of_v, kv_heads),
                         heed::causal);
    const matrix y = heed::project(all, heed::weights(o));
    return static_cast<double>((converted.attention().forward(x).y - y).norm() / y.norm());
}

void print_family() {
    std::printf(
        "| 128 heads of 128 | heads of the cache | d_c | numbers a token | MiB, 4096 tokens "
        "| operations a pair and head | operations a byte |\n|---|---|---|---|---|---|---|\n");
    print_line("multi-head", 128, 128, 128, 128, false, 128 * 256);
    print_line("grouped, 8 groups", 128, 8, 128, 128, false, 8 * 256);
    print_line("multi-query", 128, 1, 128, 128, false, 256);
    print_line("latent, absorbed", 128, 1, 576, 512, true, 512);
    for (const int kv_heads : {16, 4, 1})
        std::cerr << "16 heads, " << kv_heads << " of keys and values, are latent attention to "
                  << difference(16, kv_heads) << '\n';
}

/// A layer of 16 heads and of width 2048, as V2-Lite's, behind 4096 tokens.
void draw_crossing() {
    const int heads = 16, content = 128, rotated = 64, value = 128, rank = 512, model = 2048;
    const int cached = 4096, rounds = 5;
    const auto random = [](int outputs, int inputs) -> matrix {
        return matrix::Random(outputs, inputs) * 0.05F;
    };
    const matrix q = random(heads * (content + rotated), model),
                 kv_a = random(rank + rotated, model),
                 kv_b = random(heads * (content + value), rank), o = random(model, heads * value);
    const Eigen::VectorXf gamma = Eigen::VectorXf::Ones(rank);
    const heed::latent_attention<float> mla(
        {.q_proj = q,
         .kv_a_proj_with_mqa = kv_a,
         .kv_a_layernorm = gamma,
         .kv_b_proj = kv_b,
         .o_proj = o},
        {.heads = heads, .content = content, .rotated = rotated, .value = value, .rank = rank},
        heed::rope::plain({.dim = rotated}));
    auto cache = mla.make_cache<float>({.capacity = cached + 1024});
    (void)mla.prefill(random(cached, model), cache);

    const std::vector<int> lengths = {1, 2, 4, 8, 16, 32, 64, 96, 128, 160, 192, 256, 384, 512};
    std::vector<double> absorbed, expanded;
    for (const int tokens : lengths) {
        const matrix x = random(tokens, model);
        double of_absorbed = 1e30, of_expanded = 1e30;
        for (int round = 0; round < rounds; ++round) {  // by turns
            of_absorbed =
                std::min(of_absorbed, milliseconds(1, [&] { (void)mla.decode(x, cache); }));
            cache.truncate(0, cached);
            of_expanded =
                std::min(of_expanded, milliseconds(1, [&] { (void)mla.prefill(x, cache); }));
            cache.truncate(0, cached);
        }
        absorbed.push_back(of_absorbed);
        expanded.push_back(of_expanded);
        std::cerr << tokens << " tokens: absorbed " << of_absorbed << " ms, expanded "
                  << of_expanded << " ms\n";
    }
    for (std::size_t i = 1; i < lengths.size(); ++i) {
        const double before = absorbed[i - 1] - expanded[i - 1], here = absorbed[i] - expanded[i];
        if (before < 0 && here >= 0)
            std::cerr << "they cross at "
                      << lengths[i - 1] - before * (lengths[i] - lengths[i - 1]) / (here - before)
                      << '\n';
    }
    const double arithmetic =
        rank * (content + value) / static_cast<double>(2 * rank - content - value);
    std::cout << "set terminal pngcairo size 640,420 noenhanced font 'sans,11'\nset logscale xy\n"
                 "set xlabel 'tokens of a call, behind 4096'\nset ylabel 'milliseconds a layer'\n"
                 "set grid\nset key top left\nset xtics (1,2,4,8,16,32,64,128,256,512)\n"
              << "set arrow from " << arithmetic << ", graph 0 to " << arithmetic
              << ", graph 1 nohead dt 2\nset label 'as many operations' at " << arithmetic * 0.95
              << ", graph 0.05 right\n"
              << "plot '-' with linespoints lw 2 title 'absorbed: decode', "
                 "'-' with linespoints lw 2 title 'expanded: prefill'\n";
    for (const auto* times : {&absorbed, &expanded}) {
        for (std::size_t i = 0; i < lengths.size(); ++i)
            std::cout << lengths[i] << ' ' << (*times)[i] << '\n';
        std::cout << "e\n";
    }
}

int main(int count, char** arguments) {
    if (count > 1 && std::string(arguments[1]) == "family")
        print_family();
    else
        draw_crossing();
}
