#include <cmath>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "linear_kinds.hpp"
#include "support/catch.hpp"

/// Each kind of linear attention as the model has it, in double precision: backward against central
/// differences, a token at a time against the window, and what the picture shows against what is
/// computed.

namespace char_lm {

namespace test_linear_attention {

const architecture sizes{.vocabulary = 2, .layers = 1, .heads = 2, .width = 8, .context = 35};

struct kind {
    std::string name;
    std::unique_ptr<attention<double>> attend;
    bool divides;

    [[nodiscard]] index columns() const { return 3 * sizes.width + attend->gate_columns(); }
};

std::vector<kind> all_kinds() {
    std::vector<kind> all;
    all.push_back({"elu_plus_one", make_elu_plus_one_attention<double>(sizes), true});
    all.push_back({"favor", make_favor_attention<double>(sizes, 1), true});
    all.push_back({"retention", make_retention_attention<double>(sizes), false});
    all.push_back({"gla", make_gla_attention<double>(sizes), false});
    all.push_back({"rwkv6", make_rwkv6_attention<double>(sizes), false});
    all.push_back({"gated_delta", make_gated_delta_attention<double>(sizes), false});
    return all;
}

matrix<double> some_rows(index rows, index columns) {
    matrix<double> x(rows, columns);
    for (index i = 0; i < x.size(); ++i) x.data()[i] = std::sin(double(i * i % 1009) + double(i));
    return x;
}

TEST_CASE("the gradient of each linear attention is that of central differences") {
    const index sequences = 2, length = 5;
    for (const kind& k : all_kinds()) {
        CAPTURE(k.name);
        matrix<double> qkv = some_rows(sequences * length, k.columns());
        const matrix<double> d_out = some_rows(sequences * length, sizes.width);
        const auto stats = k.attend->make_stats();
        matrix<double> out, d_qkv;
        k.attend->forward(qkv, sequences, 0, out, *stats);
        k.attend->backward(d_out, out, *stats, qkv, sequences, d_qkv);
        REQUIRE(d_qkv.rows() == qkv.rows());
        REQUIRE(d_qkv.cols() == qkv.cols());

        const auto sum = [&] {
            k.attend->infer(qkv, sequences, score_scale::standard, out);
            return out.cwiseProduct(d_out).sum();
        };
        const double largest = d_qkv.cwiseAbs().maxCoeff(), step = 1e-5;
        for (index i = 0; i < qkv.size(); ++i) {
            const double here = qkv.data()[i];
            qkv.data()[i] = here + step;
            const double above = sum();
            qkv.data()[i] = here - step;
            const double below = sum();
            qkv.data()[i] = here;
            const double difference = (above - below) / (2 * step);
            if (!(std::abs(d_qkv.data()[i] - difference) <= 1e-7 * largest)) {
                CAPTURE(i, d_qkv.data()[i], difference, largest);
                FAIL_CHECK("a gradient is wrong");
            }
        }
    }
}

TEST_CASE("a linear attention gives the same in one call, a token at a time and beside others") {
    const index length = sizes.context;
    for (const kind& k : all_kinds()) {
        CAPTURE(k.name);
        const matrix<double> qkv = some_rows(2 * length, k.columns());
        matrix<double> both, out;
        k.attend->infer(qkv, 2, score_scale::standard, both);
        const auto seen = k.attend->make_cache(length);
        for (index sequence = 0; sequence < 2; ++sequence) {
            seen->clear();
            for (index t = sequence * length; t < (sequence + 1) * length; ++t) {
                k.attend->decode(qkv.middleRows(t, 1), *seen, score_scale::standard, out);
                CHECK((out - both.row(t)).cwiseAbs().maxCoeff() < 1e-12);
            }
        }
    }
}

TEST_CASE("the matrix of a linear attention is causal, and times v it is what comes out") {
    const index length = sizes.context, dim = sizes.width / sizes.heads;
    for (const kind& k : all_kinds()) {
        CAPTURE(k.name);
        const matrix<double> qkv = some_rows(length, k.columns());
        matrix<double> out;
        k.attend->infer(qkv, 1, score_scale::standard, out);
        const matrix<double> w = k.attend->weights(qkv, 1, score_scale::standard);
        for (index i = 0; i < length; ++i)
            CHECK((w.row(i).tail(length - 1 - i).array() == 0).all());
        matrix<double> o = w * qkv.middleCols(2 * sizes.width + dim, dim);
        if (!k.divides) {
            o.array().colwise() /=
                (o.rowwise().squaredNorm().array() / double(dim) + 1e-5).sqrt().eval();
        }
        CHECK((o - out.rightCols(dim)).cwiseAbs().maxCoeff() < 1e-11);
    }
}

TEST_CASE("a state has the size of its features and values, whatever it has seen") {
    const index square = sizes.width * sizes.width / sizes.heads;  // heads · d · d
    const auto all = all_kinds();
    CHECK(all[0].attend->state_size(1000) == square + sizes.width);
    CHECK(all[1].attend->state_size(1000) == 2 * (square + sizes.width));
    for (std::size_t i = 2; i < all.size(); ++i)
        CHECK(all[i].attend->state_size(static_cast<index>(1000 * i)) == square);
}

TEST_CASE("gates open within their range") {
    for (const double x : {-800.0, -30.0, -1.0, 0.0, 1.0, 30.0, 800.0}) {
        const double log_alpha = fading_gate::value(x), beta = writing_gate::value(x);
        CHECK(std::isfinite(log_alpha));
        CHECK(log_alpha <= 0);
        CHECK(std::abs(std::exp(log_alpha) - 0.5 * (1 + std::tanh((x + 5) / 2))) < 1e-15);
        CHECK(beta >= 0);
        CHECK(beta <= 1);
        CHECK(std::abs(beta - 0.5 * (1 + std::tanh(x / 2))) < 1e-15);
    }
}

}  // namespace test_linear_attention
}  // namespace char_lm
