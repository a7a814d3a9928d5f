/// A small transformer that learns text, a character at a time, with heed's attention: read a text,
/// train, write a sample, measure it on longer texts than it was trained on, draw two pictures.
/// `char_lm --help` lists what can be changed.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <unistd.h>
#include <vector>

#include "attentions.hpp"
#include "corpus.hpp"
#include "error.hpp"
#include "evaluate.hpp"
#include "generate.hpp"
#include "model.hpp"
#include "normalisers.hpp"
#include "options.hpp"
#include "plots.hpp"
#include "support/progress_bar.hpp"
#include "team.hpp"
#include "trainer.hpp"

namespace char_lm {

namespace {

/// Makes the folder and proves that files can be made in it, before a minute of work is lost.
void prepare(const std::filesystem::path& folder) {
    std::error_code error;
    std::filesystem::create_directories(folder, error);
    const std::filesystem::path probe = folder / "sample.txt";
    if (error || !std::ofstream(probe))
        throw failure(exit_code::unwritable_folder,
                      "cannot write to the folder " + folder.string());
}

/// What the progress bar says of training; `loss` is a smooth one, worth reading.
std::string describe(const training_state& state, double loss) {
    std::array<char, 64> line{};
    std::snprintf(line.data(), line.size(), "loss %.3f  %5.1f k tokens/s", loss,
                  state.tokens_a_second / 1000);
    return line.data();
}

/// What training left behind.
struct training_result {
    std::vector<loss_point> curve;  ///< for the picture
    training_state end;
};

training_result learn(const transformer<float>& model, flat_vector<float>& parameters,
                      const corpus& text, const options& o, team& threads) {
    constexpr double measurements = 20;  // of the validation loss
    std::vector<loss_point> points;
    training_state end;
    double smooth = 0;
    double next_point = 0;
    double next_measurement = 0;
    const auto held_out = spread_windows(text.validation(), o.context, o.context, 32);
    {
        examples::progress_bar bar(o.quiet);
        train(model, parameters, text, o.training, threads, [&](const training_state& state) {
            const double keep = std::min(0.98, 1 - 1 / double(state.step));
            smooth = keep * smooth + (1 - keep) * state.loss;
            if (state.fraction >= next_point || state.fraction >= 1) {
                next_point += 1.0 / 400;
                loss_point point{state.seconds, state.step * o.training.batch * o.context, smooth,
                                 std::numeric_limits<double>::quiet_NaN()};
                if (state.fraction >= next_measurement || state.fraction >= 1) {
                    next_measurement += 1 / measurements;
                    point.validation = evaluate(model, parameters, held_out, o.context,
                                                model.sizes().scale, threads)
                                           .loss;
                }
                points.push_back(point);
            }
            bar.show(state.fraction, describe(state, smooth));
            end = state;
        });
    }
    std::printf("\nTrained %td steps of %td characters in %.1f s, %.1f thousand tokens a second.\n",
                end.step, o.training.batch * o.context, end.seconds, end.tokens_a_second / 1000);
    std::printf("Loss on text held out: %.3f nats (%.3f bits) a character.\n",
                points.back().validation, points.back().validation / std::log(2.0));
    return {points, end};
}

/// Whether the model's attention has scores, which are scaled and normalised.
bool has_scores(const options& o) { return o.attention == "softmax"; }

/// What sets the model's attention apart.
std::string name_of(const options& o) { return has_scores(o) ? o.normaliser : o.attention; }

attention_factory<float> chosen_attention(const options& o) {
    return has_scores(o) ? attention_with_normaliser(o.normaliser) : attention_by_name(o.attention);
}

/// How few characters attention chooses, over all heads, by one window of text.
struct choice {
    double support = 0;  ///< share of the characters seen that get any weight at all
    double sparsity = 0;  ///< n^{-1/2}·‖p‖₁/‖p‖₂: 1 where all count the same (kexue 9595)
};

choice look_at_choice(const transformer<float>& model, const flat_vector<float>& parameters,
                      const corpus& text, const options& o) {
    const auto window =
        text.validation().first(std::min(std::size_t(o.context), text.validation().size()));
    const auto work = model.make_workspace();
    choice mean;
    for (index layer = 0; layer < o.layers; ++layer) {
        for (index head = 0; head < o.heads; ++head) {
            const auto p = model.attention_weights(parameters, window, layer, head, *work);
            for (index i = 0; i < p.rows(); ++i) {
                const auto row = p.row(i).head(i + 1).array();
                const double norm = std::sqrt(double(row.square().sum()));
                mean.support += double((row != 0).count()) / double(i + 1);
                if (norm > 0)
                    mean.sparsity += double(row.abs().sum()) / norm / std::sqrt(double(i + 1));
            }
        }
    }
    const double rows = double(o.layers * o.heads) * double(window.size());
    return {mean.support / rows, mean.sparsity / rows};
}

/// The same training with softmax, and both in a table.
void compare_with_softmax(const transformer<float>& model, const flat_vector<float>& parameters,
                          const training_result& result, const corpus& text, options o,
                          team& threads) {
    std::printf("\nThe same %td steps with softmax, to compare:\n\n", result.end.step);
    std::fflush(stdout);
    const transformer<float> plain(model.sizes(), attention_with_normaliser("softmax"));
    flat_vector<float> plain_parameters(std::size_t(plain.parameter_count()));
    plain.initialise(plain_parameters, o.training.seed);
    o.training.steps = result.end.step;
    const auto plain_result = learn(plain, plain_parameters, text, o, threads);

    std::printf("\n%-18s%12s%12s%14s%16s%18s\n", "", "loss, nats", "support", "sparsity S*",
                "ms a step", "numbers kept");
    const auto row = [&](const std::string& name, const transformer<float>& of,
                         const training_result& trained, const choice& chosen) {
        std::printf("%-18s%12.3f%10.1f %%%14.3f%16.1f%18td\n", name.c_str(),
                    trained.curve.back().validation, 100 * chosen.support, chosen.sparsity,
                    1e3 * trained.end.seconds / double(trained.end.step), of.state_size(o.context));
    };
    row(name_of(o), model, result, look_at_choice(model, parameters, text, o));
    row("softmax", plain, plain_result, look_at_choice(plain, plain_parameters, text, o));
    std::printf(
        "\nSupport: the share of the characters it sees that a character gives any weight to.\n"
        "Numbers kept: of a window of %td characters, by all layers, to go on writing.\n",
        o.context);
}

void write_sample(const transformer<float>& model, const flat_vector<float>& parameters,
                  const corpus& text, const options& o) {
    const auto prompt = text.whole_lines(text.validation(), o.context / 2);
    const auto sample =
        generate(model, parameters, prompt, o.characters, o.temperature, o.training.seed);
    const bool terminal = isatty(STDOUT_FILENO) != 0;
    std::printf("\nA sample at temperature %.2g. The model goes on from the text %s:\n\n",
                o.temperature, terminal ? "in grey" : "before the mark ▸");
    std::printf("%s%s%s%s\n", terminal ? "\033[90m" : "", text.show(prompt).c_str(),
                terminal ? "\033[0m" : "▸", text.show(sample).c_str());
    const auto file = o.out / "sample.txt";
    std::ofstream stream(file);
    stream << text.show(prompt) << text.show(sample) << '\n';
    close_written(stream, file);
}

/// Accuracy at 1, 2, 4 and 8 training lengths, with both scales where there are scores.
void look_further(const transformer<float>& model, const flat_vector<float>& parameters,
                  const corpus& text, const options& o, team& threads) {
    // The longest length that the held-out text holds decides where the stretches lie.
    index longest = 8 * o.context;
    while (longest > o.context && longest + 1 > static_cast<index>(text.validation().size()))
        longest /= 2;
    const auto windows = spread_windows(text.validation(), longest, o.context, 64);
    std::printf(
        "\nNext-character accuracy on text held out, by how many characters the model sees.\n"
        "It was trained on L = %td; it predicts the same characters in every column.\n\n%-34s",
        o.context, "");
    for (index length = o.context; length <= longest; length *= 2) std::printf("%9td", length);
    const auto row = [&](const char* name, score_scale scale) {
        std::printf("\n%-34s", name);
        for (index length = o.context; length <= longest; length *= 2) {
            const score now = evaluate(model, parameters, windows, length, scale, threads);
            std::printf("%7.1f %%", 100 * now.accuracy);
            std::fflush(stdout);
        }
    };
    if (!has_scores(o)) {
        row(o.attention.c_str(), score_scale::standard);
        std::printf(
            "\n\nThe state is as large at the end as at the start, and a character costs the "
            "same.\n");
        return;
    }
    if (o.log_n) {
        row("log n scaling, as in training", score_scale::log_n);
        row("without it", score_scale::standard);
    } else {
        row("plain rotary positions", score_scale::standard);
        row("the same, with log n scaling", score_scale::log_n_after_training);
    }
    std::printf(
        "\n\nBeyond L rotary positions turn by angles that training never showed. Log n scaling\n"
        "multiplies the scores of a character that sees n others by %s,\n"
        "so that attention stays as sharp on long texts as on short ones. %s\n",
        o.log_n ? "log n / log L" : "max(1, log n / log L)",
        o.log_n
            ? "This model was\ntrained with it (kexue.fm/archives/8823)."
            : "Nothing is trained\nagain for it (kexue.fm/archives/9706); --log-n trains with it.");
}

/// Of all heads, the one that fixes most firmly on single characters that are not its neighbours.
bool draw_attention(const transformer<float>& model, const flat_vector<float>& parameters,
                    const corpus& text, const options& o) {
    const index length = std::min<index>(o.context, 48);
    const auto window = text.whole_lines(text.validation(), length).first(std::size_t(length));
    const auto work = model.make_workspace();
    matrix<float> best;
    std::string title;
    double firmest = -1;
    for (index layer = 0; layer < o.layers; ++layer)
        for (index head = 0; head < o.heads; ++head) {
            const auto weights = model.attention_weights(parameters, window, layer, head, *work);
            double firm = 0;
            for (index i = 6; i < weights.rows(); ++i)
                firm += double(weights.row(i).segment(1, i - 4).maxCoeff());
            if (firm <= firmest) continue;
            firmest = firm;
            best = weights;
            title = "Head " + std::to_string(head + 1) + " of layer " + std::to_string(layer + 1) +
                    ": each character (down) looks at those before it (across)";
        }
    return plot_attention(o.out, best, text.show(window), title);
}

void run(const options& o) {
    const auto files = find_files(o.files);
    const corpus text(files, o.context, o.training.seed);
    prepare(o.out);

    team threads(o.threads);
    const transformer<float> model({text.vocabulary_size(), o.layers, o.heads, o.width, o.context,
                                    o.log_n ? score_scale::log_n : score_scale::standard},
                                   chosen_attention(o));
    flat_vector<float> parameters(std::size_t(model.parameter_count()));
    model.initialise(parameters, o.training.seed);

    std::printf("Text: %.2f million characters from %zu file%s, %td of them different.\n",
                double(text.training().size() + text.validation().size()) / 1e6, files.size(),
                files.size() == 1 ? "" : "s", text.vocabulary_size());
    std::printf(
        "A guess costs %.2f nats a character from how often each occurs, %.2f from the "
        "one before.\n",
        text.entropy(0), text.entropy(1));
    std::printf(
        "Model: %td layers, %td heads, width %td: %.2f million parameters. %d thread%s.\n\n",
        o.layers, o.heads, o.width, double(model.parameter_count()) / 1e6, o.threads,
        o.threads == 1 ? "" : "s");
    std::fflush(stdout);

    const auto result = learn(model, parameters, text, o, threads);
    if (name_of(o) != "softmax") compare_with_softmax(model, parameters, result, text, o, threads);
    write_sample(model, parameters, text, o);
    look_further(model, parameters, text, o, threads);

    const bool loss_drawn = plot_loss(o.out, result.curve, text.entropy(1));
    const bool drawn = draw_attention(model, parameters, text, o) && loss_drawn;
    std::printf("\nIn %s: %ssample.txt, loss.csv, attention.csv.\n", o.out.string().c_str(),
                drawn ? "loss.png, attention.png, " : "");
    if (!drawn)
        std::printf(
            "No pictures: gnuplot is missing or cannot draw PNG (Debian's package: "
            "gnuplot-nox).\n");
}

}  // namespace

}  // namespace char_lm

int main(int count, char** arguments) {
    using char_lm::exit_code;
    try {
        int status = 0;
        const auto options = char_lm::read_options(count, arguments, status);
        if (!options) return status;
        char_lm::run(*options);
        return static_cast<int>(exit_code::success);
    } catch (const char_lm::failure& failure) {
        std::fprintf(stderr, "char_lm: %s\n", failure.what());
        return static_cast<int>(failure.code());
    } catch (const std::exception& error) {
        std::fprintf(stderr, "char_lm: %s\n", error.what());
        return static_cast<int>(exit_code::unexpected);
    }
}
