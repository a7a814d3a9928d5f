// Draws rope_digits.png: positions as digits, and as the cosines that take the digits' place. From
// the repository's top:
//
//     g++ -std=c++20 -O1 -I include -I /usr/include/eigen3 docs/figures/make_rope_digits.cpp -o
//     make_rope_digits
//     ./make_rope_digits | gnuplot > docs/figures/rope_digits.png
#include <cmath>
#include <iostream>

#include <heed/heed.hpp>

/// One picture: what value(n, t) is, in [0, 1], for positions n and pairs t = 0 … 3.
template <class Value>
void draw(const char* title, Value value) {
    std::cout << "set title \"" << title << "\"\nplot '-' matrix with image notitle\n";
    for (int t = 0; t < 4; ++t, std::cout << '\n')
        for (int n = 0; n < 256; ++n) std::cout << value(n, static_cast<std::size_t>(t)) << ' ';
    std::cout << "e\n";
}

/// Digits of n over the largest digit there is.
template <class Radices>
auto digit_of(const Radices& radices) {
    return [radices](int n, std::size_t t) {
        return heed::rope::digits(n, radices)[t] / (std::ceil(radices[t]) - 1);
    };
}

/// How far cos nθ_t has come from 1 to −1.
auto turn_of(const heed::rope::frequencies& rope) {
    return [rope](int n, std::size_t t) {
        return (1 - std::cos(static_cast<double>(n) * rope.angular()[t])) / 2;
    };
}

int main() {
    // β = 4 = b^{2/r}, four pairs, and the same stretched eightfold, most in the lowest radix.
    const auto plain = heed::rope::plain({.dim = 8, .base = 256});
    const std::vector<double> stretch{4, 2, 1, 1}, radices{16, 8, 4, 4}, base(4, 4);
    std::cout << "set terminal pngcairo size 1000,620 noenhanced font 'sans,11'\n"
                 "set multiplot layout 4,1 margins 0.05,0.99,0.08,0.95 spacing 0,0.1\n"
                 "set palette defined (0 '#f4f4f4', 1 '#3060a0')\nset cbrange [0:1]\n"
                 "unset colorbox\nset xrange [-0.5:255.5]\nset yrange [-0.5:3.5]\n"
                 "set ytics 1 scale 0\nset xtics 32 scale 0\nset ylabel 'pair'\n";
    draw("digits of n at base 4", digit_of(base));
    draw("cos of n's angles, radix 4 a pair", turn_of(plain));
    draw("digits at the mixed radices 16, 8, 4, 4", digit_of(radices));
    std::cout << "set xlabel 'position n' offset 0,0.5\n";
    draw("cos of n's angles, mixed_radix with factors 4, 2, 1, 1",
         turn_of(heed::rope::mixed_radix({.dim = 8, .base = 256, .factors = stretch})));
}
