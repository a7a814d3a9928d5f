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
    std::cout << "set terminal pngcairo size 1000,640 noenhanced font 'sans,11'\n"
                 "set multiplot layout 2,4 margins 0.05,0.99,0.07,0.93 spacing 0.05,0.14\n"
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
    draw("mask(your own function)", 24,
         heed::mask([](auto i, auto j) { return j <= i && (i - j < 4 || j % 4 == 0); }));
}
