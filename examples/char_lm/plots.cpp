#include "plots.hpp"

#include <cmath>
#include <fstream>

#include "error.hpp"
#include "support/gnuplot.hpp"

namespace char_lm {

namespace fs = std::filesystem;
using examples::gnuplot;
using examples::quoted;

namespace {

std::ofstream create(const fs::path& file) {
    std::ofstream stream(file);
    if (!stream) throw failure(exit_code::unwritable_folder, "cannot write " + file.string());
    return stream;
}

/// What one cell of an axis shows for a character.
std::string label(char c) {
    if (c == ' ') return "␣";
    if (c == '\n') return "↵";
    if (c == '\t') return "⇥";
    return {c};
}

}  // namespace

bool plot_loss(const fs::path& folder, const std::vector<loss_point>& points, double pair_entropy) {
    const fs::path data = folder / "loss.csv";
    {
        auto csv = create(data);
        csv << "seconds,characters,training,validation\n";
        for (const loss_point& p : points) {
            csv << p.seconds << ',' << p.characters << ',' << p.training << ',';
            if (std::isfinite(p.validation)) csv << p.validation;
            csv << '\n';
        }
        close_written(csv, data);
    }
    const std::string file = quoted(data.string());
    return gnuplot(
        "set terminal pngcairo size 900,540 font 'sans,12'\n"
        "set output " +
        quoted((folder / "loss.png").string()) + "\n" +
        "set datafile separator ','\n"
        "set datafile missing ''\n"
        "set title 'char\\_lm: what a character costs'\n"
        "set xlabel 'millions of characters read'\n"
        "set ylabel 'loss, nats a character'\n"
        "set yrange [0:*]\n"
        "set grid lc rgb '#dddddd'\n"
        "set border lc rgb '#888888'\n"
        "pairs = " +
        std::to_string(pair_entropy) + "\n" + "plot " + file +
        " skip 1 using ($2/1e6):3 with lines lw 2 lc rgb '#1f77b4' "
        "title 'training', " +
        file +
        " skip 1 using ($2/1e6):4 with linespoints lw 2 pt 7 ps 0.8 lc rgb '#d62728' "
        "title 'validation', pairs with lines dt 2 lw 2 lc rgb '#888888' "
        "title 'a guess from the character before'\n");
}

bool plot_attention(const fs::path& folder, const matrix<float>& weights, const std::string& text,
                    const std::string& title) {
    const fs::path data = folder / "attention.csv";
    {
        auto csv = create(data);
        const Eigen::IOFormat comma(4, Eigen::DontAlignCols, ",", "\n", "", "", "", "\n");
        csv << weights.format(comma);
        close_written(csv, data);
    }
    std::string tics;
    for (std::size_t i = 0; i < text.size(); ++i)
        tics += (i > 0 ? ", " : "") + quoted(label(text[i])) + " " + std::to_string(i);
    const std::string last = std::to_string(text.size()) + "-0.5";
    return gnuplot(
        "set terminal pngcairo size 900,900 font 'monospace,10' noenhanced\n"
        "set output " +
        quoted((folder / "attention.png").string()) + "\n" +
        "set datafile separator ','\n"
        "set title " +
        quoted(title) + " font 'sans,12'\n" + "set xtics (" + tics + ") scale 0\n" + "set ytics (" +
        tics + ") scale 0\n" + "set xrange [-0.5:" + last + "]\n" + "set yrange [" + last +
        ":-0.5]\n" +
        "set size square\n"
        "unset colorbox\n"
        "set border lc rgb '#888888'\n"
        "set palette defined (0 '#ffffff', 0.25 '#9ecae1', 1 '#08306b')\n"
        "set cbrange [0:1]\n"
        "plot " +
        quoted(data.string()) + " matrix with image notitle\n");
}

}  // namespace char_lm
