#include "pictures.hpp"

#include <algorithm>
#include <fstream>

#include "support/checked_file.hpp"
#include "support/gnuplot.hpp"

namespace gallery {

namespace {

using examples::quoted;

constexpr int columns = 4;

/// Writes the panels one below the other, two empty lines between them, and draws each with
/// `plot`, a command in which INDEX stands for its number.
bool draw(const std::filesystem::path& folder, const std::string& name, int height,
          const std::vector<panel>& panels, const std::string& settings, const std::string& style) {
    const auto data = examples::checked_file(folder, name + ".csv");
    {
        std::ofstream csv(data);
        const Eigen::IOFormat comma(6, Eigen::DontAlignCols, ",", "\n", "", "", "", "\n\n\n");
        for (const panel& p : panels) csv << p.values.format(comma);
        examples::close_checked(csv, data);
    }
    const auto count = static_cast<int>(panels.size());
    const int rows = (count + columns - 1) / columns;
    std::string script = "set terminal pngcairo size 1100," + std::to_string(rows * height) +
                         " font 'sans,10' noenhanced\nset output " +
                         quoted((folder / (name + ".png")).string()) +
                         "\nset datafile separator ','\nset multiplot layout " +
                         std::to_string(rows) + "," + std::to_string(std::min(count, columns)) +
                         "\nunset key\nset border lc rgb '#888888'\n" + settings;
    for (int i = 0; i < count; ++i)
        script += "set title " + quoted(panels[static_cast<std::size_t>(i)].title) + "\nplot " +
                  quoted(data.string()) + " index " + std::to_string(i) + style + "\n";
    return examples::gnuplot(script + "unset multiplot\n");
}

}  // namespace

bool draw_rows(const std::filesystem::path& folder, const std::vector<panel>& panels) {
    return draw(folder, "row", 190, panels,
                "set style fill solid\nset boxwidth 0.8\nset yrange [0:*]\nset xrange [-0.7:*]\n",
                " matrix using 1:3 with boxes lc rgb '#1f77b4'");
}

bool draw_heads(const std::filesystem::path& folder, const std::vector<panel>& panels) {
    return draw(folder, "head", 270, panels,
                "set size square\nunset colorbox\nunset xtics\nunset ytics\nset cbrange [0:1]\n"
                "set yrange [*:*] reverse\n"
                "set palette defined (0 '#ffffff', 0.25 '#9ecae1', 1 '#08306b')\n",
                " matrix with image");
}

}  // namespace gallery
