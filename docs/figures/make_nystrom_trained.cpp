// Draws nystrom_trained.png: what Nyström attention leaves out of heads that a model has learned,
// over the number of landmarks. The model is examples/char_lm's, trained here for 500 steps on
// Eigen's headers, and its text held out: a few minutes. From the repository's top:
//
//     g++ -std=c++20 -O3 -march=native -I include -I examples/char_lm -I /usr/include/eigen3
//     docs/figures/make_nystrom_trained.cpp
//     examples/char_lm/{attention_softmax,corpus,model,trainer}.cpp -o make_nystrom_trained
//     ./make_nystrom_trained | gnuplot > docs/figures/nystrom_trained.png
#include <algorithm>
#include <cstddef>
#include <iostream>
#include <memory>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/Tensor>

#include <heed/heed.hpp>

#include "attention.hpp"
#include "corpus.hpp"
#include "model.hpp"
#include "normalisers.hpp"
#include "team.hpp"
#include "trainer.hpp"

namespace {

using char_lm::index;
using heed::pseudo_inverse;
using heads = Eigen::Tensor<float, 3, Eigen::RowMajor>;  // [head, token, dim]

constexpr index context = 512, width = 128, layers = 4, heads_a_layer = 4;
constexpr index dim = width / heads_a_layer;

/// char_lm's attention, which keeps the rows of [q | k | v] that came last.
class listening_attention final : public char_lm::attention<float> {
  public:
    using rows = char_lm::matrix<float>;
    using score_scale = char_lm::score_scale;

    listening_attention(std::unique_ptr<char_lm::attention<float>> attention, rows& heard)
        : attention_(std::move(attention)), heard_(heard) {}

    index state_size(index length) const override { return attention_->state_size(length); }
    std::unique_ptr<char_lm::attention_stats> make_stats() const override {
        return attention_->make_stats();
    }
    void forward(const rows& qkv, index sequences, index first_window, rows& out,
                 char_lm::attention_stats& stats) const override {
        attention_->forward(qkv, sequences, first_window, out, stats);
    }
    void backward(const rows& d_out, const rows& out, const char_lm::attention_stats& stats,
                  const rows& qkv, index sequences, rows& d_qkv) const override {
        attention_->backward(d_out, out, stats, qkv, sequences, d_qkv);
    }
    void infer(const rows& qkv, index sequences, score_scale scale, rows& out) const override {
        heard_ = qkv;
        attention_->infer(qkv, sequences, scale, out);
    }
    std::unique_ptr<char_lm::attention_cache> make_cache(index capacity) const override {
        return attention_->make_cache(capacity);
    }
    void decode(const rows& qkv, char_lm::attention_cache& seen, score_scale scale,
                rows& out) const override {
        attention_->decode(qkv, seen, scale, out);
    }
    rows weights(const rows& qkv, index head, score_scale scale) const override {
        return attention_->weights(qkv, head, scale);
    }
    rows entropies(const rows& qkv, score_scale scale) const override {
        return attention_->entropies(qkv, scale);
    }

  private:
    std::unique_ptr<char_lm::attention<float>> attention_;
    rows& heard_;
};

struct attention_inputs {
    heads q, k, v;
};

/// q and k, rotated as the model does, and v of all heads of all layers, over text held out.
attention_inputs trained_inputs() {
    const char_lm::corpus text(char_lm::find_files({}), context, 1);
    std::vector<char_lm::matrix<float>> heard(layers);
    const char_lm::transformer<float> model(
        {text.vocabulary_size(), layers, heads_a_layer, width, context},
        [&](const char_lm::architecture& sizes, index layer) {
            return std::make_unique<listening_attention>(char_lm::softmax_attention(sizes, layer),
                                                         heard[static_cast<std::size_t>(layer)]);
        });
    char_lm::flat_vector<float> parameters(static_cast<std::size_t>(model.parameter_count()));
    model.initialise(parameters, 1);
    char_lm::team threads(static_cast<int>(std::max(1U, std::thread::hardware_concurrency())));
    char_lm::training_settings settings;
    settings.steps = 500;
    char_lm::train(model, parameters, text, settings, threads, [](const auto& state) {
        if (state.step % 100 == 0)
            std::cerr << "step " << state.step << ", loss " << state.loss << '\n';
    });
    const auto work = model.make_workspace();
    model.infer(parameters, text.validation().first(context), 1, char_lm::score_scale::standard,
                *work);

    const auto rope = heed::rope::plain({.dim = dim});
    const auto part = [&](index first_column) {
        heads x(layers * heads_a_layer, context, dim);
        for (index h = 0; h < x.dimension(0); ++h)
            for (index i = 0; i < context; ++i)
                for (index c = 0; c < dim; ++c)
                    x(h, i, c) = heard[static_cast<std::size_t>(h / heads_a_layer)](
                        i, first_column + h % heads_a_layer * dim + c);
        return x;
    };
    return {heed::rotate(part(0), rope), heed::rotate(part(width), rope), part(2 * width)};
}

attention_inputs random_inputs() {
    std::mt19937 engine(1);
    std::normal_distribution<float> normal;
    const auto part = [&] {
        heads x(layers * heads_a_layer, context, dim);
        for (index i = 0; i < x.size(); ++i) x.data()[i] = normal(engine);
        return x;
    };
    heads q = part(), k = part(), v = part();
    return {q, k, v};
}

/// ‖o − exact‖/‖exact‖ of every head, the least first.
std::vector<double> errors_of(const heads& o, const heads& exact) {
    std::vector<double> errors;
    const index size = context * dim;
    for (index h = 0; h < exact.dimension(0); ++h) {
        const Eigen::Map<const Eigen::ArrayXf> a(o.data() + h * size, size),
            b(exact.data() + h * size, size);
        errors.push_back(double((a - b).matrix().norm()) / double(b.matrix().norm()));
    }
    std::sort(errors.begin(), errors.end());
    return errors;
}

void draw(const char* title, const attention_inputs& in) {
    const std::vector<std::pair<const char*, heed::nystrom_options>> ways = {
        {"6 rounds", {}},
        {"12 rounds", {.rounds = 12}},
        {"SVD", {.inverse = pseudo_inverse::svd, .tolerance = 1e-3}},
        {"no inverse", {.inverse = pseudo_inverse::none}}};
    const heads exact = heed::attention(in.q, in.k, in.v);
    std::cout << "set title '" << title << "'\nplot ";
    for (const auto& way : ways)
        std::cout << (&way == ways.data() ? "" : ", ") << "'-' with linespoints lw 2 title '"
                  << way.first << "'";
    std::cout << '\n';
    for (auto [name, options] : ways) {
        for (int m = 4; m <= context; m *= 2) {
            options.landmarks = m;
            const auto errors =
                errors_of(heed::nystrom_attention(in.q, in.k, in.v, options), exact);
            const double median = errors[errors.size() / 2];
            std::cout << m << ' ' << median << '\n';
            std::cerr << title << ", " << name << ", " << m << " landmarks: " << median << " ("
                      << errors.front() << " to " << errors.back() << ")\n";
        }
        std::cout << "e\n";
    }
}

}  // namespace

int main() {
    std::cout << "set terminal pngcairo size 1000,420 noenhanced font 'sans,11'\n"
                 "set multiplot layout 1,2\nset logscale xy\nset xlabel 'landmarks'\n"
                 "set ylabel 'relative error of o, median of 16 heads'\nset grid\n"
                 "set key bottom left\nset xtics (4,16,64,256)\nset yrange [1e-4:3]\n";
    draw("trained heads", trained_inputs());
    draw("q, k and v of normal numbers", random_inputs());
}
