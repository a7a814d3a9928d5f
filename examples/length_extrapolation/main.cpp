/// The experiment of kexue 9603, 9706, 9708 and 9728 at a small scale: how well do models that were
/// trained on short texts read long ones? `length_extrapolation --help` lists what can be chosen;
/// docs/length_extrapolation.md says what is seen.

#include <algorithm>
#include <array>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "checkpoint.hpp"
#include "corpus.hpp"
#include "error.hpp"
#include "evaluate.hpp"
#include "measurement.hpp"
#include "methods.hpp"
#include "options.hpp"
#include "report.hpp"
#include "support/checked_file.hpp"
#include "support/gnuplot.hpp"
#include "support/progress_bar.hpp"
#include "texts.hpp"
#include "trainer.hpp"

namespace length_extrapolation {

namespace {

using char_lm::exit_code;
using char_lm::failure;

constexpr index expansion = 8;  ///< the longest text, in training lengths

/// Makes the folder and proves that files can be made in it, before minutes of work are lost.
void prepare(const std::filesystem::path& folder) {
    try {
        examples::checked_file(folder, "accuracy.csv");
    } catch (const std::runtime_error& error) {
        throw failure(exit_code::unwritable_folder, error.what());
    }
}

std::filesystem::path checkpoint_file(const options& o, const std::string& model) {
    return o.out / (model + ".checkpoint");
}

/// Every recipe, trained and saved, or loaded.
trained_models obtain(const std::vector<recipe>& all, const char_lm::corpus& text, const options& o,
                      char_lm::team& threads) {
    const std::uint64_t mark = fingerprint(text.training());
    examples::progress_bar bar(o.quiet || o.evaluate);
    trained_models models;
    for (const recipe& r : all) {
        const char_lm::transformer<float> model(r.sizes, r.attention);
        trained_model now{r, {}, 0, 0};
        now.parameters.resize(std::size_t(model.parameter_count()));
        checkpoint_header header{r.name, r.sizes, mark, 0, 0};
        const auto file = checkpoint_file(o, r.name);
        if (o.evaluate) {
            header = load_checkpoint(file, header, now.parameters);
        } else {
            model.initialise(now.parameters, o.training.seed);
            const auto watch = [&](const char_lm::training_state& state) {
                std::array<char, 64> line{};
                std::snprintf(line.data(), line.size(), "%s: loss %.2f", r.name.c_str(),
                              state.loss);
                const double done = double(models.size()) + std::min(1.0, state.fraction);
                bar.show(done / double(all.size()), line.data());
                header.steps = state.step;
                header.seconds = state.seconds;
            };
            char_lm::train(model, now.parameters, text, o.training, threads, watch);
            save_checkpoint(file, header, now.parameters);
        }
        now.steps = header.steps;
        now.seconds = header.seconds;
        models.emplace(r.name, std::move(now));
    }
    return models;
}

/// What was trained, and how well it predicts at its training length.
void print_models(const std::vector<recipe>& all, const trained_models& models,
                  const measured_text& text, char_lm::team& threads) {
    std::printf("\n%-16s%9s%8s%8s%11s  %s\n", "model", "steps", "s", "loss", "accuracy",
                "trained with");
    for (const recipe& r : all) {
        const trained_model& trained = models.at(r.name);
        const auto now = char_lm::evaluate({r.sizes, r.attention}, trained.parameters, text.windows,
                                           r.sizes.context, r.sizes.scale, threads);
        std::printf("%-16s%9td%8.0f%8.3f%9.1f %%  %s\n", r.name.c_str(), trained.steps,
                    trained.seconds, now.loss, 100 * now.accuracy, r.meaning.c_str());
    }
    std::fflush(stdout);
}

void run(const options& o) {
    const auto files = char_lm::find_files(o.files);
    const index longest = expansion * o.context;
    const char_lm::corpus text(files, longest, o.training.seed);
    prepare(o.out);

    std::vector<index> lengths;
    for (index length = o.context; length <= longest; length *= 2) lengths.push_back(length);
    const measured_text ordinary = ordinary_text(text.validation(), longest, o.context, o.windows);
    const measured_text repeated = repeated_text(ordinary, o.context);

    const auto all = recipes({.vocabulary = text.vocabulary_size(),
                              .layers = o.layers,
                              .heads = o.heads,
                              .width = o.width,
                              .context = o.context},
                             expansion);
    char_lm::team threads(o.threads);
    std::printf("%s %zu models on windows of %td characters.\n",
                o.evaluate ? "Loading" : "Training", all.size(), o.context);
    std::fflush(stdout);
    const trained_models models = obtain(all, text, o, threads);
    print_models(all, models, ordinary, threads);

    std::printf("\nReading %zu windows of up to %td characters.\n", ordinary.windows.size(),
                longest);
    std::fflush(stdout);
    const auto how = methods(o.context, expansion);
    std::vector<reading> readings;
    {
        examples::progress_bar bar(o.quiet);
        readings =
            read_all(models, how, {ordinary, repeated}, lengths, threads,
                     [&](double fraction, const std::string& doing) { bar.show(fraction, doing); });
    }
    std::printf(
        "\nNext-character accuracy, by how many characters the model sees. It was trained on %td\n"
        "and predicts the same characters in every column; repeated text has each of them %td\n"
        "characters before, too. log n: trained with it; log n†: scaled by it after training.\n\n",
        o.context, o.context);
    print_accuracy(readings, lengths);
    const auto accuracy_csv = o.out / "accuracy.csv", entropy_csv = o.out / "entropy.csv";
    write_accuracy(accuracy_csv, readings, lengths);

    std::vector<method> looked_at;
    for (const method& m : how)
        if (m.name == "RoPE" || m.name == "ReRoPE-w" + std::to_string(o.context / 2))
            looked_at.push_back(m);
    const auto curves = entropies(models, looked_at, ordinary, threads);
    write_entropy(entropy_csv, curves);
    std::printf(
        "\nMean entropy of attention, nats, of characters that see n/√2 to n others. Ordinary "
        "text.\n\n");
    print_entropy(curves, lengths);

    const bool drawn = draw_accuracy(o.out / "accuracy.png", accuracy_csv, o.context) &&
                       draw_entropy(o.out / "entropy.png", entropy_csv, curves, o.context);
    std::printf("\nIn %s: %saccuracy.csv, entropy.csv and the checkpoints.\n",
                o.out.string().c_str(), drawn ? "accuracy.png, entropy.png, " : "");
    if (!drawn) std::printf("%s", examples::no_pictures);
}

}  // namespace

}  // namespace length_extrapolation

int main(int count, char** arguments) {
    using char_lm::exit_code;
    try {
        int status = 0;
        const auto options = length_extrapolation::read_options(count, arguments, status);
        if (!options) return status;
        length_extrapolation::run(*options);
        return static_cast<int>(exit_code::success);
    } catch (const char_lm::failure& failure) {
        std::fprintf(stderr, "length_extrapolation: %s\n", failure.what());
        return static_cast<int>(failure.code());
    } catch (const std::exception& error) {
        std::fprintf(stderr, "length_extrapolation: %s\n", error.what());
        return static_cast<int>(exit_code::unexpected);
    }
}
