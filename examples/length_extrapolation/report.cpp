#include "report.hpp"

#include <array>
#include <cstdio>
#include <fstream>
#include <string>

#include "error.hpp"
#include "support/gnuplot.hpp"

namespace length_extrapolation {

using examples::quoted;

namespace {

/// † takes three bytes, but one place.
std::string padded(std::string text, std::size_t places) {
    std::size_t taken = 0;
    for (const char c : text) taken += (static_cast<unsigned char>(c) & 0xC0U) != 0x80U ? 1 : 0;
    if (taken < places) text.append(places - taken, ' ');
    return text;
}

std::string title(const method& how) {
    const std::string scale = scale_name(how.scale);
    return scale.empty() ? how.name : how.name + ", " + scale;
}

std::string row_name(const method& how) { return padded(title(how), 34); }

const char* scale_word(char_lm::score_scale scale) {
    switch (scale) {
        case char_lm::score_scale::standard:
            return "standard";
        case char_lm::score_scale::log_n_after_training:
            return "log_n_after_training";
        case char_lm::score_scale::log_n:
            return "log_n";
    }
    return "";
}

std::string start_of_picture(const std::filesystem::path& picture, const char* size) {
    return std::string("set terminal pngcairo size ") + size + " font 'sans,11' noenhanced\n" +
           "set output " + quoted(picture.string()) +
           "\nset datafile separator ','\nset logscale x 2\n"
           "set grid lc rgb '#dddddd'\nset border lc rgb '#888888'\n";
}

/// What gnuplot draws, and what it is called.
struct curve {
    std::string points, title;
};

std::string plot(const std::vector<curve>& curves) {
    std::string command;
    for (const curve& c : curves)
        command += (command.empty() ? "plot " : ", ") + c.points +
                   " with linespoints lw 2 pt 7 ps 0.7 title " + quoted(c.title);
    return command + "\n";
}

/// A curve of the lines of accuracy.csv that are a method's.
struct accuracy_line {
    const char* method;
    const char* scale;
    const char* title;
};

}  // namespace

void print_accuracy(const std::vector<reading>& readings, const std::vector<index>& lengths) {
    // One method's readings of all texts stand one behind the other.
    std::size_t texts = 1;
    while (texts < readings.size() && readings[texts].text != readings[0].text) ++texts;

    std::printf("%-34s", "");
    for (std::size_t t = 0; t < texts; ++t)
        std::printf(" |%*s", int(9 * lengths.size()), readings[t].text.c_str());
    std::printf("\n%-34s", "it sees");
    for (std::size_t t = 0; t < texts; ++t) {
        std::printf(" |");
        for (const index length : lengths) std::printf("%9td", length);
    }
    for (std::size_t r = 0; r < readings.size(); ++r) {
        if (r % texts == 0) std::printf("\n%s", row_name(readings[r].how).c_str());
        std::printf(" |");
        for (const auto& score : readings[r].by_length)
            std::printf("%7.1f %%", 100 * score.accuracy);
    }
    std::printf("\n");
}

void print_entropy(const std::vector<entropy_curve>& curves, const std::vector<index>& lengths) {
    std::printf("%-34s  ", "n");
    for (const index length : lengths) std::printf("%9td", length);
    for (const entropy_curve& curve : curves) {
        std::printf("\n%s  ", row_name(curve.how).c_str());
        for (const index length : lengths)
            for (const entropy_point& point : curve.points)
                if (static_cast<index>(point.n) == length) std::printf("%9.2f", point.nats);
    }
    std::printf("\n");
}

void write_accuracy(const std::filesystem::path& file, const std::vector<reading>& readings,
                    const std::vector<index>& lengths) {
    std::ofstream csv(file);
    csv << "method,model,scale,text,length,accuracy,loss\n";
    for (const reading& r : readings)
        for (std::size_t i = 0; i < lengths.size(); ++i)
            csv << r.how.name << ',' << r.how.model << ',' << scale_word(r.how.scale) << ','
                << r.text << ',' << lengths[i] << ',' << r.by_length[i].accuracy << ','
                << r.by_length[i].loss << '\n';
    char_lm::close_written(csv, file);
}

void write_entropy(const std::filesystem::path& file, const std::vector<entropy_curve>& curves) {
    std::ofstream csv(file);
    csv << "method,model,scale,n,nats\n";
    for (const entropy_curve& curve : curves)
        for (const entropy_point& point : curve.points)
            csv << curve.how.name << ',' << curve.how.model << ',' << scale_word(curve.how.scale)
                << ',' << point.n << ',' << point.nats << '\n';
    char_lm::close_written(csv, file);
}

bool draw_accuracy(const std::filesystem::path& picture, const std::filesystem::path& csv,
                   index context) {
    const std::string window = "ReRoPE-w" + std::to_string(context / 2);
    const std::array<accuracy_line, 8> shown{{
        {"RoPE", "standard", "RoPE"},
        {"PI", "standard", "PI"},
        {"NTK-mixed", "standard", "NTK-mixed"},
        {"NTK-mixed", "log_n", "NTK-mixed, log n"},
        {"YaRN", "standard", "YaRN"},
        {window.c_str(), "log_n", "ReRoPE, log n"},
        {"inverse Leaky ReRoPE", "log_n", "inverse Leaky ReRoPE, log n"},
        {"HWFA", "log_n", "HWFA, log n"},
    }};
    std::string script = start_of_picture(picture, "1300,480") + "data = " + quoted(csv.string()) +
                         "\nset format y '%.0f %%'\nset yrange [0:*]\n"
                         "set xlabel 'characters it sees'\n"
                         "set multiplot layout 1,3\nset key off\n"
                         "of(name, scale, text) = strcol(1) eq name && strcol(3) eq scale && "
                         "strcol(4) eq text ? 100*$6 : NaN\n";
    for (const std::string text : {"ordinary", "repeated"}) {
        std::vector<curve> curves;
        for (const accuracy_line& line : shown)
            curves.push_back({"data skip 1 using 5:(of('" + std::string(line.method) + "', '" +
                                  line.scale + "', '" + text + "'))",
                              line.title});
        script += "set title 'next character, " + text + " text'\n" + plot(curves);
    }
    // The third is the key of both.
    std::vector<curve> titles;
    for (const accuracy_line& line : shown) titles.push_back({"-1", line.title});
    script +=
        "set key on center left Left reverse\nunset title\nunset xlabel\nunset tics\n"
        "unset border\nset xrange [1:2]\nset yrange [0:1]\n" +
        plot(titles);
    return examples::gnuplot(script);
}

bool draw_entropy(const std::filesystem::path& picture, const std::filesystem::path& csv,
                  const std::vector<entropy_curve>& curves, index context) {
    std::string script =
        start_of_picture(picture, "900,540") + "data = " + quoted(csv.string()) +
        "\nset title 'mean entropy of attention, nats'\nset xlabel 'n, characters it sees'\n"
        "set key bottom right\nset arrow from " +
        std::to_string(context) + ", graph 0 to " + std::to_string(context) +
        ", graph 1 nohead dt 2 lc rgb '#888888'\n"
        "of(name, scale) = strcol(1) eq name && strcol(3) eq scale ? $5 : NaN\n";
    std::vector<curve> shown;
    for (const auto& [how, points] : curves) {
        shown.push_back(
            {"data skip 1 using 4:(of('" + how.name + "', '" + scale_word(how.scale) + "'))",
             title(how)});
    }
    return examples::gnuplot(script + plot(shown));
}

}  // namespace length_extrapolation
