// Draws masks.png: what each mask shows, as heed itself computes it. From the repository's top:
//
//     g++ -std=c++20 -O1 -I include -I /usr/include/eigen3 docs/figures/make_masks.cpp -o
//     make_masks
//     ./make_masks | gnuplot > docs/figures/masks.png
#include <iostream>

#include <heed/heed.hpp>

/// One picture: the keys that each of the last `queries` of 24 positions sees, in blue.
template <class... Masks>
void draw(const char* title, int queries, const Masks&... masks) {
    const int keys = 24;
    const Eigen::MatrixXf q = Eigen::MatrixXf::Zero(queries, 1), k = Eigen::MatrixXf::Zero(keys, 1);
    const auto p = heed::attention_weights(q, k, masks...);
    std::cout << "set title \"" << title << "\"\nset yrange [" << queries - 0.5 << ":-0.5]\n"
              << "plot '-' matrix with image notitle\n";
    for (int i = 0; i < queries; ++i, std::cout << '\n')
        for (int j = 0; j < keys; ++j) std::cout << (p(0, 0, i, j) > 0) << ' ';
    std::cout << "e\n";
}

int main() {
    const std::vector<int> documents{0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1,
                                     1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2};
    const std::vector<int> offsets{0, 7, 17, 24}, contexts{0, 7, 17};
    std::cout << "set terminal pngcairo size 1000,1130 noenhanced font 'sans,11'\n"
                 "set multiplot layout 4,4 margins 0.05,0.99,0.04,0.97 spacing 0.05,0.07\n"
                 "set palette defined (0 '#e8e8e8', 1 '#3060a0')\nset cbrange [0:1]\n"
                 "unset colorbox\nset size ratio -1\nset xrange [-0.5:23.5]\n"
                 "set tics 8 scale 0\nset xlabel 'key' offset 0,0.8\n"
                 "set ylabel 'query' offset 1.5,0\n";
    draw("causal", 24, heed::causal);
    draw("causal, 8 queries", 8, heed::causal);
    draw("causal.top_left(), 8 queries", 8, heed::causal.top_left());
    draw("sliding_window(5, 0)", 24, heed::sliding_window(5, 0));
    draw("sliding_window(3, 3)", 24, heed::sliding_window(3, 3));
    draw("key_lengths({17})", 24, heed::key_lengths({17}));
    draw("causal, segments(ids, ids)", 24, heed::causal, heed::segments(documents, documents));
    draw("anti_causal", 24, heed::anti_causal);
    draw("prefix_lm(8)", 24, heed::prefix_lm(8));
    draw("dilated_window(3, 1, 3)", 24, heed::dilated_window(3, 1, 3));
    draw("global_window(3, 2, 2)", 24, heed::global_window(3, 2, 2));
    draw("causal, global_window(3, 4, 0)", 24, heed::causal, heed::global_window(3, 4, 0));
    draw("cumulative_lengths(offsets)", 24, heed::cumulative_lengths(offsets));
    draw("parallel_contexts(offsets)", 24, heed::parallel_contexts(contexts));
    draw("mask(your own function)", 24,
         heed::mask([](auto i, auto j) { return j <= i && (i - j < 4 || j % 4 == 0); }));
}
