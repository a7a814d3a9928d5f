#include "report.hpp"

#include <cstdio>
#include <fstream>
#include <string>

#include "support/checked_file.hpp"
#include "support/gnuplot.hpp"

namespace linear_recall {

using examples::quoted;

void print_table(const std::vector<measurement>& all, const recall_task& task) {
    std::printf("%-14s |%*s |%18s |%10s |%9s\n%-14s |", "", int(9 * task.pairs.size()),
                "recall, by pairs", "text held out", "ms a step", "numbers", "");
    for (const index pairs : task.pairs) std::printf("%9td", pairs);
    std::printf(" |%9s%9s |%10s |%9s", "nats", "right", "of text", "kept");
    for (const measurement& m : all) {
        std::printf("\n%-14s |", m.attention.c_str());
        for (const auto& score : m.recall) std::printf("%7.1f %%", 100 * score.accuracy);
        std::printf(" |%9.3f%7.1f %% |%10.2f |%9td", m.text.loss, 100 * m.text.accuracy,
                    m.step_milliseconds, m.state_size);
    }
    std::printf("\n");
}

void write_recall(const std::filesystem::path& file, const std::vector<measurement>& all,
                  const recall_task& task) {
    std::ofstream csv(file);
    csv << "attention,pairs,accuracy,loss\n";
    for (const measurement& m : all)
        for (std::size_t i = 0; i < task.pairs.size(); ++i)
            csv << m.attention << ',' << task.pairs[i] << ',' << m.recall[i].accuracy << ','
                << m.recall[i].loss << '\n';
    examples::close_checked(csv, file);
}

void write_losses(const std::filesystem::path& file, const std::vector<measurement>& all) {
    std::ofstream csv(file);
    csv << "attention,task,step,loss\n";
    for (const measurement& m : all) {
        for (const loss_point& p : m.recall_curve)
            csv << m.attention << ",recall," << p.step << ',' << p.loss << '\n';
        for (const loss_point& p : m.text_curve)
            csv << m.attention << ",text," << p.step << ',' << p.loss << '\n';
    }
    examples::close_checked(csv, file);
}

bool draw(const std::filesystem::path& picture, const std::filesystem::path& recall,
          const std::filesystem::path& losses, const std::vector<measurement>& all) {
    const auto plot = [&](const std::string& points) {
        std::string command;
        for (const measurement& m : all)
            command += (command.empty() ? "plot data skip 1 using " : ", data skip 1 using ") +
                       points + "(of('" + m.attention + "')) with linespoints lw 2 pt 7 ps 0.5 " +
                       "title " + quoted(m.attention);
        return command + "\n";
    };
    return examples::gnuplot(
        "set terminal pngcairo size 1300,440 font 'sans,11' noenhanced\nset output " +
        quoted(picture.string()) +
        "\nset datafile separator ','\nset grid lc rgb '#dddddd'\nset border lc rgb '#888888'\n"
        "set multiplot layout 1,3\n"
        "data = " +
        quoted(recall.string()) +
        "\nof(name) = strcol(1) eq name ? 100*$3 : NaN\nset title 'answers that are right'\n"
        "set logscale x 2\nset xlabel 'pairs of key and value'\nset format y '%.0f %%'\n"
        "set yrange [0:100]\nset key off\n" +
        plot("2:") + "data = " + quoted(losses.string()) +
        "\nunset logscale x\nset format y '%.1f'\nset xlabel 'steps'\n"
        "of(name) = strcol(1) eq name && strcol(2) eq 'recall' ? $4 : NaN\n"
        "set title 'loss of recall in training, nats an answer'\nset yrange [0:*]\n" +
        plot("3:") +
        "of(name) = strcol(1) eq name && strcol(2) eq 'text' ? $4 : NaN\n"
        "set title 'loss of text in training, nats a character'\nset yrange [1:3]\n"
        "set key on top right\n" +
        plot("3:"));
}

}  // namespace linear_recall
