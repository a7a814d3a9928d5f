#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "measurement.hpp"
#include "methods.hpp"
#include "support/catch.hpp"
#include "texts.hpp"

/// What the methods must agree on, on a small model that has learned nothing.

namespace length_extrapolation {

namespace test_methods {

using char_lm::score_scale;

constexpr index context = 16, expansion = 8;
const architecture sizes{
    .vocabulary = 11, .layers = 3, .heads = 2, .width = 16, .context = context};

std::vector<char_lm::token> some_text(index length) {
    std::vector<char_lm::token> text;
    for (index i = 0; i < length; ++i) text.push_back(char_lm::token((i * i + i / 3) % 11));
    return text;
}

trained_models untrained() {
    trained_models models;
    for (const recipe& r : recipes(sizes, expansion)) {
        const char_lm::transformer<float> model(r.sizes, r.attention);
        trained_model now{r, {}, 0, 0};
        now.parameters.resize(std::size_t(model.parameter_count()));
        model.initialise(now.parameters, 1);
        models.emplace(r.name, now);
    }
    return models;
}

/// The logits of a text of a length, by the method's name, of those without log n.
std::map<std::string, char_lm::matrix<float>> logits(index length) {
    const auto models = untrained();
    const auto text = some_text(length);
    std::map<std::string, char_lm::matrix<float>> all;
    for (const method& how : methods(context, expansion)) {
        if (how.model != "plain" || how.scale != score_scale::standard) continue;
        const auto& trained = models.at("plain");
        const char_lm::transformer<float> model(trained.made_by.sizes,
                                                how.attention(double(length) / double(context)));
        const auto work = model.make_workspace();
        all[how.name] = model.infer(trained.parameters, text, 1, how.scale, *work);
    }
    return all;
}

float difference(const char_lm::matrix<float>& a, const char_lm::matrix<float>& b) {
    return (a - b).cwiseAbs().maxCoeff();
}

TEST_CASE("at the training length every stretched method is plain RoPE") {
    const auto all = logits(context);
    for (const char* name : {"PI", "NTK-old", "NTK-fixed", "NTK-mixed", "YaRN", "ReRoPE-w16"})
        CHECK(difference(all.at(name), all.at("RoPE")) < 1e-5F);
    CHECK(difference(all.at("ReRoPE-w4"), all.at("RoPE")) > 1e-4F);
}

TEST_CASE("beyond it they differ, and agree where no character is further away than the window") {
    const auto all = logits(4 * context);
    for (const auto& [name, of_method] : all)
        if (name != "RoPE") CHECK(difference(of_method, all.at("RoPE")) > 1e-4F);
    const index near = 8;
    for (const char* name : {"ReRoPE-w8", "ReRoPE-w16", "Leaky ReRoPE-w8-k16"})
        CHECK(difference(all.at(name).topRows(near), all.at("RoPE").topRows(near)) < 1e-5F);
}

TEST_CASE("every method reads every text with a model that was trained for it") {
    const auto models = untrained();
    const auto text = some_text(400);
    const auto ordinary = ordinary_text(text, expansion * context, context, 3);
    char_lm::team threads(2);
    double last = -1;
    const auto all = methods(context, expansion);
    const auto readings = read_all(models, all, {ordinary, repeated_text(ordinary, context)},
                                   {16, 128}, threads, [&](double fraction, const std::string&) {
                                       CHECK(fraction >= last);
                                       last = fraction;
                                   });
    CHECK(last == 1);
    REQUIRE(readings.size() == 2 * all.size());
    for (const reading& r : readings) {
        REQUIRE(r.by_length.size() == 2);
        for (const auto& score : r.by_length) {
            CHECK(score.loss > 0);
            CHECK(std::isfinite(score.loss));
        }
    }
    // Methods that share a model predict alike at its training length.
    CHECK(std::abs(readings[0].by_length[0].loss - readings[6].by_length[0].loss) < 1e-5);
}

TEST_CASE("repeated text predicts the same characters, each of which has been seen before") {
    const auto text = some_text(500);
    const auto ordinary = ordinary_text(text, 128, context, 4);
    const auto repeated = repeated_text(ordinary, context);
    REQUIRE(repeated.windows.size() == ordinary.windows.size());
    for (std::size_t w = 0; w < ordinary.windows.size(); ++w) {
        const auto& one = repeated.windows[w];
        REQUIRE(one.size() == ordinary.windows[w].size());
        CHECK(std::equal(one.end() - context, one.end(), ordinary.windows[w].end() - context));
        for (std::size_t i = std::size_t(context); i < one.size(); ++i)
            CHECK(one[i] == one[i - std::size_t(context)]);
    }
}

TEST_CASE("entropy of attention: at most the logarithm of what is seen, less with log n") {
    const auto models = untrained();
    const auto text = some_text(400);
    const auto ordinary = ordinary_text(text, expansion * context, context, 2);
    std::vector<method> plain;
    for (const method& m : methods(context, expansion))
        if (m.name == "RoPE" && m.model == "plain") plain.push_back(m);
    REQUIRE(plain.size() == 2);
    char_lm::team threads(2);
    const auto curves = entropies(models, plain, ordinary, threads);
    REQUIRE(curves.size() == 2);
    CHECK(curves[0].points.back().n == expansion * context);
    for (std::size_t i = 0; i < curves[0].points.size(); ++i) {
        const auto [n, nats] = curves[0].points[i];
        CHECK(nats > 0);
        CHECK(nats <= std::log(n) + 1e-5);
        const double scaled = curves[1].points[i].nats;
        if (n > context)
            CHECK(scaled < nats);
        else
            CHECK(std::abs(scaled - nats) < 1e-5);
    }
}

}  // namespace test_methods
}  // namespace length_extrapolation
