// Draws favor_error.png, how far FAVOR+ is from softmax attention over the number of features, and
// linear_time.png, the time and memory of linear attention over the length beside exact
// attention's. From the repository's top:
//
//     g++ -std=c++20 -O3 -march=native -I include -I /usr/include/eigen3
//     docs/figures/make_linear.cpp -o make_linear
//     ./make_linear error | gnuplot > docs/figures/favor_error.png
//     ./make_linear time | gnuplot > docs/figures/linear_time.png
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <ctime>
#include <functional>
#include <iostream>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <Eigen/Core>

#include <heed/attention/attention.hpp>
#include <heed/attention/masks/causal.hpp>
#include <heed/linear.hpp>

using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

matrix normal_rows(int n, int d, double deviation, unsigned seed) {
    std::mt19937 engine(seed);
    std::normal_distribution<double> normal(0, deviation);
    matrix x(n, d);
    for (auto& number : x.reshaped()) number = static_cast<float>(normal(engine));
    return x;
}

void draw_errors() {
    const int n = 256, d = 64, draws = 20, most = 4096;
    const double deviation = 0.5;
    const matrix q = normal_rows(n, d, deviation, 1), k = normal_rows(n, d, deviation, 2),
                 v = normal_rows(n, d, 1, 3);
    const matrix exact = heed::attention(q, k, v);
    using heed::direction_lengths, heed::directions;
    struct way {
        const char* name;
        heed::random_features_options options;
        bool both_signs = false;
    };
    std::vector<way> ways{
        {"independent", {.dim = d, .directions = directions::independent}},
        {"orthogonal", {.dim = d}},
        {"orthogonal, lengths at quantiles", {.dim = d, .lengths = direction_lengths::quantiles}},
        {"orthogonal, both signs", {.dim = d}, true}};
    std::cout << "set terminal pngcairo size 640,420 noenhanced font 'sans,11'\nset logscale xy\n"
                 "set xlabel 'features m'\nset ylabel 'relative error of o'\nset grid\n"
                 "set key bottom left\nset xtics (16,64,256,1024,4096)\nplot ";
    for (const way& w : ways) std::cout << "'-' with linespoints lw 2 title '" << w.name << "', ";
    std::cout << "'-' with lines dt 2 lc rgb '#888888' title 'm^{-1/2}'\n";
    for (way& w : ways) {
        for (int m = 16; m <= most; m *= 2) {
            double squares = 0;
            for (int draw = 0; draw < draws; ++draw) {
                w.options.count = w.both_signs ? m / 2 : m;
                w.options.seed = draw;
                const heed::random_features features(w.options);
                const matrix o =
                    w.both_signs
                        ? heed::linear_attention(q, k, v, heed::favor(features).both_signs())
                        : heed::linear_attention(q, k, v, heed::favor(features));
                squares += double((o - exact).squaredNorm());
            }
            const double error = std::sqrt(squares / draws / double(exact.squaredNorm()));
            std::cout << m << ' ' << error << '\n';
            std::cerr << w.name << ", " << m << ": " << error << '\n';
        }
        std::cout << "e\n";
    }
    for (const int m : {16, most}) std::cout << m << ' ' << 4 / std::sqrt(double(m)) << '\n';
    std::cout << "e\n";
}

/// The least time of a few samples, of one if it is long, in milliseconds: the processor's, in
/// which what else runs on the machine does not count.
double milliseconds(const std::function<void()>& f) {
    double least = 1e30, whole = 0;
    for (int sample = 0; sample < 5 && whole < 100; ++sample) {
        const std::clock_t start = std::clock();
        double time = 0;
        int calls = 0;
        while (time < 1) {
            f();
            ++calls;
            time = 1e3 * double(std::clock() - start) / CLOCKS_PER_SEC;
        }
        least = std::min(least, time / calls);
        whole += time;
    }
    return least;
}

