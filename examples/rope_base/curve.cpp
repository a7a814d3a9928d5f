#include "curve.hpp"

#include <cstddef>
#include <fstream>
#include <string>

#include "support/checked_file.hpp"
#include "support/gnuplot.hpp"

namespace rope_base {

void write_csv(const std::filesystem::path& file, const std::vector<point>& points) {
    std::ofstream csv(file);
    csv.precision(9);
    csv << "dim,length,least,resolution,lasting,lasting_resolution,limit";
    const auto name_rounds = [&](const char* kind, const heed::rope::found_base& found) {
        for (std::size_t r = 1; r <= found.by_round.size(); ++r)
            csv << ',' << kind << "_round_" << r;
    };
    if (!points.empty()) {
        name_rounds("least", points.front().least);
        name_rounds("lasting", points.front().lasting);
    }
    csv << '\n';
    for (const point& p : points) {
        csv << p.dim << ',' << p.length << ',' << p.least.base << ',' << p.least.resolution << ','
            << p.lasting.base << ',' << p.lasting.resolution << ','
            << heed::rope::limit_base(p.length);
        for (const auto* found : {&p.least, &p.lasting})
            for (const double base : found->by_round) csv << ',' << base;
        csv << '\n';
    }
    examples::close_checked(csv, file);
}

bool draw_curves(const std::filesystem::path& picture, const std::filesystem::path& csv,
                 const std::vector<heed::index>& dims) {
    std::string script =
        "set terminal pngcairo size 900,600 font 'sans,12' noenhanced\n"
        "set output " +
        examples::quoted(picture.string()) + "\ndata = " + examples::quoted(csv.string()) +
        "\nset datafile separator ','\n"
        "set logscale x 2\nset logscale y\n"
        "set format x '%.0f'\nset format y '%.0e'\nset rmargin 5\n"
        "set xlabel 'length'\nset ylabel 'base'\n"
        "set key top left Left reverse\n"
        "set grid lc rgb '#dddddd'\nset border lc rgb '#888888'\n"
        "plot ";
    const auto of_dim = [](heed::index dim) {
        return "data skip 1 using ($1 == " + std::to_string(dim) + " ? $2 : NaN):";
    };
    int colour = 0;
    for (const heed::index dim : dims) {
        const std::string line = std::to_string(++colour), d = "d = " + std::to_string(dim);
        script += of_dim(dim) + "3 with linespoints lw 2 pt 7 ps 0.8 lc " + line + " title '" + d +
                  ": the least', " + of_dim(dim) + "5 with lines lw 2 dt 2 lc " + line +
                  " title '" + d + ": from there on all', ";
    }
    return examples::gnuplot(script + of_dim(dims.front()) +
                             "7 with lines lw 2 dt 3 lc rgb '#888888' "
                             "title 'limit of many dimensions'\n");
}

}  // namespace rope_base
