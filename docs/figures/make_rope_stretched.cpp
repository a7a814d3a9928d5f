// Draws rope_stretched.png: how much slower each pair turns in every variant. From the repository's
// top:
//
//     g++ -std=c++20 -O1 -I include -I /usr/include/eigen3 docs/figures/make_rope_stretched.cpp -o
//     make_rope_stretched
//     ./make_rope_stretched | gnuplot > docs/figures/rope_stretched.png
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include <heed/heed.hpp>

int main() {
    namespace rope = heed::rope;
    const int dim = 128, k = 8, L = 2048;
    const rope::stretched_options options{.dim = dim, .stretch = k};
    const std::vector<std::pair<std::string, rope::frequencies>> variants{
        {"interpolation", rope::interpolation(options)},
        {"ntk_aware", rope::ntk_aware(options)},
        {"ntk_old", rope::ntk_old(options)},
        {"ntk_fixed", rope::ntk_fixed(options)},
        {"ntk_mixed", rope::ntk_mixed({.dim = dim, .stretch = k})},
        {"by_parts", rope::by_parts({.dim = dim, .stretch = k, .original_length = L})},
        {"yarn", rope::yarn({.dim = dim, .stretch = k, .original_length = L})},
        {"llama3", rope::llama3({.dim = dim, .stretch = k, .original_length = L})}};
    const auto plain = rope::plain({.dim = dim});

    std::cout << "set terminal pngcairo size 900,460 noenhanced font 'sans,11'\n"
                 "set logscale y 2\nset yrange [0.9:9]\nset xrange [0:63]\n"
                 "set xlabel 'pair t'\nset ylabel 'plain frequency / stretched frequency'\n"
                 "set key outside right\nset grid lc '#e0e0e0'\nplot ";
    for (std::size_t i = 0; i < variants.size(); ++i)
        std::cout << (i > 0 ? ", " : "") << "'-' with lines lw 2 dt " << 1 + i / 4 << " title '"
                  << variants[i].first << "'";
    std::cout << '\n';
    for (const auto& [name, stretched] : variants) {
        for (std::size_t t = 0; t < plain.angular().size(); ++t)
            std::cout << t << ' ' << plain.angular()[t] / stretched.angular()[t] << '\n';
        std::cout << "e\n";
    }
}