void draw_times() {
    const int d = 64, longest = 1 << 20, longest_exact = 1 << 15, shortest = 32;
    const matrix q = matrix::Random(longest, d), k = matrix::Random(longest, d),
                 v = matrix::Random(longest, d);
    const Eigen::RowVectorXf g = Eigen::RowVectorXf::Constant(longest, -0.05F),
                             beta = Eigen::RowVectorXf::Constant(longest, 0.5F);
    const heed::random_features features({.dim = d, .count = 256});
    matrix o(longest, d);
    struct way {
        const char* name;
        int features;  // 0: exact attention
        std::function<void(int)> call;
    };
    const auto linear = [&](int n, const auto&... part) {
        heed::linear_attention_into(o.topRows(n), q.topRows(n), k.topRows(n), v.topRows(n),
                                    heed::causal, part...);
    };
    const std::vector<way> ways{
        {"exact", 0,
         [&](int n) {
             heed::attention_into(o.topRows(n), q.topRows(n), k.topRows(n), v.topRows(n),
                                  heed::causal);
         }},
        {"elu_plus_one", d, [&](int n) { linear(n, heed::elu_plus_one); }},
        {"favor, 256 features", 256, [&](int n) { linear(n, heed::favor(features)); }},
        {"gated delta", d, [&](int n) {
             const heed::tensor_view<const float, 2> log_alpha{g.data(), {1, n}, {longest, 1}},
                 write{beta.data(), {1, n}, {longest, 1}};
             linear(n, heed::log_decay(log_alpha), heed::delta(write), heed::unit_rows);
         }}};
    std::cout << "set terminal pngcairo size 1000,420 noenhanced font 'sans,11'\n"
                 "set multiplot layout 1,2\nset logscale xy\nset xlabel 'tokens n'\nset grid\n"
                 "set key top left\n"
                 "set xtics ('64' 64, '1k' 1024, '16k' 16384, '256k' 262144)\n"
                 "set title 'causal, one head, d = 64: milliseconds'\nplot ";
    for (const way& w : ways)
        std::cout << "'-' with linespoints lw 2 pt 7 ps 0.5 title '" << w.name << "', ";
    std::cout << "'-' with lines dt 2 lc 1 notitle\n";
    // Round after round through all lengths: what disturbs a length in one does not in the next.
    const auto until = [&](const way& w) { return w.features == 0 ? longest_exact : longest; };
    std::vector<std::map<int, double>> least(ways.size());
    for (int round = 0; round < 3; ++round) {
        for (std::size_t i = 0; i < ways.size(); ++i) {
            for (int n = shortest; n <= until(ways[i]); n *= 2) {
                const double time = milliseconds([&] { ways[i].call(n); });
                double& known = least[i].try_emplace(n, time).first->second;
                known = std::min(known, time);
            }
        }
    }
    for (std::size_t i = 0; i < ways.size(); ++i) {
        for (const auto& [n, time] : least[i]) {
            std::cout << n << ' ' << time << '\n';
            std::cerr << ways[i].name << ", n = " << n << ": " << time << " ms\n";
        }
        std::cout << "e\n";
    }
    const double last = least[0].rbegin()->second;
    // What exact attention would take beyond: n².
    for (double n = longest_exact; n <= longest; n *= 2)
        std::cout << n << ' ' << last * (n / longest_exact) * (n / longest_exact) << '\n';
    std::cout << "e\nset title 'kept of a head, to go on with the next token: KiB'\nplot ";
    for (const way& w : ways)
        std::cout << (w.features == 0 ? "" : ", ")
                  << "'-' with linespoints lw 2 pt 7 ps 0.5 title '" << w.name << "'";
    std::cout << '\n';
    for (const way& w : ways) {
        for (int n = shortest; n <= longest; n *= 2) {
            // Keys and values; or S, what its additions lost, and the rows of a chunk.
            const double m = w.features, of_state = 2 * m * d + 32 * (2 * m + d);
            const double numbers = w.features == 0 ? 2.0 * n * d : of_state;
            std::cout << n << ' ' << numbers * sizeof(float) / 1024 << '\n';
        }
        std::cout << "e\n";
    }
}

int main(int count, char** arguments) {
    if (count > 1 && std::string(arguments[1]) == "time")
        draw_times();
    else
        draw_errors();
}
