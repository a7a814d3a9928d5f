#include "pictures.hpp"

#include <string>

#include "support/checked_file.hpp"
#include "support/gnuplot.hpp"

namespace robustness {

namespace {

/// Two panels side by side; in `commands` the table's file is called data.
bool draw(const std::filesystem::path& folder, const std::string& name, const table& t,
          const std::string& commands) {
    const auto data = examples::checked_file(folder, name + ".csv");
    write_csv(data, t);
    return examples::gnuplot(
        "set terminal pngcairo size 1100,460 font 'sans,10' noenhanced\n"
        "set output " +
        examples::quoted((folder / (name + ".png")).string()) +
        "\ndata = " + examples::quoted(data.string()) +
        "\nset datafile separator ','\n"
        "set multiplot layout 1,2\n"
        "set grid lt 1 lc rgb '#dddddd'\n"
        "set border lc rgb '#888888'\n"
        "set logscale x 2\n"
        "set xlabel 'keys, n'\n"
        "set key Left reverse\n" +
        commands + "unset multiplot\n");
}

}  // namespace

bool draw_noise(const std::filesystem::path& folder, const table& t) {
    const std::string points =
        "plot for [a = 1:2] for [s = 1:2] data skip 1 using ($2 == a && $3 == deviation(s) ? $4 "
        ": NaN):(column(measured)) with points ps 1.4 pt 5 + 2*(a - 1) lc rgb colour(s) "
        "title sprintf('noise %.2f, scale %d', deviation(s), a), "
        "for [s = 1:2] expected(s, x) with lines lw 2 lc rgb colour(s) "
        "title sprintf('expected at noise %.2f', deviation(s))\n";
    return draw(folder, "noise", t,
                "deviation(s) = s == 1 ? 0.25 : 1\n"
                "spread(s) = exp(deviation(s)**2) - 1\n"
                "colour(s) = s == 1 ? '#1f77b4' : '#d62728'\n"
                "set xlabel 'keys that count, 1/Σp²'\n"
                "set ylabel 'relative change of the output'\n"
                "set logscale y\nset yrange [0.0005:5]\nset key bottom left\n"
                "set title 'values of mean 0'\n"
                "measured = 5\nexpected(s, x) = sqrt(spread(s))\n" +
                    points +
                    "set title 'values of mean 1'\n"
                    "measured = 7\nexpected(s, x) = sqrt(spread(s)/(x + 1))\n" +
                    points);
}

bool draw_entropy(const std::filesystem::path& folder, const table& t) {
    const std::string logarithm = "data skip 1 using 1:2 with lines lw 2 dt 2 lc rgb '#888888' ";
    return draw(folder, "entropy", t,
                "set ylabel 'mean entropy of a row, nats'\n"
                "set yrange [0:12]\nset key bottom right\n"
                "set title 'scores q·k, normal'\n"
                "plot " +
                    logarithm +
                    "title 'log n', "
                    "data skip 1 using 1:3 with linespoints lw 2 pt 7 lc 1 title '1/√d', "
                    "data skip 1 using 1:4 with linespoints lw 2 pt 7 lc 2 title '(log_512 n)/√d', "
                    "data skip 1 using 1:5 with linespoints lw 2 pt 7 lc 4 title '(log_17 n)/√d'\n"
                    "set title 'cosines of q and k'\n"
                    "plot " +
                    logarithm +
                    "title 'log n', "
                    "data skip 1 using 1:6 with linespoints lw 2 pt 7 lc 1 title 'scale 1', "
                    "data skip 1 using 1:7 with lines lw 2 lc rgb '#444444' "
                    "title 'its floor at scale 1', "
                    "data skip 1 using 1:8 with linespoints lw 2 pt 7 lc 2 title '4·log 512', "
                    "data skip 1 using 1:9 with linespoints lw 2 pt 7 lc 4 title '4·log n'\n");
}

bool draw_scale(const std::filesystem::path& folder, const table& t) {
    return draw(folder, "scale", t,
                "set ylabel 'scale'\nset yrange [0:*]\nset key top left\n"
                "set title 'scores q·k/√d, normal'\n"
                "plot data skip 1 using 1:2 with linespoints lw 2 pt 7 lc 1 title 'α*', "
                "data skip 1 using 1:3 with lines lw 2 dt 2 lc 2 title '0.84·√(log n)'\n"
                "set title 'cosines of q and k'\n"
                "plot data skip 1 using 1:5 with linespoints lw 2 pt 7 lc 1 title 'α*', "
                "data skip 1 using 1:6 with lines lw 2 dt 2 lc 2 title '3.5·log n'\n");
}

bool draw_size(const std::filesystem::path& folder, const table& t) {
    const std::string panel =
        "plot for [s = 0:2] data skip 1 using ($1 == keys(s) ? $2 : NaN):(column(measured)) with "
        "points ps 1.2 pt 7 lc s + 1 title sprintf('n = %d', keys(s)), "
        "for [s = 0:2] x*(1 - exp(x**2)/keys(s)) with lines lw 2 lc s + 1 "
        "title (s == 0 ? 'as α* takes it to be' : '')\n";
    return draw(
        folder, "size", t,
        "keys(s) = 64*16**s\n"
        "unset logscale x\nset xlabel 'scale α'\nset xrange [0:10]\nset samples 1000\n"
        "set ylabel 'size of the gradient, α(1 − Σp²)'\nset yrange [0:5]\nset key top left\n"
        "measured = 4\nset title 'mean of the rows'\n" +
            panel + "measured = 5\nset title 'the row in the middle'\n" + panel);
}

}  // namespace robustness
