// Draws nystrom_error.png, what Nyström attention leaves out over the number of landmarks, and
// nystrom_time.png and nystrom_memory.png, its time and memory over the length beside exact
// attention's. From the repository's top:
//
//     g++ -std=c++20 -O3 -march=native -I include -I /usr/include/eigen3
//     docs/figures/make_nystrom.cpp -o make_nystrom
//     ./make_nystrom error | gnuplot > docs/figures/nystrom_error.png
//     ./make_nystrom time | gnuplot > docs/figures/nystrom_time.png
//     ./make_nystrom memory | gnuplot > docs/figures/nystrom_memory.png
#include <algorithm>
#include <chrono>
#include <cmath>
#include <iostream>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <Eigen/Core>

#include <heed/heed.hpp>

using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using heed::pseudo_inverse;

/// n rows of d normal numbers, each row the next one's neighbour: correlated over about `length`
/// rows; independent for 0.
matrix rows_of(int n, int d, double length, unsigned seed) {
    std::mt19937 engine(seed);
    std::normal_distribution<double> normal;
    const double keep = length > 0 ? std::exp(-1 / length) : 0;
    matrix x(n, d);
    for (int c = 0; c < d; ++c) {
        double value = normal(engine);
        for (int i = 0; i < n; ++i) {
            x(i, c) = static_cast<float>(value);
            value = keep * value + std::sqrt(1 - keep * keep) * normal(engine);
        }
    }
    return x;
}

void draw_errors() {
    const int n = 1024, d = 64;
    std::cout << "set terminal pngcairo size 1000,420 noenhanced font 'sans,11'\n"
                 "set multiplot layout 1,2\nset logscale xy\nset xlabel 'landmarks'\n"
                 "set ylabel 'relative error of o'\nset grid\nset key bottom left\n"
                 "set xtics (4,16,64,256,1024)\nset yrange [1e-4:3]\n";
    const std::vector<std::pair<const char*, heed::nystrom_options>> ways = {
        {"6 rounds", {}},
        {"12 rounds", {.rounds = 12}},
        {"SVD", {.inverse = pseudo_inverse::svd, .tolerance = 1e-3}},
        {"no inverse", {.inverse = pseudo_inverse::none}}};
    for (const double length : {0., 128.}) {
        const matrix q = rows_of(n, d, length, 1), k = rows_of(n, d, length, 2),
                     v = rows_of(n, d, length, 3);
        const matrix exact = heed::attention(q, k, v);
        std::cout << "set title '"
                  << (length > 0 ? "rows alike over 128 neighbours" : "independent rows")
                  << "'\nplot ";
        for (const auto& way : ways)
            std::cout << (&way == ways.data() ? "" : ", ") << "'-' with linespoints lw 2 title '"
                      << way.first << "'";
        std::cout << '\n';
        for (auto [name, options] : ways) {
            for (int m = 4; m <= n; m *= 2) {
                options.landmarks = m;
                if (options.inverse == pseudo_inverse::svd && m > 512) continue;
                const double error =
                    (heed::nystrom_attention(q, k, v, options) - exact).norm() / exact.norm();
                std::cout << m << ' ' << error << '\n';
                std::cerr << name << ", length " << length << ", " << m << ": " << error << '\n';
            }
            std::cout << "e\n";
        }
    }
}

/// The least time of a few calls, in milliseconds.
template <class F>
double milliseconds(const F& f) {
    double least = 1e30;
    for (int round = 0; round < 3; ++round) {
        const auto start = std::chrono::steady_clock::now();
        f();
        const std::chrono::duration<double, std::milli> time =
            std::chrono::steady_clock::now() - start;
        least = std::min(least, time.count());
    }
    return least;
}

void draw_times() {
    const int d = 64, longest = 1 << 17, longest_exact = 1 << 14;
    const matrix q = matrix::Random(longest, d), k = matrix::Random(longest, d),
                 v = matrix::Random(longest, d);
    matrix o(longest, d);
    std::cout
        << "set terminal pngcairo size 640,420 noenhanced font 'sans,11'\nset logscale xy\n"
           "set xlabel 'tokens n'\nset ylabel 'milliseconds a head'\nset grid\n"
           "set key bottom right\nset xtics ('1k' 1024, '4k' 4096, '16k' 16384, '64k' 65536)\n"
           "plot '-' with linespoints lw 2 title 'exact attention'";
    for (const int m : {64, 128, 256})
        std::cout << ", '-' with linespoints lw 2 title '" << m << " landmarks'";
    std::cout << '\n';
    for (const int m : {0, 64, 128, 256}) {
        for (int n = 512; n <= (m > 0 ? longest : longest_exact); n *= 2) {
            const double time = milliseconds([&] {
                if (m > 0)
                    heed::nystrom_attention_into(o.topRows(n), q.topRows(n), k.topRows(n),
                                                 v.topRows(n), {.landmarks = m});
                else
                    heed::attention_into(o.topRows(n), q.topRows(n), k.topRows(n), v.topRows(n));
            });
            std::cout << n << ' ' << time << '\n';
            std::cerr << m << " landmarks, n = " << n << ": " << time << " ms\n";
        }
        std::cout << "e\n";
    }
}

/// The most scratch memory that a call uses at once, in MiB.
template <class F>
double scratch_of(const F& f) {
    heed::workspace memory;
    memory.slot(0).watch_peak();
    f(heed::in(memory));
    return static_cast<double>(memory.slot(0).peak()) / (1 << 20);
}

void draw_memory() {
    const int d = 64, longest = 1 << 17;
    const matrix q = matrix::Random(longest, d), k = matrix::Random(longest, d),
                 v = matrix::Random(longest, d);
    matrix o(longest, d);
    std::cout << "set terminal pngcairo size 640,420 noenhanced font 'sans,11'\nset logscale xy\n"
                 "set xlabel 'tokens n'\nset ylabel 'MiB of scratch memory a head'\nset grid\n"
                 "set key top left\nset yrange [0.1:1e5]\n"
                 "set xtics ('1k' 1024, '4k' 4096, '16k' 16384, '64k' 65536)\n"
                 "plot [512:131072] x**2/2**18 dt 2 lw 2 lc 'black' title 'an n × n matrix', "
                 "x/2**10 dt 3 lw 2 lc 'black' title 'q, k, v and o themselves', "
                 "'-' with linespoints lw 2 title 'exact attention'";
    for (const int m : {64, 128, 256})
        std::cout << ", '-' with linespoints lw 2 title '" << m << " landmarks'";
    std::cout << '\n';
    for (const int m : {0, 64, 128, 256}) {
        for (int n = 512; n <= longest; n *= 2) {
            // The first queries of an exact attention need what all of them need.
            const double size = scratch_of([&](const auto& in) {
                if (m > 0)
                    heed::nystrom_attention_into(o.topRows(n), q.topRows(n), k.topRows(n),
                                                 v.topRows(n), {.landmarks = m}, in);
                else
                    heed::attention_into(o.topRows(512), q.topRows(512), k.topRows(n), v.topRows(n),
                                         in);
            });
            std::cout << n << ' ' << size << '\n';
            std::cerr << m << " landmarks, n = " << n << ": " << size << " MiB\n";
        }
        std::cout << "e\n";
    }
}

int main(int count, char** arguments) {
    const std::string what = count > 1 ? arguments[1] : "error";
    if (what == "time")
        draw_times();
    else if (what == "memory")
        draw_memory();
    else
        draw_errors();
}
