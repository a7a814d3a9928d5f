#include "measurement.hpp"

#include <algorithm>
#include <cmath>
#include <memory>

#include "model.hpp"

namespace length_extrapolation {

namespace {

using model = char_lm::transformer<float>;

model model_of(const trained_model& trained, const method& how, double stretch) {
    return {trained.made_by.sizes, how.attention(stretch)};
}

}  // namespace

std::vector<reading> read_all(const trained_models& models, const std::vector<method>& all,
                              const std::vector<measured_text>& texts,
                              const std::vector<index>& lengths, char_lm::team& threads,
                              const std::function<void(double, const std::string&)>& watch) {
    double whole = 0, done = 0;
    for (const index length : lengths) whole += double(length);
    whole *= double(all.size() * texts.size());

    std::vector<reading> readings;
    for (const method& how : all) {
        const trained_model& trained = models.at(how.model);
        for (const measured_text& text : texts) {
            reading now{how, text.name, {}};
            for (const index length : lengths) {
                watch(done / whole, how.name + ", " + text.name + " text");
                const double stretch = double(length) / double(trained.made_by.sizes.context);
                now.by_length.push_back(char_lm::evaluate(model_of(trained, how, stretch),
                                                          trained.parameters, text.windows, length,
                                                          how.scale, threads));
                done += double(length);
            }
            readings.push_back(std::move(now));
        }
    }
    watch(1, "done");
    return readings;
}

std::vector<entropy_curve> entropies(const trained_models& models, const std::vector<method>& all,
                                     const measured_text& text, char_lm::team& threads) {
    const auto length = static_cast<index>(text.windows.front().size()) - 1;
    std::vector<entropy_curve> curves;
    for (const method& how : all) {
        const trained_model& trained = models.at(how.model);
        const model m =
            model_of(trained, how, double(length) / double(trained.made_by.sizes.context));
        std::vector<std::shared_ptr<model::workspace>> work;
        for (int i = 0; i < threads.size(); ++i) work.push_back(m.make_workspace());
        std::vector<Eigen::VectorXd> sums(text.windows.size());  // by character
        threads.share(static_cast<index>(sums.size()), [&](int member, index w) {
            const auto window = text.windows[std::size_t(w)].first(std::size_t(length));
            const auto one = m.attention_entropies(trained.parameters, window, how.scale,
                                                   *work[std::size_t(member)]);
            sums[std::size_t(w)] = one.cast<double>().colwise().mean();
        });

        // Bins from n/√2 to n, so that one ends with the whole length.
        entropy_curve curve{how, {}};
        for (double most = double(length); most >= 2; most /= std::sqrt(2.0)) {
            const index last = std::lround(most);
            const index first = std::lround(most / std::sqrt(2.0));
            double sum = 0;
            for (const auto& of_window : sums) sum += of_window.segment(first, last - first).mean();
            curve.points.push_back({double(last), sum / double(sums.size())});
        }
        std::reverse(curve.points.begin(), curve.points.end());
        curves.push_back(std::move(curve));
    }
    return curves;
}

}  // namespace length_extrapolation
