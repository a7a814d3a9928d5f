#include "ring_layer.hpp"

#include <cstddef>
#include <stdexcept>

#include <Eigen/Core>

namespace context_parallel {

namespace {

/// What forward leaves for backward.
struct kept final : char_lm::attention_stats {
    std::vector<piece> pieces;  ///< q and k rotated
    std::vector<attended> found;
};

[[noreturn]] void only_trains() {
    throw std::logic_error("the ring is the attention of a training step alone");
}

/// Where one of q, k, v and o of one stretch lies in a rank's rows.
struct place {
    index first_column = 0;
    index tokens = 0;  ///< of the rank, in each sequence
    index first = 0;   ///< of the stretch, among these
};

/// f(numbers in the rows, numbers in the tensor) of each token and head of x [sequence, head,
/// token, dim].
template <class Rows, class Tensor, class F>
void for_each_vector(Rows& rows, const place& at, Tensor& x, F&& f) {
    const index dim = x.dimension(3);
    for (index b = 0; b < x.dimension(0); ++b)
        for (index h = 0; h < x.dimension(1); ++h)
            for (index t = 0; t < x.dimension(2); ++t)
                f(rows.row(b * at.tokens + at.first + t).segment(at.first_column + h * dim, dim),
                  &x(b, h, t, 0));
}

tensor gather(const ring_layer::rows& rows, const place& at, const model_shape& m, index count) {
    tensor x(m.batch, m.heads, count, m.dim);
    for_each_vector(rows, at, x, [](const auto& from, float* to) {
        Eigen::Map<Eigen::RowVectorXf>(to, from.size()) = from;
    });
    return x;
}

void scatter(const tensor& x, const place& at, ring_layer::rows& rows) {
    for_each_vector(rows, at, x, [](auto to, const float* from) {
        to = Eigen::Map<const Eigen::RowVectorXf>(from, to.size());
    });
}

}  // namespace

ring_settings ring_layer::settings_of(index sequences) const {
    ring_settings here = settings_;
    here.model.batch = sequences;
    return here;
}

std::unique_ptr<char_lm::attention_stats> ring_layer::make_stats() const {
    return std::make_unique<kept>();
}

void ring_layer::forward(const rows& qkv, index sequences, index, rows& out,
                         char_lm::attention_stats& stats) const {
    const ring_settings here = settings_of(sequences);
    const index width = here.model.heads * here.model.dim;
    const auto stretches = own();
    place at{0, tokens_of(stretches), 0};
    auto& left = static_cast<kept&>(stats);
    left.pieces.clear();
    for (const stretch& one : stretches) {
        const auto from = [&](index column) {
            return gather(qkv, {column, at.tokens, at.first}, here.model, one.count());
        };
        left.pieces.push_back({one, from(0), from(width), from(2 * width)});
        at.first += one.count();
    }
    left.found = ring_attention(ranks_, here).forward(left.pieces);

    out.resize(qkv.rows(), width);
    at.first = 0;
    for (const attended& one : left.found) {
        scatter(one.o, at, out);
        at.first += one.o.dimension(2);
    }
}

void ring_layer::backward(const rows& d_out, const rows&, const char_lm::attention_stats& stats,
                          const rows& qkv, index sequences, rows& d_qkv) const {
    const ring_settings here = settings_of(sequences);
    const index width = here.model.heads * here.model.dim;
    const auto& left = static_cast<const kept&>(stats);
    place at{0, tokens_of(own()), 0};
    std::vector<tensor> d_o;
    for (const piece& one : left.pieces) {
        d_o.push_back(gather(d_out, at, here.model, one.at.count()));
        at.first += one.at.count();
    }
    const auto gradients = ring_attention(ranks_, here).backward(d_o, left.found, left.pieces);

    d_qkv.resize(qkv.rows(), qkv.cols());
    at.first = 0;
    for (const piece_gradient& of : gradients) {
        scatter(of.q, {0, at.tokens, at.first}, d_qkv);
        scatter(of.k, {width, at.tokens, at.first}, d_qkv);
        scatter(of.v, {2 * width, at.tokens, at.first}, d_qkv);
        at.first += of.q.dimension(2);
    }
}

index ring_layer::state_size(index) const { only_trains(); }

void ring_layer::infer(const rows&, index, char_lm::score_scale, rows&) const { only_trains(); }

std::unique_ptr<char_lm::attention_cache> ring_layer::make_cache(index) const { only_trains(); }

void ring_layer::decode(const rows&, char_lm::attention_cache&, char_lm::score_scale, rows&) const {
    only_trains();
}

ring_layer::rows ring_layer::weights(const rows&, index, char_lm::score_scale) const {
    only_trains();
}

ring_layer::rows ring_layer::entropies(const rows&, char_lm::score_scale) const { only_trains(); }

}  // namespace context_parallel
